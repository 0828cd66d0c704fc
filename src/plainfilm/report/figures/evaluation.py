"""Figures of evaluations: decision curve, predictive values, intervals, robustness, comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from plainfilm._files import write_bytes, write_text
from plainfilm.evaluation.document import ComparisonDocument
from plainfilm.evaluation.document.analyses import Robustness
from plainfilm.evaluation.document.label import DecisionCurveValues, PredictiveValueCurve
from plainfilm.metrics import Interval
from plainfilm.report.figures.canvas import WIDTH, drawing, new_axes, numbers, shorten, styled
from plainfilm.report.figures.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.html.markup import visible
from plainfilm.report.wording import bounded, describe

_SHADE = 0.16
_ROW = 0.46  # height of a row of a forest plot in inches: its text above its interval


def benefit_figure(curve: DecisionCurveValues, *, name: str = "decision") -> Drawing:
    """Draw the net benefit of the model, of treating all and of treating none."""
    at = numbers(curve.threshold)
    model, treat_all = numbers(curve.model), numbers(curve.treat_all)
    low, high = numbers(curve.band_low), numbers(curve.band_high)
    with styled(name):
        figure, axes = new_axes()
        for start, stop in curve.useful:
            axes.axvspan(start, stop, ymin=0.0, ymax=0.018, color=FIRST[0], alpha=0.6, linewidth=0)
        axes.axhline(0, color=INK[0], linewidth=0.9)
        axes.fill_between(at, low, high, color=FIRST[0], alpha=_SHADE, linewidth=0)
        axes.plot(at, treat_all, color=QUIET[0], linewidth=1.2, dashes=(4, 3), label="treat all")
        axes.plot(at, model, color=FIRST[0], label="model", zorder=3)
        axes.plot([], [], color=INK[0], linewidth=0.9, label="treat none")
        top = float(np.nanmax(np.r_[high, treat_all, 0.02]))
        axes.set(xlim=(0, 1), ylim=(-0.25 * top, 1.08 * top))
        axes.set(xlabel="Threshold probability", ylabel="Net benefit per image")
        axes.legend(loc="upper right")
        return drawing(figure, name, "Decision curve")


def prevalence_figure(
    values: PredictiveValueCurve, *, here: float = math.nan, name: str = "prevalence"
) -> Drawing:
    """Draw PPV and NPV over prevalence in log odds; ``here`` is the prevalence of the test set."""
    share = numbers(values.prevalence)
    x = np.log(share / (1 - share))
    with styled(name):
        figure, axes = new_axes()
        for label, colour, line, low, high in (
            ("PPV", FIRST, values.ppv, values.ppv_low, values.ppv_high),
            ("NPV", SECOND, values.npv, values.npv_low, values.npv_high),
        ):
            limits = numbers(low), numbers(high)
            axes.fill_between(x, *limits, color=colour[0], alpha=_SHADE, linewidth=0)
            axes.plot(x, numbers(line), color=colour[0], clip_on=False, zorder=3, label=label)
        if 0 < here < 1:
            place = float(np.log(here / (1 - here)))
            axes.axvline(place, color=QUIET[0], linewidth=0.9, dashes=(4, 3))
            side = "left" if here < 0.4 else "right"
            axes.text(place, 0.03, " this test set", color=QUIET[0], fontsize=8.5, ha=side)
        ticks = np.array([0.001, 0.01, 0.05, 0.2, 0.5, 0.8])
        axes.xaxis.set_major_locator(FixedLocator(list(np.log(ticks / (1 - ticks)))))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda odds, _: f"{100 / (1 + np.exp(-odds)):.3g}%")
        )
        axes.set(xlim=(x[0], x[-1]), ylim=(0, 1), xlabel="Prevalence", ylabel="Predictive value")
        axes.legend(loc="center left", bbox_to_anchor=(0.0, 0.62))
        return drawing(figure, name, "Predictive values by prevalence")


class ForestRow(NamedTuple):
    """A row of a forest plot: its text, its interval, and whether it is marked in orange.

    A row without interval is a heading. ``limit`` is drawn as a short vertical line.
    """

    text: str
    interval: Interval | None = None
    marked: bool = False
    limit: float | None = None


def forest_figure(
    rows: Sequence[ForestRow],
    *,
    label: str = "AUROC",
    zero: float | None = 0.5,
    whole: float | None = None,
    name: str = "forest",
) -> Drawing:
    """Draw values of the quantity ``label`` with their intervals, one below another.

    ``zero`` is the value of a dashed line and ``whole`` that of a solid line, the value on all
    images; None draws no line. The text of a row is above its interval, so that the figure is
    narrow enough for a phone and for a column of a journal.
    """
    with styled(name):
        figure, axes = new_axes(height=0.75 + _ROW * len(rows))
        axes.grid(False, axis="y")
        ends: list[float] = [] if zero is None else [zero]
        mark = "non-inferiority margin"
        for number, row in enumerate(rows):
            own = row.interval
            if own is None or not math.isfinite(own.value):
                continue
            colour = SECOND[0] if row.marked else FIRST[0]
            if bounded(own):
                axes.plot([own.low, own.high], [number] * 2, color=colour, linewidth=1.6)
                ends += [own.low, own.high]
            axes.plot([own.value], [number], "o", color=colour, markersize=5.5, zorder=3)
            ends.append(own.value)
            if row.limit is not None:
                axes.plot([row.limit] * 2, [number - 0.38, number + 0.38], color=INK[0], label=mark)
                ends.append(row.limit)
                mark = "_nolegend_"
        if mark == "_nolegend_":
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
        if zero is not None:
            axes.axvline(zero, color=QUIET[0], linewidth=0.9, dashes=(4, 3), zorder=0)
        if whole is not None:
            axes.axvline(whole, color=FIRST[0], linewidth=0.8, alpha=0.6, zorder=0)
        axes.set_yticks([])
        for number, row in enumerate(rows):
            heading = row.interval is None
            style = {"color": QUIET[0] if heading else INK[0], "fontsize": 9.5}
            place = (0.0, number - (0.1 if heading else 0.38))
            text = shorten(row.text, 50)
            axes.text(*place, text, va="center", transform=axes.get_yaxis_transform(), **style)
        axes.set_ylim(len(rows) - 0.6, -0.75)
        if ends:
            margin = 0.04 * max(max(ends) - min(ends), 0.05)
            axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.set_xlabel(label)
        axes.spines["left"].set_visible(False)
        return drawing(figure, name, f"{label}, with intervals")


def write_comparison_figure(comparison: ComparisonDocument, folder: Path) -> Path:
    """Write ``comparison.svg`` and ``comparison.png``; return the path of the latter.

    Intervals are unadjusted 95 % intervals; orange marks a difference with an adjusted p-value
    below 0.05, and a vertical line the margin.

    Raises
    ------
    StorageError
        If the files cannot be written.
    """
    rows: list[ForestRow] = []
    names = [model.name for model in comparison.models]
    several = len(comparison.pairs) > 1
    for pair in comparison.pairs:
        couple = f"{names[pair.second]} minus {names[pair.first]}"
        for label, found in pair.labels.items():
            parts = [couple] * several + [label] * (len(pair.labels) > 1)
            rows += [ForestRow(", ".join(parts))] if parts else []
            for row in found:
                marked = row.p_adjusted is not None and row.p_adjusted < 0.05
                title = describe(row.metric).title
                rows.append(ForestRow(title, row.difference, marked, row.limit))
    axis = "Difference" if several else couple
    drawn = forest_figure(
        rows, label=f"{axis}, unadjusted 95% interval", zero=0.0, name="comparison"
    )
    write_text(folder / "comparison.svg", drawn)
    write_bytes(folder / "comparison.png", drawn.png)
    return folder / "comparison.png"


def robustness_figure(robustness: Robustness, *, name: str = "robustness") -> Drawing:
    """Draw AUROC and calibration error against the strength of each disturbance.

    Each kind of disturbance has a panel; kinds of one strength are left out.
    """
    start = robustness.undisturbed
    shown = [kind for kind in robustness.disturbances if len(kind.steps) > 1]
    columns = 4
    rows = -(-len(shown) // columns)
    lows = [step.auroc.low for kind in shown for step in kind.steps]
    floor = min([low for low in lows if math.isfinite(low)] + [0.5])
    with styled(name):
        figure = Figure(figsize=(2.0 * WIDTH, 1.9 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        for axes, kind in zip(panels, shown, strict=False):
            x = range(len(kind.steps) + 1)
            areas = [start.auroc, *(step.auroc for step in kind.steps)]
            low, high = numbers([own.low for own in areas]), numbers([own.high for own in areas])
            axes.fill_between(x, low, high, color=FIRST[0], alpha=_SHADE, linewidth=0)
            value = numbers([own.value for own in areas])
            axes.plot(x, value, "o-", color=FIRST[0], markersize=3.5, linewidth=1.4)
            errors = [start.calibration_error, *(step.calibration_error for step in kind.steps)]
            axes.plot(x, numbers(errors), color=SECOND[0], linewidth=1.1, dashes=(3, 2))
            axes.axhline(0.5, color=QUIET[0], linewidth=0.7)
            axes.set_title(visible(kind.description))
            axes.set_xticks(list(x), ["0", *(f"{step.strength:g}" for step in kind.steps)])
            axes.tick_params(labelsize=8.5)
            axes.set_ylim(min(0.0, floor), 1.02)
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.grid(False, axis="x")
            axes.xaxis.set_minor_locator(NullLocator())
        axes = panels[0]
        axes.plot([], [], color=FIRST[0], label="AUROC")
        axes.plot([], [], color=SECOND[0], dashes=(3, 2), label="calibration error")
        axes.legend(loc="center left", fontsize=8.5, borderaxespad=0.2)
        return drawing(figure, name, "AUROC and calibration error against disturbances")
