"""What the service counts, in the text format of Prometheus.

Every label has few values, all of them ours: nothing that a client sends becomes one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Histogram", "Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Counts of values by upper bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield it as text."""
        total = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:g}"
        yield f"{name}_count {total}"


class Metrics:
    """All counters of one service."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.images: Counter[tuple[str, str]] = Counter()
        self.workers: Counter[str] = Counter()
        self.swaps: Counter[str] = Counter()
        self.seconds = Histogram(_SECONDS)
        self.batches = Histogram(_BATCHES)
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def gauge(self, name: str, words: str, read: Callable[[], float]) -> None:
        """Tell a value as it is when it is asked for."""
        self.gauges[name] = (words, read)

    def text(self, bundles: Sequence[Mapping[str, str]]) -> str:
        """Return all of it."""
        return "\n".join([*self._lines(bundles), ""])

    def _lines(self, bundles: Sequence[Mapping[str, str]]) -> Iterator[str]:
        yield from _head("plainfilm_requests_total", "counter", "Requests by route and status.")
        for (route, status), count in sorted(self.requests.items()):
            yield _line(
                "plainfilm_requests_total", (("route", route), ("status", str(status))), count
            )
        yield from _head("plainfilm_images_total", "counter", "Images by bundle and outcome.")
        for (bundle, outcome), count in sorted(self.images.items()):
            labels = (("bundle", bundle), ("outcome", outcome))
            yield _line("plainfilm_images_total", labels, count)
        yield from _head("plainfilm_decoders_total", "counter", "Events of decoding processes.")
        for event, count in sorted(self.workers.items()):
            yield _line("plainfilm_decoders_total", (("event", event),), count)
        yield from _head("plainfilm_swaps_total", "counter", "Bundles read again, by outcome.")
        for outcome, count in sorted(self.swaps.items()):
            yield _line("plainfilm_swaps_total", (("outcome", outcome),), count)
        yield from _head(
            "plainfilm_request_seconds", "histogram", "Time from a request's headers to its answer."
        )
        yield from self.seconds.lines("plainfilm_request_seconds")
        yield from _head("plainfilm_batch_images", "histogram", "Images in a run of the network.")
        yield from self.batches.lines("plainfilm_batch_images")
        for name, (words, read) in sorted(self.gauges.items()):
            yield from _head(name, "gauge", words)
            yield f"{name} {read():g}"
        yield from _head("plainfilm_bundle_info", "gauge", "The bundles that are served.")
        for identity in bundles:
            yield _line("plainfilm_bundle_info", tuple(identity.items()), 1)


def _head(name: str, kind: str, words: str) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{key}="{text}"' for key, text in labels)
    return f"{name}{{{told}}} {value:g}"
