"""The flow diagram of the images: found, left out and why, split, scored, rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from plainfilm.report.figures.canvas import drawing, styled
from plainfilm.report.figures.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.file_counts import REASONS, SPLIT_NAMES
from plainfilm.report.wording import count

__all__ = ["flow_figure"]


def flow_figure(listed: Mapping[str, Any], *, name: str = "flow") -> Drawing:
    """Draw the diagram of `list_flow`, as STARD and TRIPOD ask for it."""
    parts = listed["splits"]
    with styled(name):
        figure = Figure(figsize=(8.0, 4.4 if parts else 3.0), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.grid(False)
        axes.set_xlim(0, 12)
        axes.set_ylim(0, 8.4 if parts else 5.6)
        top = 7.6 if parts else 4.8
        _box(axes, 4, top, 3.6, ("Found", f"{count(listed['found'])} files"), INK[0])
        if listed["left_out"]:
            lines = ["Left out", *_lines(listed["left_out"])]
            _box(axes, 9.8, top - 0.18 * (len(lines) - 2), 3.8, lines, SECOND[0])
            _arrow(axes, (5.85, top), (7.85, top))
        under = 4.0
        if parts:
            places: dict[str, float] = {"train": 1.6, "validation": 4.9, "test": 8.2}
            if "train" not in parts and "validation" not in parts:
                places = {"test": 4}
            for part, values in parts.items():
                lines = [
                    SPLIT_NAMES[part],
                    f"{count(values['images'])} images",
                    f"{count(values['patients'])} patients",
                    f"{count(values['positives'])} positive",
                ]
                _box(axes, places[part], top - 3.0, 2.9, lines, FIRST[0])
                _arrow(axes, (4, top - 0.55), (places[part], top - 2.05))
            under = places.get("test", places[next(reversed(parts))])
            top -= 3.1
        bottom = top - 2.6
        if parts or listed["scored"]:
            lines = ["Scored", f"{count(listed['scored'])} images"]
            for key in ("rejected", "indeterminate"):
                if listed[key] is not None:
                    lines.append(f"{count(listed[key])} {key}")
            _box(axes, under, bottom, 2.9, lines, INK[0])
            _arrow(axes, (under, top - 0.85 if parts else top - 0.55), (under, bottom + 0.85))
        if listed["unreadable"]:
            lines = ["Not scored", *_lines(listed["unreadable"])]
            _box(axes, max(under - 3.4, 1.6) if parts else 8.0, bottom, 2.9, lines, SECOND[0])
        return drawing(figure, name, "Flow of the images")


def _lines(reasons: Mapping[str, int]) -> list[str]:
    pairs = [*reasons.items()]
    lines = [f"{count(size)} {reason}" for reason, size in pairs[:REASONS]]
    more = sum(size for _, size in pairs[REASONS:])
    return [*lines, *([f"{count(more)} other"] if more else [])]


def _box(axes: Any, x: float, y: float, width: float, lines: Sequence[str], colour: str) -> None:
    """Draw a box around lines of text, the first of which is its title."""
    height = 0.36 * len(lines) + 0.3
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0.02,rounding_size=0.12",
        facecolor=colour,
        alpha=0.08,
        linewidth=0,
    )
    axes.add_patch(patch)
    for number, line in enumerate(lines):
        axes.text(
            x,
            y + height / 2 - 0.33 - 0.36 * number,
            line,
            ha="center",
            va="center",
            fontsize=9.5,
            color=colour if number == 0 else INK[0],
        )


def _arrow(axes: Any, start: tuple[float, float], stop: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": QUIET[0], "linewidth": 0.9, "shrinkA": 0, "shrinkB": 2}
    axes.annotate("", xy=stop, xytext=start, arrowprops=style)
