"""Reports: one self-contained HTML page per run, comparison and audit; no network, opens from disk (floor 4).

`page` renders templates; `drawing` makes inline SVG and data URIs; each `*_page` is one page.
"""

from danil.report.audit_page import write_audit_report
from danil.report.comparison_page import write_comparison_report
from danil.report.demo_page import write_demo_report
from danil.report.run_page import write_run_report
from danil.report.tables_page import write_tables_report

__all__ = [
    "write_audit_report",
    "write_comparison_report",
    "write_demo_report",
    "write_run_report",
    "write_tables_report",
]
