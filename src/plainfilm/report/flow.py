"""Where the images went: found, left out and why, split, scored, declined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from plainfilm.data import LeftOut, Manifest
from plainfilm.report.canvas import drawing, styled
from plainfilm.report.style import FIRST, INK, QUIET, SECOND, Drawing
from plainfilm.report.wording import count

__all__ = ["flow_figure", "list_flow", "tell_flow"]

_REASONS = 4
_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}


def list_flow(
    manifest: Manifest, evaluation: Mapping[str, Any], *, whole: bool = True
) -> dict[str, Any]:
    """Count what became of every file.

    Parameters
    ----------
    manifest
        Of the run, every split; or what was evaluated, if ``whole`` is False.
    evaluation
        The content of ``evaluation.json``.
    whole
        Whether the manifest holds the splits of a run.

    Returns
    -------
    ``found``, ``left_out`` (reason to count), ``splits`` (name to ``images``, ``patients``,
    ``positives``), ``unreadable`` (reason to count, of what was to be scored), ``scored``,
    ``rejected`` and ``indeterminate`` (None where the bundle cannot tell).
    """
    late = _reasons(evaluation.get("left_out") or ())
    early = Counter(row.reason for row in manifest.left_out)
    if not whole:
        # The left-out files of a set that is scored as it is are those of the evaluation.
        late, early = Counter(), late + (early - late)
    else:
        late = late - early
    parts: dict[str, dict[str, int]] = {}
    for name in ("train", "validation", "test"):
        own = [record for record in manifest.records if record.split == name]
        if own and whole:
            parts[name] = {
                "images": len(own),
                "patients": len({record.patient for record in own}),
                "positives": sum(1.0 in record.labels for record in own),
            }
    rejection = evaluation.get("rejection") or {}
    known = rejection.get("threshold") is not None
    between = rejection.get("indeterminate") or {}
    scored = int(evaluation.get("n") or 0)
    return {
        "found": len(manifest.records) + sum(early.values()),
        "left_out": dict(early.most_common()),
        "splits": parts,
        "unreadable": dict(late.most_common()),
        "scored": scored,
        "rejected": rejection.get("rejected") if known else None,
        "indeterminate": max(between.values()) if between else None,
    }


def _reasons(rows: Iterable[Mapping[str, Any] | LeftOut]) -> Counter[str]:
    return Counter(
        row.reason if isinstance(row, LeftOut) else str(row.get("reason") or "unknown")
        for row in rows
    )


def tell_flow(listed: Mapping[str, Any]) -> str:
    """Say the diagram in words, for those who listen."""
    told = [f"{count(listed['found'])} files found"]
    if listed["left_out"]:
        told.append("left out: " + _listed(listed["left_out"]))
    for name, part in listed["splits"].items():
        told.append(
            f"{_NAMES[name].lower()}: {count(part['images'])} images of "
            f"{count(part['patients'])} patients, {count(part['positives'])} positive"
        )
    if listed["unreadable"]:
        told.append("not scored: " + _listed(listed["unreadable"]))
    told.append(f"{count(listed['scored'])} scored")
    declined = [key for key in ("rejected", "indeterminate") if listed[key] is not None]
    told += [f"{count(listed[key])} {key}" for key in declined]
    return "; ".join(told) + "."


def _listed(reasons: Mapping[str, int]) -> str:
    pairs = [*reasons.items()]
    more = sum(size for _, size in pairs[_REASONS:])
    texts = [f"{count(size)} {reason}" for reason, size in pairs[:_REASONS]]
    return ", ".join([*texts, *([f"{count(more)} for other reasons"] if more else [])])


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
                    _NAMES[part],
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
    lines = [f"{count(size)} {reason}" for reason, size in pairs[:_REASONS]]
    more = sum(size for _, size in pairs[_REASONS:])
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
