"""The flow diagram of the images: found, left out and why, split, scored, rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.patches import FancyBboxPatch

from plainfilm.report.figures.canvas import drawing, new_axes, styled
from plainfilm.report.figures.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.file_counts import FileCounts, list_reasons
from plainfilm.report.wording import counted


def flow_figure(files: FileCounts, *, name: str = "flow") -> Drawing:
    """Draw the flow diagram that STARD and TRIPOD ask for."""
    with styled(name):
        figure, axes = new_axes(8.0, 4.4 if files.splits else 3.0)
        axes.set_axis_off()
        axes.set(xlim=(0, 12), ylim=(0, 8.4 if files.splits else 5.6))
        top = 7.6 if files.splits else 4.8
        _box(axes, 4, top, 3.6, ("Found", counted(files.found, "file")), INK[0])
        if files.left_out:
            lines = ["Left out", *list_reasons(files.left_out)]
            _box(axes, 9.8, top - 0.18 * (len(lines) - 2), 3.8, lines, SECOND[0])
            _arrow(axes, (5.85, top), (7.85, top))
        under = _draw_splits(axes, files, top)
        bottom = top - (5.7 if files.splits else 2.6)
        if files.splits or files.scored:
            lines = ["Scored", *files.scored_lines()]
            _box(axes, under, bottom, 2.9, lines, INK[0])
            start = top - (3.95 if files.splits else 0.55)
            _arrow(axes, (under, start), (under, bottom + 0.85))
        if files.unreadable:
            lines = ["Not scored", *list_reasons(files.unreadable)]
            x = max(under - 3.4, 1.6) if files.splits else 8.0
            _box(axes, x, bottom, 2.9, lines, SECOND[0])
        return drawing(figure, name, "Flow of the images")


def _draw_splits(axes: Any, files: FileCounts, top: float) -> float:
    """Draw a box for each split; return the position of the box below which scoring is drawn."""
    if not files.splits:
        return 4.0
    places = {"train": 1.6, "validation": 4.9, "test": 8.2}
    if files.splits.keys() == {"test"}:
        places = {"test": 4}
    for name in files.splits:
        _box(axes, places[name], top - 3.0, 2.9, files.split_lines(name), FIRST[0])
        _arrow(axes, (4, top - 0.55), (places[name], top - 2.05))
    return places.get("test", places[list(files.splits)[-1]])


def _box(axes: Any, x: float, y: float, width: float, lines: Sequence[str], colour: str) -> None:
    """Draw a box around lines of text; the first line is its title."""
    height = 0.36 * len(lines) + 0.3
    corner, shape = (x - width / 2, y - height / 2), "round,pad=0.02,rounding_size=0.12"
    style: dict[str, Any] = {"facecolor": colour, "alpha": 0.08, "linewidth": 0}
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, **style))
    for number, line in enumerate(lines):
        place = (x, y + height / 2 - 0.33 - 0.36 * number)
        style = {"fontsize": 9.5, "color": INK[0] if number else colour}
        axes.text(*place, line, ha="center", va="center", **style)


def _arrow(axes: Any, start: tuple[float, float], stop: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": QUIET[0], "linewidth": 0.9, "shrinkA": 0, "shrinkB": 2}
    axes.annotate("", xy=stop, xytext=start, arrowprops=style)
