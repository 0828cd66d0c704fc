"""Figures of a search: trials in their order, settings against the score, and the spread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from plainfilm.report.figures.canvas import (
    HEIGHT,
    WIDTH,
    Values,
    drawing,
    new_axes,
    numbers,
    shorten,
    styled,
)
from plainfilm.report.figures.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.html.markup import visible

_COLUMNS = 2
_MARGIN = 1.2  # factor between the limits of a setting and of its logarithmic axis


def trials_figure(
    scores: Values, *, words: str, chosen: int | None = None, name: str = "trials"
) -> Drawing:
    """Draw the score of each trial in the order of the trials, and the best so far.

    ``scores`` is (n,), undefined for a failed trial; ``words`` names the score, and ``chosen`` is
    the number of the trial that was chosen.
    """
    values = numbers(scores)
    with styled(name):
        figure, axes = new_axes(height=0.8 * HEIGHT)
        order = np.arange(len(values))
        axes.plot(order, values, "o", color=QUIET[0], markersize=4, label="trial")
        if np.isfinite(values).any():
            best = np.fmax.accumulate(values)
            axes.step(order, best, where="post", color=FIRST[0], label="best so far")
        failed = order[~np.isfinite(values)]
        if len(failed):
            low = np.full(len(failed), axes.get_ylim()[0])
            axes.plot(failed, low, "x", color=SECOND[0], markersize=5, label="failed")
        if chosen is not None and math.isfinite(values[chosen]):
            mark = {"color": SECOND[0], "markersize": 6.5, "zorder": 5, "label": "chosen"}
            axes.plot([chosen], [values[chosen]], "o", **mark)
        axes.set(xlabel="Trial", ylabel=visible(words))
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        axes.legend(loc="best")
        return drawing(figure, name, "Trials of the search")


def settings_figure(
    settings: Mapping[str, Sequence[float | str | None]],
    scores: Values,
    *,
    words: str,
    chosen: int | None = None,
    logarithmic: Mapping[str, tuple[float, float]] = {},
    name: str = "settings",
) -> Drawing:
    """Draw the score of each trial against the value of each setting, a panel for each.

    ``settings`` holds (n,) numbers or texts by name; None where a trial does not have the setting.
    ``words`` and ``chosen`` are those of `trials_figure`; ``logarithmic`` holds the limits of the
    settings on a logarithmic scale.
    """
    values = numbers(scores)
    rows = math.ceil(len(settings) / _COLUMNS)
    columns = min(_COLUMNS, len(settings))
    with styled(name):
        size = (WIDTH * columns, 0.75 * HEIGHT * rows)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes, (setting, own) in zip(panels, settings.items(), strict=False):
            _draw_setting(axes, own, values, chosen, logarithmic.get(setting))
            axes.set_xlabel(shorten(setting, 44))
        for axes in panels[len(settings) :]:
            axes.set_axis_off()
        for axes in panels[::columns]:
            axes.set_ylabel(visible(words))
        return drawing(figure, name, "Settings and scores")


def _draw_setting(
    axes: Any,
    given: Sequence[float | str | None],
    values: Any,
    chosen: int | None,
    limits: tuple[float, float] | None,
) -> None:
    texts = [one for one in dict.fromkeys(given) if isinstance(one, str)]
    places = [texts.index(one) if isinstance(one, str) else one for one in given]
    x = numbers(places)
    axes.plot(x, values, "o", color=FIRST[0], markersize=4, alpha=0.8)
    if chosen is not None:
        axes.plot(x[chosen], values[chosen], "o", color=SECOND[0], markersize=6.5, zorder=5)
    if texts:
        axes.set_xticks(range(len(texts)), [shorten(text, 18) for text in texts])
        axes.set_xlim(-0.5, len(texts) - 0.5)
        return
    if limits is not None:
        axes.set_xscale("log")
        axes.set_xlim(limits[0] / _MARGIN, limits[1] * _MARGIN)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        known = x[np.isfinite(x)]
        whole = bool((known == np.rint(known)).all())
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole))


def fresh_figure(
    trials: Mapping[str, Values],
    searched: Values,
    *,
    words: str,
    chosen: int | None = None,
    name: str = "fresh",
) -> Drawing:
    """Draw the scores of trials with fresh seeds, their means, and those of the search.

    ``trials`` holds a value for each seed by the name of the trial, and ``searched`` the mean of
    each in the search; ``chosen`` is the row of the trial that was chosen.
    """
    before = numbers(searched)
    with styled(name):
        figure, axes = new_axes(1.5 * WIDTH, 0.5 * len(trials) + 1.1)
        for row, own in enumerate(map(numbers, trials.values())):
            first = row == 0
            seeds = {"color": FIRST[0], "markersize": 4.5, "alpha": 0.7}
            axes.plot(own, np.full(len(own), row), "o", label="fresh seed" * first, **seeds)
            axes.plot([own.mean()], [row], "|", color=INK[0], markersize=13, label="mean" * first)
            if row == chosen:
                mark = {"color": SECOND[0], "markersize": 13, "markeredgewidth": 2.5}
                axes.plot([own.mean()], [row], "|", label="mean, chosen", **mark)
            diamond = {"color": QUIET[0], "markersize": 4.5, "label": "in the search" * first}
            axes.plot([before[row]], [row], "D", **diamond)
        axes.set_yticks(range(len(trials)), [shorten(text, 44) for text in trials])
        axes.set_ylim(len(trials) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel(visible(words))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
        return drawing(figure, name, "Scores with fresh seeds")
