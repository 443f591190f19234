"""Report: one self-contained HTML file (floor 4)."""
