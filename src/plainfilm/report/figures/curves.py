"""The curves of a label, its confusion matrix and histograms, each as one figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from plainfilm.errors import UsageError
from plainfilm.metrics import Interval, ReliabilityBin
from plainfilm.report.figures.canvas import (
    HEIGHT,
    WIDTH,
    Values,
    drawing,
    numbers,
    shorten,
    square,
    styled,
    unit,
)
from plainfilm.report.figures.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.html.markup import visible
from plainfilm.report.wording import bounded

__all__ = [
    "calibration_figure",
    "confusion_figure",
    "precision_recall_figure",
    "roc_figure",
    "score_figure",
    "shares_figure",
]

Points = Mapping[str, Mapping[str, Interval]]
"""Metrics by operating point."""

_MARKERS = "osD^vPX"
_APART = 0.035
"""Least distance, in probability, of two vertical lines that are labelled separately."""


def roc_figure(
    fpr: Values,
    tpr: Values,
    *,
    points: Points | None = None,
    note: str = "",
    name: str = "roc",
) -> Drawing:
    """Draw a receiver operating characteristic (ROC) curve.

    Parameters
    ----------
    fpr, tpr
        False and true positive rates, each (k,) in 0..1.
    points
        ``sensitivity`` and ``specificity`` by operating point; they are marked with their
        intervals.
    note
        Text in the free corner, e.g. the area with its interval.
    name
        Prefix of the ids in the SVG, unique in a page.
    """
    with styled(name):
        figure, axes = square()
        axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=0.9, dashes=(4, 3))
        x, y = numbers(fpr), numbers(tpr)
        axes.fill_between(x, y, color=FIRST[0], alpha=0.08, linewidth=0)
        axes.plot(x, y, color=FIRST[0], clip_on=False, zorder=3)
        for marker, (point, metrics) in zip(cycle(_MARKERS), (points or {}).items(), strict=False):
            _cross(axes, point, metrics, marker)
        axes.set_xlabel("1 − specificity (false positive rate)")
        axes.set_ylabel("Sensitivity (true positive rate)")
        if note:
            axes.text(0.98, 0.04, visible(note), ha="right", transform=axes.transAxes)
        if axes.get_legend_handles_labels()[0]:
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
        axes.plot([x], [y], marker, label=shorten(name, 24), **style)


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
        figure, axes = square()
        if math.isfinite(prevalence):
            axes.axhline(prevalence, color=QUIET[0], linewidth=0.9, dashes=(4, 3))
            low = prevalence > 0.5
            axes.text(
                0.01,
                prevalence + (-0.025 if low else 0.02),
                f"chance ({prevalence:.0%} positive)",
                color=QUIET[0],
                va="top" if low else "bottom",
                fontsize=9.5,
            )
        style = {"drawstyle": "steps-post", "clip_on": False, "zorder": 3}
        axes.plot(numbers(recall), numbers(precision), color=FIRST[0], **style)
        for marker, (point, metrics) in zip(cycle(_MARKERS), (points or {}).items(), strict=False):
            _mark(axes, metrics["sensitivity"].value, metrics["ppv"].value, point, marker)
        axes.set_xlabel("Recall (sensitivity)")
        axes.set_ylabel("Precision (positive predictive value)")
        if note:
            axes.text(0.02, 0.04, visible(note), transform=axes.transAxes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 0.09))
        return drawing(figure, name, "Precision against recall")


def confusion_figure(
    counts: Sequence[Sequence[float]],
    classes: Sequence[str],
    *,
    title: str = "",
    name: str = "confusion",
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
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot(aspect="auto")
        axes.grid(False)
        for (row, column), part in np.ndenumerate(share):
            colour = FIRST[0] if row == column else SECOND[0]
            # Rectangles, not one image, remain sharp and follow the colours of the page.
            box = (column - 0.485, row - 0.485)
            style = {"facecolor": colour, "alpha": 0.05 + 0.4 * part, "linewidth": 0}
            axes.add_patch(Rectangle(box, 0.97, 0.97, **style))
            text = f"{table[row, column]:,.0f}"
            up = 0.0 if many else 0.06
            size = 8.5 if many else 17.0
            axes.text(column, row - up, text, ha="center", va="center", fontsize=size)
            if not many:
                words = f"{part:.1%} of row" if rows[row, 0] else "no image"
                axes.text(column, row + 0.17, words, ha="center", va="center", fontsize=9)
        names = [shorten(str(name), 18) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=40 if many else 0)
        axes.set_yticks(range(len(names)), names, rotation=0 if many else 90, va="center")
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("Predicted class")
        axes.set_ylabel("True class")
        axes.spines[:].set_visible(False)
        if title:
            axes.set_title(visible(title), color=QUIET[0])
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
        below.set_ylabel("Images")
        below.set_xlabel("Predicted probability")
        if note:
            axes.text(0.02, 0.97, visible(note), va="top", transform=axes.transAxes)
        return drawing(figure, name, "Calibration")


def score_figure(
    edges: Values,
    counts: Mapping[str, Values],
    *,
    thresholds: Mapping[str, float] | None = None,
    name: str = "scores",
) -> Drawing:
    """Draw the distribution of the predicted probabilities by true class.

    ``edges`` is (k + 1,) in 0..1, ``counts`` holds (k,) numbers of images by class, and
    ``thresholds`` the threshold by operating point.
    """
    bounds = numbers(edges)
    with styled(name):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        colours = [QUIET[0], SECOND[0], FIRST[0]]
        for index, (label, values) in enumerate(counts.items()):
            colour = colours[index % len(colours)]
            share = numbers(values)
            share = share / max(float(np.nansum(share)), 1.0)
            axes.stairs(share, bounds, fill=True, color=colour, alpha=0.25)
            axes.stairs(share, bounds, color=colour, linewidth=1.4, label=shorten(str(label), 24))
        for points, threshold in _merge_lines(thresholds or {}):
            axes.axvline(threshold, color=INK[0], linewidth=0.9, dashes=(2, 2))
            _write_along(axes, threshold, f"{', '.join(shorten(name, 24) for name in points)} ")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axes.set_xlabel("Predicted probability")
        axes.set_ylabel("Share of the class")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4)
        return drawing(figure, name, "Distribution of the probabilities")


def shares_figure(
    edges: Values,
    counts: Mapping[str, Values],
    *,
    words: str,
    of: str,
    log: bool = False,
    name: str = "shares",
) -> Drawing:
    """Draw the distribution of a quantity in up to three groups.

    Parameters
    ----------
    edges
        (k + 1,), ascending; positive where the axis is logarithmic.
    counts
        Numbers or shares (k,) by group; each group is drawn as shares of its sum.
    words, of
        Labels of the horizontal and of the vertical axis.
    log
        Whether the horizontal axis is logarithmic.
    name
        Prefix of the ids in the SVG, unique in a page.
    """
    bounds = numbers(edges)
    with styled(name):
        figure = Figure(figsize=(WIDTH, 0.7 * HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        for colour, (group, values) in zip(cycle((SECOND, FIRST, QUIET)), counts.items()):
            share = numbers(values)
            share = share / max(float(np.nansum(share)), 1e-9)
            axes.stairs(share, bounds, fill=True, color=colour[0], alpha=0.2)
            label = shorten(str(group), 24)
            axes.stairs(share, bounds, color=colour[0], linewidth=1.4, label=label)
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}".replace(",", "\u202f"))
        axes.set_xlim(bounds[0], bounds[-1])
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axes.set_xlabel(visible(words))
        axes.set_ylabel(visible(of))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3)
        return drawing(figure, name, visible(words))


def _merge_lines(thresholds: Mapping[str, float]) -> list[tuple[list[str], float]]:
    """Return names and position of each line; lines too close for separate names are merged."""
    lines: list[tuple[list[str], float]] = []
    for name, threshold in sorted(thresholds.items(), key=lambda one: one[1]):
        if lines and threshold - lines[-1][1] < _APART:
            lines[-1][0].append(name)
        else:
            lines.append(([name], threshold))
    return lines


def _write_along(axes: Any, x: float, text: str) -> None:
    """Write text along a vertical line from its top, on the side with more space."""
    axes.text(
        x,
        1.0,
        text,
        rotation=90,
        ha="right" if x > 0.06 else "left",
        va="top",
        fontsize=8.5,
        color=QUIET[0],
        transform=axes.get_xaxis_transform(),
    )
