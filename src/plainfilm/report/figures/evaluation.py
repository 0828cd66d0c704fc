"""Figures of an evaluation beyond its curves: benefit, prevalence, cells, disturbances, places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from plainfilm.report.figures.canvas import HEIGHT, WIDTH, drawing, numbers, shorten, styled
from plainfilm.report.figures.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.html.markup import visible

__all__ = [
    "benefit_figure",
    "forest_figure",
    "novelty_figure",
    "prevalence_figure",
    "robustness_figure",
]

_BAND = 0.16
_ROW = 0.36


def benefit_figure(curve: Mapping[str, Any], *, name: str = "decision") -> Drawing:
    """Draw net benefit over threshold probability, beside acting on everybody and on nobody.

    ``curve`` is ``curves.decision`` of an evaluation.
    """
    at = numbers(curve["threshold"])
    model, low, high = (numbers(curve[key]) for key in ("model", "low", "high"))
    everybody = numbers(curve["all"])
    with styled(name):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        for start, stop in curve.get("useful") or ():
            axes.axvspan(start, stop, ymin=0.0, ymax=0.018, color=FIRST[0], alpha=0.6, linewidth=0)
        axes.axhline(0, color=INK[0], linewidth=0.9)
        axes.fill_between(at, low, high, color=FIRST[0], alpha=_BAND, linewidth=0)
        axes.plot(at, everybody, color=QUIET[0], linewidth=1.2, dashes=(4, 3), label="everybody")
        axes.plot(at, model, color=FIRST[0], label="the model's calls", zorder=3)
        axes.plot([], [], color=INK[0], linewidth=0.9, label="nobody")
        top = float(np.nanmax(np.r_[high, everybody, 0.02]))
        axes.set_ylim(-0.25 * top, 1.08 * top)
        axes.set_xlim(0, 1)
        axes.set_xlabel("Threshold probability from which one would act")
        axes.set_ylabel("Net benefit per image")
        axes.legend(loc="upper right", title="Acting on", alignment="left", title_fontsize=9.5)
        return drawing(figure, name, "Decision curve")


def prevalence_figure(
    values: Mapping[str, Any], *, here: float | None = None, name: str = "prevalence"
) -> Drawing:
    """Draw PPV and NPV over the share of positives, on a scale of log odds.

    ``values`` is ``predictive_values`` of an operating point; ``here`` the test's own share.
    """
    share = numbers(values["prevalence"])
    x = np.log(share / (1 - share))
    with styled(name):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        for key, colour, words in (("ppv", FIRST, "PPV"), ("npv", SECOND, "NPV")):
            low, high = numbers(values[f"{key}_low"]), numbers(values[f"{key}_high"])
            axes.fill_between(x, low, high, color=colour[0], alpha=_BAND, linewidth=0)
            line = numbers(values[key])
            axes.plot(x, line, color=colour[0], clip_on=False, zorder=3, label=words)
        if here is not None and 0 < here < 1:
            place = float(np.log(here / (1 - here)))
            axes.axvline(place, color=QUIET[0], linewidth=0.9, dashes=(4, 3))
            axes.text(
                place, 0.03, " this test", color=QUIET[0], fontsize=8.5,
                ha="left" if here < 0.4 else "right",
            )  # fmt: skip
        ticks = np.array([0.001, 0.01, 0.05, 0.2, 0.5, 0.8])
        axes.xaxis.set_major_locator(FixedLocator(list(np.log(ticks / (1 - ticks)))))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda odds, _: f"{100 / (1 + np.exp(-odds)):.3g}%")
        )
        axes.set_xlim(x[0], x[-1])
        axes.set_ylim(0, 1)
        axes.set_xlabel("Share of positive images")
        axes.set_ylabel("Share of calls that are right")
        axes.legend(loc="center left", bbox_to_anchor=(0.0, 0.62))
        return drawing(figure, name, "Predictive values over prevalence")


def forest_figure(
    rows: Sequence[Mapping[str, Any]],
    *,
    label: str = "AUROC",
    zero: float | None = 0.5,
    whole: float | None = None,
    name: str = "forest",
) -> Drawing:
    """Draw values with their intervals, one below the other.

    Parameters
    ----------
    rows
        Each has ``words`` and ``value``, and where known ``low`` and ``high``; one without value
        is a heading.
    label
        What the values are.
    zero
        Where a dashed line stands.
    whole
        The value of all images, where a thin line stands.
    name
        Name that makes the ids in the SVG unique in a page.
    """
    with styled(name):
        height = 0.75 + _ROW * len(rows)
        figure = Figure(figsize=(1.45 * WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(False, axis="y")
        ends: list[float] = [] if zero is None else [zero]
        for number, row in enumerate(rows):
            value = row.get("value")
            if value is None:
                continue
            colour = SECOND[0] if row.get("marked") else FIRST[0]
            if row.get("low") is not None and row.get("high") is not None:
                axes.plot([row["low"], row["high"]], [number] * 2, color=colour, linewidth=1.6)
                ends += [row["low"], row["high"]]
            axes.plot([value], [number], "o", color=colour, markersize=5.5, zorder=3)
            ends.append(value)
        if zero is not None:
            axes.axvline(zero, color=QUIET[0], linewidth=0.9, dashes=(4, 3), zorder=0)
        if whole is not None:
            axes.axvline(whole, color=FIRST[0], linewidth=0.8, alpha=0.6, zorder=0)
        words = [shorten(str(row["words"]), 44) for row in rows]
        axes.set_yticks(range(len(rows)), words)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if ends:
            room = 0.04 * max(max(ends) - min(ends), 0.05)
            axes.set_xlim(min(ends) - room, max(ends) + room)
        axes.set_xlabel(label)
        axes.spines["left"].set_visible(False)
        return drawing(figure, name, f"{label}, with intervals")


def robustness_figure(
    kinds: Sequence[Mapping[str, Any]], start: Mapping[str, Any], *, name: str = "robustness"
) -> Drawing:
    """Draw AUROC against the strength of each disturbance, a small panel each.

    ``kinds`` and ``start`` are ``disturbances`` and ``undisturbed`` of an evaluation's
    ``robustness``; kinds of one strength are left out. The dashed line is the calibration error.
    """
    shown = [kind for kind in kinds if len(kind["steps"]) > 1]
    columns = 4
    rows = -(-len(shown) // columns)
    lows = [step["auroc"]["low"] for kind in shown for step in kind["steps"]]
    floor = min([low for low in lows if low is not None] + [0.5])
    with styled(name):
        figure = Figure(figsize=(2.0 * WIDTH, 1.9 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        for axes, kind in zip(panels, shown, strict=False):
            x = range(len(kind["steps"]) + 1)
            areas = [start["auroc"], *(step["auroc"] for step in kind["steps"])]
            low, value, high = (
                numbers([area[key] for area in areas]) for key in ("low", "value", "high")
            )
            axes.fill_between(x, low, high, color=FIRST[0], alpha=_BAND, linewidth=0)
            axes.plot(x, value, "o-", color=FIRST[0], markersize=3.5, linewidth=1.4)
            errors = [start["calibration_error"]]
            errors += [step["calibration_error"] for step in kind["steps"]]
            axes.plot(x, numbers(errors), color=SECOND[0], linewidth=1.1, dashes=(3, 2))
            axes.axhline(0.5, color=QUIET[0], linewidth=0.7)
            axes.set_title(visible(str(kind["description"])))
            axes.set_xticks(list(x), ["0", *(f"{strength:g}" for strength in kind["strengths"])])
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


def novelty_figure(
    histogram: Mapping[str, Any], threshold: float | None, *, name: str = "novelty"
) -> Drawing:
    """Draw how far the images are from those that were learnt from, with the threshold."""
    edges, counts = numbers(histogram["edges"]), numbers(histogram["counts"])
    with styled(name):
        figure = Figure(figsize=(WIDTH, 0.8 * HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        inside = edges[:-1] < (np.inf if threshold is None else threshold)
        widths = np.diff(edges)
        for where, colour in ((inside, FIRST[0]), (~inside, SECOND[0])):
            axes.bar(
                edges[:-1][where], counts[where], widths[where],
                align="edge", color=colour, alpha=0.6, linewidth=0,
            )  # fmt: skip
        if threshold is not None:
            axes.axvline(threshold, color=INK[0], linewidth=1.0)
            axes.text(
                threshold, 1.0, " rejected", va="top", fontsize=8.5, color=QUIET[0],
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        axes.set_xlim(0, max(float(edges[-1]), 1.15 * (threshold or 0.0)))
        axes.set_xlabel("Novelty (1: as far as the farthest hundredth of validation)")
        axes.set_ylabel("Images")
        axes.grid(False, axis="x")
        return drawing(figure, name, "Distribution of novelty")
