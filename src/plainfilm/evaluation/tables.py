"""Writes the tables of intervals that accompany the documents, as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from plainfilm.metrics import Interval

__all__ = ["ENDS", "ends", "to_csv"]

ENDS = ("value", "low", "high")

Cell = str | float | None


def ends(interval: Interval | None) -> list[Cell]:
    """Return value and limits; all None where there is no interval."""
    return [None] * 3 if interval is None else [interval.value, interval.low, interval.high]


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table as CSV. A cell is empty where it is None or a number that is not finite."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        missing = [
            cell is None or (isinstance(cell, float) and not math.isfinite(cell)) for cell in row
        ]
        writer.writerow(["" if gone else cell for gone, cell in zip(missing, row, strict=True)])
    return text.getvalue()
