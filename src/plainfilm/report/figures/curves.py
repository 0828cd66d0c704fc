"""The curves of a label and its confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from plainfilm.errors import UsageError
from plainfilm.metrics import Interval, ReliabilityBin
from plainfilm.report.figures.canvas import (
    HEIGHT,
    WIDTH,
    Values,
    drawing,
    new_axes,
    numbers,
    shorten,
    styled,
    unit,
)
from plainfilm.report.figures.style import FIRST, QUIET, SECOND, Drawing
from plainfilm.report.html.markup import visible
from plainfilm.report.wording import bounded

Points = Mapping[str, Mapping[str, Interval]]
"""Metrics by operating point."""

_MARKERS = "osD^vPX"


def roc_figure(
    fpr: Values,
    tpr: Values,
    *,
    points: Points | None = None,
    note: str = "",
    name: str = "roc",
) -> Drawing:
    """Draw a receiver operating characteristic (ROC) curve; the rates are (k,) in 0..1.

    ``points`` holds ``sensitivity`` and ``specificity`` by operating point, ``note`` is text in the
    free corner, and ``name`` the prefix of the ids in the SVG, unique in a page.
    """
    with styled(name):
        figure, axes = new_axes()
        unit(axes)
        axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=0.9, dashes=(4, 3))
        x, y = numbers(fpr), numbers(tpr)
        axes.fill_between(x, y, color=FIRST[0], alpha=0.08, linewidth=0)
        axes.plot(x, y, color=FIRST[0], clip_on=False, zorder=3)
        for marker, (point, metrics) in zip(cycle(_MARKERS), (points or {}).items(), strict=False):
            _cross(axes, point, metrics, marker)
        axes.set_xlabel("1 − specificity (false positive rate)")
        axes.set_ylabel("Sensitivity (true positive rate)")
        axes.text(0.98, 0.04, visible(note), ha="right", transform=axes.transAxes)
        if points:
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.09))
        return drawing(figure, name, "Receiver operating characteristic")


def _cross(axes: Any, name: str, metrics: Mapping[str, Interval], marker: str) -> None:
    """Mark an operating point with the intervals of both rates."""
    sensitivity, specificity = metrics["sensitivity"], metrics["specificity"]
    x, y = 1.0 - specificity.value, sensitivity.value
    colour = {"color": SECOND[0], "linewidth": 1.1, "alpha": 0.75, "zorder": 4, "clip_on": False}
    if bounded(sensitivity) and math.isfinite(x):
        axes.plot([x, x], [sensitivity.low, sensitivity.high], **colour)
    if bounded(specificity) and math.isfinite(y):
        axes.plot([1.0 - specificity.low, 1.0 - specificity.high], [y, y], **colour)
    _mark(axes, x, y, name, marker)


def _mark(axes: Any, x: float, y: float, name: str, marker: str) -> None:
    if math.isfinite(x) and math.isfinite(y):
        style = {"color": SECOND[0], "markersize": 5.5, "zorder": 5, "clip_on": False}
        axes.plot([x], [y], marker, label=shorten(name, 32), **style)


def precision_recall_figure(
    recall: Values,
    precision: Values,
    *,
    prevalence: float = math.nan,
    points: Points | None = None,
    note: str = "",
    name: str = "precision-recall",
) -> Drawing:
    """Draw precision against recall, each (k,) in 0..1, with the prevalence as chance level.

    ``points`` holds ``sensitivity`` and ``ppv`` by operating point.
    """
    with styled(name):
        figure, axes = new_axes()
        unit(axes)
        if math.isfinite(prevalence):
            axes.axhline(prevalence, color=QUIET[0], linewidth=0.9, dashes=(4, 3))
            y, side = (-0.025, "top") if prevalence > 0.5 else (0.02, "bottom")
            words = f"chance ({prevalence:.0%} positive)"
            axes.text(0.01, prevalence + y, words, color=QUIET[0], va=side, fontsize=9.5)
        style = {"drawstyle": "steps-post", "clip_on": False, "zorder": 3}
        axes.plot(numbers(recall), numbers(precision), color=FIRST[0], **style)
        for marker, (point, metrics) in zip(cycle(_MARKERS), (points or {}).items(), strict=False):
            _mark(axes, metrics["sensitivity"].value, metrics["ppv"].value, point, marker)
        axes.set_xlabel("Recall (sensitivity)")
        axes.set_ylabel("Precision (positive predictive value)")
        axes.text(0.02, 0.04, visible(note), transform=axes.transAxes)
        if points:
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 0.09))
        return drawing(figure, name, "Precision against recall")


def confusion_figure(
    counts: Sequence[Sequence[float]], classes: Sequence[str], *, name: str = "confusion"
) -> Drawing:
    """Draw a confusion matrix (k, k): true classes in rows, predicted classes in columns.

    Cells are shaded by their share of the row.
    """
    table = np.asarray(counts, dtype=float)
    if table.ndim != 2 or table.shape != (len(classes), len(classes)):
        raise UsageError(
            "a confusion matrix needs one row and one column for each class",
            received=f"{table.shape} for {len(classes)} classes",
        )
    rows = table.sum(axis=1, keepdims=True)
    share = np.divide(table, rows, out=np.zeros_like(table), where=rows > 0)
    many = len(classes) > 4
    with styled(name):
        figure, axes = new_axes()
        axes.grid(False)
        for (row, column), part in np.ndenumerate(share):
            colour = FIRST[0] if row == column else SECOND[0]
            # Rectangles, not one image, remain sharp and follow the colours of the page.
            box = (column - 0.485, row - 0.485)
            style = {"facecolor": colour, "alpha": 0.05 + 0.4 * part, "linewidth": 0}
            axes.add_patch(Rectangle(box, 0.97, 0.97, **style))
            text, centre = f"{table[row, column]:,.0f}", {"ha": "center", "va": "center"}
            if many:
                axes.text(column, row, text, fontsize=8.5, **centre)
                continue
            axes.text(column, row - 0.06, text, fontsize=17.0, **centre)
            words = f"{part:.1%} of row" if rows[row, 0] else "no image"
            axes.text(column, row + 0.17, words, fontsize=9, **centre)
        names = [shorten(str(name), 18) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=40 if many else 0)
        axes.set_yticks(range(len(names)), names, rotation=0 if many else 90, va="center")
        end = len(names) - 0.5
        axes.set(xlim=(-0.5, end), ylim=(end, -0.5), xlabel="Predicted class", ylabel="True class")
        axes.spines[:].set_visible(False)
        return drawing(figure, name, "Confusion matrix")


def calibration_figure(
    bins: Sequence[ReliabilityBin], *, note: str = "", name: str = "calibration"
) -> Drawing:
    """Draw observed frequency against predicted probability; empty bins are left out."""
    full = [own for own in bins if own.count]
    with styled(name):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=0.9, dashes=(4, 3))
        mean = [own.predicted for own in full]
        observed = [own.observed.value for own in full]
        for own in full:
            if bounded(own.observed):
                ends = [own.observed.low, own.observed.high]
                axes.plot([own.predicted] * 2, ends, color=FIRST[0], linewidth=1.1, alpha=0.6)
        axes.plot(mean, observed, "o-", color=FIRST[0], markersize=5, clip_on=False, linewidth=1.2)
        counts = [float(own.count) for own in full]
        below.bar(mean, counts, width=0.035, color=FIRST[0], alpha=0.55)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.grid(False, axis="x")
        unit(axes)
        axes.set_ylabel("Observed frequency")
        below.set(xlabel="Predicted probability", ylabel="Images")
        axes.text(0.02, 0.97, visible(note), va="top", transform=axes.transAxes)
        return drawing(figure, name, "Calibration")
