"""The page that shows an evaluation, and the one that shows an audit.

``figures`` draws, and is imported only when something is drawn; ``build`` lays out.
"""

from __future__ import annotations

from thorax.report.audit_lines import audit_lines
from thorax.report.audit_page import write_audit_page
from thorax.report.build import build_report
from thorax.report.comparison_figure import write_comparison_figure
from thorax.report.content import ReportContent, Sample, WorstCase
from thorax.report.external_page import write_external_page
from thorax.report.gather import rewrite_report, write_report
from thorax.report.pdf import print_pdf

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
