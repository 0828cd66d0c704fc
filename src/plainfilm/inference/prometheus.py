"""Counters and histograms with labels, in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Lines = Callable[[str], Iterable[str]]
"""Function that returns the lines of a metric from its name."""


class Count:
    """A counter for each combination of label values."""

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self.values: Counter[tuple[str, ...]] = Counter()

    def add(self, *values: str, count: int = 1) -> None:
        """Add to the counter of these label values; a count of 0 makes it visible."""
        self.values[values] += count

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of text."""
        for values, count in sorted(self.values.items()):
            yield line(name, dict(zip(self.labels, values, strict=True)), count)


class Histogram:
    """Counts of values below upper bounds, for each combination of label values."""

    def __init__(self, bounds: Sequence[float], *labels: str) -> None:
        self._bounds, self.labels = bounds, labels
        self.values: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}
        if not labels:
            self.start()

    def start(self, *values: str) -> tuple[list[int], list[float]]:
        """Make the histogram of these label values visible, and return its counts and its sum."""
        return self.values.setdefault(values, ([0] * (len(self._bounds) + 1), [0.0]))

    def add(self, value: float, *values: str) -> None:
        """Count one value; a NaN or an infinity, which would spoil the sum, is left out."""
        if math.isfinite(value):
            counts, total = self.start(*values)
            counts[bisect_left(self._bounds, value)] += 1
            total[0] += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of text."""
        for values, (counts, (total,)) in sorted(self.values.items()):
            labels, below = dict(zip(self.labels, values, strict=True)), 0
            for bound, count in zip((*self._bounds, "+Inf"), counts, strict=True):
                below += count
                yield line(f"{name}_bucket", labels | {"le": str(bound)}, below)
            yield line(f"{name}_sum", labels, total)
            yield line(f"{name}_count", labels, below)


def header(name: str, kind: Kind, description: str) -> list[str]:
    """Return the lines that precede the values of a metric."""
    return [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]


def line(name: str, labels: Mapping[str, str], value: float) -> str:
    """Return the line of one value, with all its digits."""
    pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
