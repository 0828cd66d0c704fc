"""The curves of a report and its confusion matrix, each drawn alone.

The functions take plain sequences and return SVG text, or PNG bytes where there are pictures. No
figure touches matplotlib's global state, and the same content gives the same bytes. The SVGs are
transparent and carry the colours of a dark page along with those of a light one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from plainfilm.errors import UsageError
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

__all__ = [
    "calibration_figure",
    "confusion_figure",
    "precision_recall_figure",
    "roc_figure",
    "score_figure",
    "shares_figure",
]


_APART = 0.035
"""How far apart, in probability, two lines with names beside them must be."""


def roc_figure(
    curve: Mapping[str, Values],
    *,
    points: Sequence[Mapping[str, Any]] = (),
    note: str = "",
    name: str = "roc",
) -> Drawing:
    """Draw a receiver operating characteristic.

    Parameters
    ----------
    curve
        ``fpr`` and ``tpr``, each (k,) in 0..1.
    points
        Operating points: ``name``, ``sensitivity`` and ``specificity``, each of the two a mapping
        with ``value`` and, where known, ``low`` and ``high``.
    note
        A line of text in the free corner, e.g. the area with its interval.
    name
        Name that makes the ids in the SVG unique in a page.

    Returns
    -------
    SVG text.
    """
    with styled(name):
        figure, axes = square()
        axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=0.9, dashes=(4, 3))
        fpr, tpr = numbers(curve["fpr"]), numbers(curve["tpr"])
        axes.fill_between(fpr, tpr, color=FIRST[0], alpha=0.08, linewidth=0)
        axes.plot(fpr, tpr, color=FIRST[0], clip_on=False, zorder=3)
        for marker, point in zip(cycle("osD^vPX"), points, strict=False):
            _cross(axes, point, marker)
        axes.set_xlabel("1 − specificity (false positive rate)")
        axes.set_ylabel("Sensitivity (true positive rate)")
        if note:
            axes.text(0.98, 0.04, visible(note), ha="right", transform=axes.transAxes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.09))
        return drawing(figure, name, "Receiver operating characteristic")


def _cross(axes: Any, point: Mapping[str, Any], marker: str) -> None:
    """Mark an operating point, with the intervals of both its rates."""
    sensitivity, specificity = point["sensitivity"], point["specificity"]
    x, y = specificity.get("value"), sensitivity.get("value")
    if x is None or y is None:
        return
    x = 1.0 - x
    colour = {"color": SECOND[0], "linewidth": 1.1, "alpha": 0.75, "zorder": 4, "clip_on": False}
    if sensitivity.get("low") is not None and sensitivity.get("high") is not None:
        axes.plot([x, x], [sensitivity["low"], sensitivity["high"]], **colour)
    if specificity.get("low") is not None and specificity.get("high") is not None:
        axes.plot([1.0 - specificity["low"], 1.0 - specificity["high"]], [y, y], **colour)
    axes.plot(
        [x],
        [y],
        marker,
        color=SECOND[0],
        markersize=5.5,
        label=shorten(str(point["name"]), 24),
        zorder=5,
        clip_on=False,
    )


def precision_recall_figure(
    curve: Mapping[str, Values],
    *,
    prevalence: float | None = None,
    points: Sequence[Mapping[str, Any]] = (),
    note: str = "",
    name: str = "precision-recall",
) -> Drawing:
    """Draw precision against recall, with the prevalence as the line of guessing.

    ``curve`` has ``recall`` and ``precision``, each (k,) in 0..1; a point has ``name``,
    ``sensitivity`` and ``ppv``. Returns SVG text.
    """
    with styled(name):
        figure, axes = square()
        recall, precision = numbers(curve["recall"]), numbers(curve["precision"])
        if prevalence is not None:
            axes.axhline(prevalence, color=QUIET[0], linewidth=0.9, dashes=(4, 3))
            low = prevalence > 0.5
            axes.text(
                0.01,
                prevalence + (-0.025 if low else 0.02),
                f"guessing ({prevalence:.0%} positive)",
                color=QUIET[0],
                va="top" if low else "bottom",
                fontsize=9.5,
            )
        axes.plot(
            recall, precision, color=FIRST[0], drawstyle="steps-post", clip_on=False, zorder=3
        )
        for marker, point in zip(cycle("osD^vPX"), points, strict=False):
            x, y = point["sensitivity"].get("value"), point["ppv"].get("value")
            if x is not None and y is not None:
                label = shorten(str(point["name"]), 24)
                style = {"color": SECOND[0], "markersize": 5.5, "zorder": 5, "clip_on": False}
                axes.plot([x], [y], marker, label=label, **style)
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
    """Draw a confusion matrix: truth down, prediction across, shaded by the share of its row.

    ``counts`` is (k, k), ``classes`` has k names. Returns SVG text.
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
            # A rectangle each, not one picture: it stays sharp, and follows the page's colours.
            box = (column - 0.485, row - 0.485)
            patch = matplotlib.patches.Rectangle(
                box, 0.97, 0.97, facecolor=colour, alpha=0.05 + 0.4 * part, linewidth=0
            )
            axes.add_patch(patch)
            text = f"{table[row, column]:,.0f}"
            up = 0.0 if many else 0.06
            size = 8.5 if many else 17.0
            axes.text(column, row - up, text, ha="center", va="center", fontsize=size)
            if not many:
                words = f"{part:.1%} of the row" if rows[row, 0] else "no image"
                axes.text(column, row + 0.17, words, ha="center", va="center", fontsize=9)
        names = [shorten(str(name), 18) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=40 if many else 0)
        axes.set_yticks(range(len(names)), names, rotation=0 if many else 90, va="center")
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("Model says")
        axes.set_ylabel("Truth")
        axes.spines[:].set_visible(False)
        if title:
            axes.set_title(visible(title), color=QUIET[0])
        return drawing(figure, name, "Confusion matrix")


