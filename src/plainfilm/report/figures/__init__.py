"""Figures as SVG and PNG. Importing this package imports matplotlib; nothing else of ours does.

Most functions take plain sequences and mappings and return a `Drawing`: SVG text with the same
figure as ``png``. No figure touches matplotlib's global state, and the same content gives the same
bytes. The SVGs are transparent and carry colours for a light and a dark page.
"""

from __future__ import annotations

from plainfilm.report.figures.canvas import styled
from plainfilm.report.figures.curves import (
    calibration_figure,
    confusion_figure,
    precision_recall_figure,
    roc_figure,
)
from plainfilm.report.figures.evaluation import (
    ForestRow,
    benefit_figure,
    forest_figure,
    prevalence_figure,
    robustness_figure,
    write_comparison_figure,
)
from plainfilm.report.figures.flow import flow_figure
from plainfilm.report.figures.histograms import novelty_figure, score_figure, shares_figure
from plainfilm.report.figures.style import Drawing
from plainfilm.report.figures.training import history_figure, sample_grid

__all__ = [
    "Drawing",
    "ForestRow",
    "benefit_figure",
    "calibration_figure",
    "confusion_figure",
    "flow_figure",
    "forest_figure",
    "history_figure",
    "novelty_figure",
    "precision_recall_figure",
    "prevalence_figure",
    "robustness_figure",
    "roc_figure",
    "sample_grid",
    "score_figure",
    "shares_figure",
    "styled",
    "write_comparison_figure",
]
