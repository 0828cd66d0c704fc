"""Histograms of predicted probabilities, of any quantity by group, and of novelty."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from plainfilm.evaluation.document.label import Histogram
from plainfilm.report.figures.canvas import (
    HEIGHT,
    Values,
    drawing,
    new_axes,
    numbers,
    shorten,
    styled,
)
from plainfilm.report.figures.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.html.markup import visible

_APART = 0.035  # least distance, in probability, of two vertical lines that are labelled separately


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
    with styled(name):
        figure, axes = new_axes()
        _draw_shares(axes, edges, counts, (QUIET, SECOND, FIRST), alpha=0.25, ticks=6, columns=4)
        for points, threshold in _merge_lines(thresholds or {}):
            axes.axvline(threshold, color=INK[0], linewidth=0.9, dashes=(2, 2))
            text = f"{', '.join(shorten(own, 24) for own in points)} "
            side = "right" if threshold > 0.06 else "left"
            _write_at_top(axes, threshold, text, rotation=90, ha=side)
        axes.set(xlabel="Predicted probability", ylabel="Share of the class")
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

    ``edges`` is (k + 1,), ascending, and positive where the horizontal axis is logarithmic.
    ``counts`` holds numbers or shares (k,) by group; each group is drawn as shares of its sum.
    ``words`` and ``of`` are the labels of the horizontal and of the vertical axis.
    """
    with styled(name):
        figure, axes = new_axes(height=0.7 * HEIGHT)
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}".replace(",", "\u202f"))
        _draw_shares(axes, edges, counts, (SECOND, FIRST, QUIET), alpha=0.2, ticks=4, columns=3)
        axes.set(xlabel=visible(words), ylabel=visible(of))
        return drawing(figure, name, visible(words))


def _draw_shares(
    axes: Any,
    edges: Values,
    counts: Mapping[str, Values],
    colours: tuple[tuple[str, str], ...],
    *,
    alpha: float,
    ticks: int,
    columns: int,
) -> None:
    bounds = numbers(edges)
    for (colour, _), (group, values) in zip(cycle(colours), counts.items(), strict=False):
        share = numbers(values)
        share = share / max(float(np.nansum(share)), 1e-9)
        axes.stairs(share, bounds, fill=True, color=colour, alpha=alpha)
        axes.stairs(share, bounds, color=colour, linewidth=1.4, label=shorten(group, 24))
    axes.set_xlim(bounds[0], bounds[-1])
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    if counts:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns)


def _write_at_top(axes: Any, x: float, text: str, **style: Any) -> None:
    place = axes.get_xaxis_transform()
    axes.text(x, 1.0, text, va="top", fontsize=8.5, color=QUIET[0], transform=place, **style)


def _merge_lines(thresholds: Mapping[str, float]) -> list[tuple[list[str], float]]:
    """Return names and position of each line; lines too close for separate names are merged."""
    lines: list[tuple[list[str], float]] = []
    for name, threshold in sorted(thresholds.items(), key=lambda one: one[1]):
        if lines and threshold - lines[-1][1] < _APART:
            lines[-1][0].append(name)
        else:
            lines.append(([name], threshold))
    return lines


def novelty_figure(
    histogram: Histogram, threshold: float | None, *, name: str = "novelty"
) -> Drawing:
    """Draw the distribution of the distance from the training images, with the threshold."""
    edges, counts = numbers(histogram.edges), numbers(histogram.counts)
    with styled(name):
        figure, axes = new_axes(height=0.8 * HEIGHT)
        inside = edges[:-1] < (np.inf if threshold is None else threshold)
        widths = np.diff(edges)
        for where, colour in ((inside, FIRST[0]), (~inside, SECOND[0])):
            style = {"align": "edge", "color": colour, "alpha": 0.6, "linewidth": 0}
            axes.bar(edges[:-1][where], counts[where], widths[where], **style)
        if threshold is not None:
            axes.axvline(threshold, color=INK[0], linewidth=1.0)
            _write_at_top(axes, threshold, " rejected")
        axes.set_xlim(0, max(float(edges[-1]), 1.15 * (threshold or 0.0)))
        axes.set_xlabel("Novelty (1: 99th percentile of validation images)")
        axes.set_ylabel("Images")
        axes.grid(False, axis="x")
        return drawing(figure, name, "Distribution of novelty")
