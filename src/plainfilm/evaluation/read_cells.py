"""Reads the cells of human readers: calls as 1 and 0, words or classes, and ratings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from plainfilm.data.sources.classes.names import fold_class
from plainfilm.data.sources.tables.label_values import meaning_of, plain_cell
from plainfilm.errors import SourceError
from plainfilm.evaluation.reader_kinds import Kind, decide_kind
from plainfilm.evaluation.view import Floats
from plainfilm.records import Task


def read_cells(
    cells: Sequence[str],
    column: str,
    task: Task,
    readers: Sequence[str],
    images: Sequence[str],
) -> Iterator[tuple[str, Kind, Floats]]:
    """Yield each label of a column with its kind of cells and their values, NaN where blank.

    Parameters
    ----------
    cells
        Calls (1 and 0, words for yes and no, or classes), or ratings: numbers, where each reader
        has some that are neither 1 nor 0.
    column
        The label, or an empty name for a column of classes or of the one label of a binary task.
    readers, images
        Reader and image of each cell.
    """
    if task.kind == "multiclass":
        yield from _classes(cells, task)
        return
    label = column or task.labels[0]
    words = _words(task) if task.kind == "binary" else {}
    unique = dict.fromkeys(cells)
    numbers = {cell: _number(cell) for cell in unique}
    blank = {
        cell for cell in unique if meaning_of(cell) == "blank" and fold_class(cell) not in words
    }
    rated = [numbers[cell] for cell in unique if cell not in blank]
    if all(value is not None for value in rated) and set(rated) - {0.0, 1.0}:
        values = {c: math.nan if c in blank else float(numbers[c] or 0.0) for c in unique}
        ratings = np.array([values[cell] for cell in cells])
        yield label, decide_kind(ratings, readers, images, label), ratings
        return
    called = {cell: math.nan if cell in blank else _call(cell, label, words) for cell in unique}
    yield label, "calls", np.array([called[cell] for cell in cells])


def _words(task: Task) -> dict[str, float]:
    """Return the value of each class of a binary task."""
    return {fold_class(name): float(at) for at, name in enumerate(task.classes)}


def _call(cell: str, label: str, words: dict[str, float]) -> float:
    if (value := words.get(fold_class(cell))) is not None:
        return value
    meaning = meaning_of(cell)
    if meaning in ("yes", "no"):
        return float(meaning == "yes")
    raise SourceError(
        f"a call of {label} is neither positive nor negative",
        received=repr(cell[:40]),
        remedy="write 1, 0 or a class; or numbers in all cells for ratings; blank means missing",
    )


def _classes(cells: Sequence[str], task: Task) -> Iterator[tuple[str, Kind, Floats]]:
    """Yield the calls of each class of a multi-class task against the others."""
    numbers = {fold_class(name): at for at, name in enumerate(task.labels)}
    chosen: dict[str, float] = {}
    for cell in dict.fromkeys(cells):
        place = numbers.get(fold_class(cell))
        if place is None and meaning_of(cell) != "blank":
            raise SourceError(
                "a call is not a class of the task",
                received=repr(cell[:40]),
                remedy=f"write one of {', '.join(task.labels)}; blank means missing",
            )
        chosen[cell] = math.nan if place is None else float(place)
    index = np.array([chosen[cell] for cell in cells])
    for at, label in enumerate(task.labels):
        yield label, "calls", np.where(np.isnan(index), np.nan, index == at)


def _number(cell: str) -> float | None:
    """Return a finite number, also with a decimal comma, or None."""
    try:
        value = float(plain_cell(cell).replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
