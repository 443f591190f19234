"""Reports: one self-contained HTML page per run, comparison and audit; no network, opens from disk (floor 4)."""

from danil.report.run_page import write_run_report

__all__ = ["write_run_report"]
