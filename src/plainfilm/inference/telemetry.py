"""Counters, histograms and gauges in the text format of Prometheus.

All label values come from the server: a value that a client sends never becomes a label.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Lines = Callable[[str], Iterable[str]]
"""Function that returns the lines of a metric from its name."""


class Count:
    """A counter for each combination of label values."""

    def __init__(self, *labels: str) -> None:
        self._labels = labels
        self.values: Counter[tuple[str, ...]] = Counter()

    def add(self, *values: str) -> None:
        """Add one to the counter of these label values."""
        self.values[values] += 1

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of text."""
        for values, count in sorted(self.values.items()):
            yield _line(name, dict(zip(self._labels, values, strict=True)), count)


class Histogram:
    """Counts of values below upper bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of text."""
        total = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:g}"
        yield f"{name}_count {total}"


class Telemetry:
    """All counters of one server."""

    def __init__(self) -> None:
        self.requests = Count("route", "status")
        self.images = Count("bundle", "outcome")
        self.decoders = Count("event")
        self.swaps = Count("outcome")
        self.seconds = Histogram(
            (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
        )
        self.batches = Histogram((1, 2, 4, 8, 16, 32, 64))
        self._metrics: list[tuple[str, str, str, Lines]] = [
            (name, "histogram" if isinstance(one, Histogram) else "counter", description, one.lines)
            for name, description, one in (
                ("requests_total", "Requests by route and status.", self.requests),
                ("images_total", "Images by bundle and outcome.", self.images),
                ("decoders_total", "Events of decoding processes.", self.decoders),
                ("swaps_total", "Reloads of bundles by outcome.", self.swaps),
                ("request_seconds", "Seconds from the headers to the answer.", self.seconds),
                ("batch_images", "Images in a run of the network.", self.batches),
            )
        ]

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Add a value that is read when the text is requested."""
        self._metrics.append((name, "gauge", description, lambda full: [f"{full} {read():g}"]))

    def info(
        self, name: str, description: str, read: Callable[[], Iterable[Mapping[str, str]]]
    ) -> None:
        """Add rows of labels, each with the value 1, that are read when the text is requested."""
        lines: Lines = lambda full: [_line(full, row, 1) for row in read()]  # noqa: E731
        self._metrics.append((name, "gauge", description, lines))

    def text(self) -> str:
        """Return everything in the text format."""
        text = []
        for name, kind, description, lines in self._metrics:
            full = f"plainfilm_{name}"
            text += [f"# HELP {full} {description}", f"# TYPE {full} {kind}", *lines(full)]
        return "\n".join([*text, ""])


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value:g}"
