"""The page that shows an evaluation.

``figures`` draws, and is imported only when something is drawn; ``build`` lays out.
"""

from __future__ import annotations

from thorax.report.build import build_report
from thorax.report.content import ReportContent, Sample, WorstCase

__all__ = ["ReportContent", "Sample", "WorstCase", "build_report"]
