"""The page that shows an evaluation.

``figures`` draws, and is imported only when something is drawn; ``build`` lays out.
"""

from __future__ import annotations

from thorax.report.build import build_report
from thorax.report.content import ReportContent, Sample, WorstCase
from thorax.report.gather import rewrite_report, write_report

__all__ = [
    "ReportContent",
    "Sample",
    "WorstCase",
    "build_report",
    "rewrite_report",
    "write_report",
]