def calibration_figure(
    bins: Sequence[Mapping[str, Any]], *, note: str = "", name: str = "calibration"
) -> Drawing:
    """Draw how often the label is true where the model gives it a probability.

    A bin has ``mean`` and ``observed`` in 0..1, ``count``, and, where known, ``low`` and ``high``
    of the observed share. Empty bins are left out. Returns SVG text.
    """
    full = [row for row in bins if row.get("mean") is not None and row.get("observed") is not None]
    with styled(name):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=0.9, dashes=(4, 3))
        mean = [row["mean"] for row in full]
        observed = [row["observed"] for row in full]
        for row in full:
            if row.get("low") is not None and row.get("high") is not None:
                ends = [row["low"], row["high"]]
                axes.plot([row["mean"]] * 2, ends, color=FIRST[0], linewidth=1.1, alpha=0.6)
        axes.plot(mean, observed, "o-", color=FIRST[0], markersize=5, clip_on=False, linewidth=1.2)
        counts = [float(row.get("count") or 0) for row in full]
        below.bar(mean, counts, width=0.035, color=FIRST[0], alpha=0.55)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.grid(False, axis="x")
        unit(axes)
        axes.set_ylabel("Observed share")
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
    """Draw how the probabilities of each class are distributed.

    ``edges`` is (k + 1,) in 0..1, ``counts`` maps a class to (k,) numbers of images, and
    ``thresholds`` an operating point to its threshold. Returns SVG text.
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
        for points, threshold in _gathered(thresholds or {}):
            axes.axvline(threshold, color=INK[0], linewidth=0.9, dashes=(2, 2))
            _beside(axes, threshold, f"{', '.join(shorten(name, 24) for name in points)} ")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axes.set_xlabel("Predicted probability")
        axes.set_ylabel("Share of the class's images")
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
    """Draw how a quantity is distributed in two groups or three.

    Parameters
    ----------
    edges
        (k + 1,), ascending; positive where the axis is logarithmic.
    counts
        Group to (k,) numbers or shares; each group is drawn as shares of its own sum.
    words, of
        What the axis across says, and the one upwards.
    log
        Whether the axis across is logarithmic.
    name
        Name that makes the ids in the SVG unique in a page.

    Returns
    -------
    SVG text.
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


def _gathered(thresholds: Mapping[str, float]) -> list[tuple[list[str], float]]:
    """Return names and place of each line, one line where thresholds are too close to tell apart.

    Names written on top of each other cannot be read.
    """
    lines: list[tuple[list[str], float]] = []
    for name, threshold in sorted(thresholds.items(), key=lambda one: one[1]):
        if lines and threshold - lines[-1][1] < _APART:
            lines[-1][0].append(name)
        else:
            lines.append(([name], threshold))
    return lines


def _beside(axes: Any, x: float, text: str) -> None:
    """Write along a vertical line, from its top down, on the side where there is room."""
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
