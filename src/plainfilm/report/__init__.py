"""The page that shows an evaluation, and the one that shows an audit.

``figures`` draws, and is imported only when something is drawn; ``build`` lays out.
"""

from __future__ import annotations

from plainfilm.report.audit.lines import audit_lines
from plainfilm.report.audit.page import write_audit_page
from plainfilm.report.build import build_report
from plainfilm.report.comparison_figure import write_comparison_figure
from plainfilm.report.content import ReportContent, Sample, WorstCase
from plainfilm.report.external_page import write_external_page
from plainfilm.report.gather import rewrite_report, write_report
from plainfilm.report.pdf import print_pdf

__all__ = [
    "ReportContent",
    "Sample",
    "WorstCase",
    "audit_lines",
    "build_report",
    "print_pdf",
    "rewrite_report",
    "write_audit_page",
    "write_comparison_figure",
    "write_external_page",
    "write_report",
]
