"""The ROC curve of a model with the human readers of the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plainfilm.metrics import Interval
from plainfilm.report.figures.canvas import WIDTH, Values, drawing, new_axes, numbers, styled, unit
from plainfilm.report.figures.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.html.markup import visible
from plainfilm.report.wording import bounded

_MARKERS = "osD^"


@dataclass(frozen=True, slots=True)
class ReaderMarks:
    """The readers with one modality: their rates, their curves, and the rates of their mean.

    Rates hold ``sensitivity`` and ``specificity``; curves are false and true positive rates.
    """

    name: str
    rates: Sequence[Mapping[str, Interval]]
    curves: Sequence[tuple[Values, Values]]
    mean: Mapping[str, Interval]


def readers_figure(
    fpr: Values,
    tpr: Values,
    marks: Sequence[ReaderMarks],
    *,
    point: Mapping[str, Interval] | None = None,
    note: str = "",
    name: str = "readers",
) -> Drawing:
    """Draw the ROC curve (k,) of a model, and readers as points with the intervals of both rates.

    ``point`` holds the rates of the model at its threshold. Markers differ by modality; the mean of
    the readers is dark.
    """
    with styled(name):
        figure, axes = new_axes(1.25 * WIDTH, 1.1 * WIDTH)
        unit(axes)
        axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=0.9, dashes=(4, 3))
        axes.plot(
            numbers(fpr), numbers(tpr), color=FIRST[0], clip_on=False, zorder=3, label="model"
        )
        if point is not None:
            _cross(axes, point, FIRST[0], "s", "model at its threshold")
        for marker, own in zip(_MARKERS * len(marks), marks, strict=False):
            words = f", {visible(own.name)}" if own.name else ""
            for number, (x, y) in enumerate(own.curves):
                label = None if number or own.rates else f"readers{words}"
                axes.plot(
                    numbers(x), numbers(y), color=SECOND[0], linewidth=0.9, alpha=0.6, label=label
                )
            for number, rates in enumerate(own.rates):
                label = None if number else f"readers{words}"
                _cross(axes, rates, SECOND[0], marker, label)
            if own.mean:
                _cross(axes, own.mean, INK[0], marker, f"mean of readers{words}", 7.5)
        axes.set_xlabel("1 − specificity (false positive rate)")
        axes.set_ylabel("Sensitivity (true positive rate)")
        axes.text(0.98, 0.03, visible(note), ha="right", transform=axes.transAxes)
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.07))
        return drawing(figure, name, "Receiver operating characteristic with human readers")


def _cross(
    axes: Any,
    rates: Mapping[str, Interval],
    colour: str,
    marker: str,
    label: str | None,
    size: float = 5.5,
) -> None:
    """Draw a point with the intervals of both rates."""
    sensitivity, specificity = rates["sensitivity"], rates["specificity"]
    x, y = 1 - specificity.value, sensitivity.value
    if not (math.isfinite(x) and math.isfinite(y)):
        return
    line = {"color": colour, "linewidth": 1.0, "alpha": 0.6, "zorder": 4, "clip_on": False}
    if bounded(sensitivity):
        axes.plot([x, x], [sensitivity.low, sensitivity.high], **line)
    if bounded(specificity):
        axes.plot([1 - specificity.low, 1 - specificity.high], [y, y], **line)
    style = {"color": colour, "markersize": size, "zorder": 5, "clip_on": False}
    axes.plot([x], [y], marker, label=label, **style)
