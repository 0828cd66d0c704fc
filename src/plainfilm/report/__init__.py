"""HTML pages of evaluations, external validations and audits.

Only ``report.figures`` imports matplotlib; it is imported when a figure is drawn.
"""

from __future__ import annotations

from plainfilm.report.audit.page import write_audit_page
from plainfilm.report.audit.wording import audit_lines
from plainfilm.report.build import build_report, write_adaptation_page, write_external_page
from plainfilm.report.content import ReportContent, Sample, WorstCase
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
    "write_adaptation_page",
    "write_audit_page",
    "write_external_page",
    "write_report",
]
