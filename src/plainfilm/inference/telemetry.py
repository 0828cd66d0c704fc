"""The metrics of a server.

All label values come from the server and its bundles: a value that a client sends never becomes a
label. The series of a bundle have its name and its id, because the distribution of a network's
probabilities is comparable only with that of the same network: a swapped bundle starts new series,
and one that is loaded again without a change continues its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from plainfilm._machine import resident_bytes
from plainfilm.bundle import REJECTIONS, BundleMetadata
from plainfilm.inference.codes import IMAGE_CODES
from plainfilm.inference.prometheus import Count, Histogram, Kind, Lines, header, line
from plainfilm.prediction import Prediction

MOST_LABELS = 50
"""Labels of a bundle that have a histogram of probabilities, the first ones."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
# Shares of the novelty at which an image is rejected; half of the images are near 0.7.
_NOVELTY = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 4.0)

BundleKey = tuple[str, str]
"""Name and id of a bundle."""


class Telemetry:
    """All metrics of one server."""

    def __init__(self) -> None:
        self.requests = Count("route", "status")
        self.images = Count("bundle", "id", "outcome", "reason")
        self.probabilities = Histogram(_PROBABILITIES, "bundle", "id", "label")
        self.novelty = Histogram(_NOVELTY, "bundle", "id")
        self.decoders = Count("event")
        self.swaps = Count("outcome")
        self.audit_errors = Count("event")
        self.seconds, self.decoding = Histogram(_SECONDS), Histogram(_SECONDS)
        self.network = Histogram(_SECONDS)
        self.batches = Histogram((1, 2, 4, 8, 16, 32, 64))
        self._per_bundle = (self.images, self.probabilities, self.novelty)
        for count, values in (
            (self.decoders, ("started", "died", "late")),
            (self.swaps, ("swapped", "kept")),
            (self.audit_errors, ("not-written", "not-synced")),
        ):
            for value in values:
                count.add(value, count=0)
        self._metrics: list[tuple[str, Kind, str, Lines]] = [
            (
                f"plainfilm_{name}",
                "histogram" if isinstance(one, Histogram) else "counter",
                description,
                one.lines,
            )
            for name, description, one in (
                ("requests_total", "Requests by route and status.", self.requests),
                ("images_total", "Images by bundle, outcome and reason.", self.images),
                ("probability", "Probabilities of images not rejected.", self.probabilities),
                ("novelty_ratio", "Novelty divided by the limit of rejection.", self.novelty),
                ("decoders_total", "Events of decoding processes.", self.decoders),
                ("swaps_total", "Reloads of bundles by outcome.", self.swaps),
                ("audit_errors_total", "Failed writes of the audit log.", self.audit_errors),
                ("request_seconds", "Seconds from the headers to the answer.", self.seconds),
                ("decode_seconds", "Seconds to decode a file, with its wait.", self.decoding),
                ("network_seconds", "Seconds of a run of the network.", self.network),
                ("batch_images", "Images in a run of the network.", self.batches),
            )
        ]
        started = time.time()
        self._gauge("process_start_time_seconds", "Start of this process.", lambda: started)
        self._gauge("process_resident_memory_bytes", "Memory of this process.", resident_bytes)

    def start_bundle(self, bundle: BundleKey, metadata: BundleMetadata) -> None:
        """Make the series of a bundle visible at 0, so that their first increase is seen."""
        for outcome in ("predicted", "indeterminate"):
            self.images.add(*bundle, outcome, "", count=0)
        for outcome, reasons in (("rejected", REJECTIONS), ("no-prediction", IMAGE_CODES)):
            for reason in reasons:
                self.images.add(*bundle, outcome, reason, count=0)
        for label in metadata.task.labels[:MOST_LABELS]:
            self.probabilities.start(*bundle, label)
        if metadata.rejection is not None:
            self.novelty.start(*bundle)

    def keep_bundles(self, kept: Iterable[BundleKey]) -> None:
        """Remove the series of all other bundles."""
        keys = {*kept}
        for metric in self._per_bundle:
            for values in [one for one in metric.values if one[:2] not in keys]:
                del metric.values[values]

    def add_failure(self, bundle: BundleKey, code: str) -> None:
        """Count an image without a prediction."""
        self.images.add(*bundle, "no-prediction", code)

    def add_prediction(
        self, bundle: BundleKey, prediction: Prediction, metadata: BundleMetadata
    ) -> None:
        """Count an image that could be read, with its probabilities and novelty."""
        outcome = "indeterminate" if prediction.indeterminate else "predicted"
        outcome = "rejected" if prediction.rejected else outcome
        self.images.add(*bundle, outcome, prediction.reason or "")
        if not prediction.rejected:
            for label in metadata.task.labels[:MOST_LABELS]:
                self.probabilities.add(prediction.probabilities[label], *bundle, label)
        limit = 0.0 if metadata.rejection is None else metadata.rejection.threshold
        if prediction.novelty is not None and limit > 0:
            self.novelty.add(prediction.novelty / limit, *bundle)

    def add_run(self, images: int, seconds: float) -> None:
        """Count a run of the network."""
        self.batches.add(images)
        self.network.add(seconds)

    def gauge(self, name: str, description: str, read: Callable[[], float | None]) -> None:
        """Add a value that is read when the text is requested; None leaves it out."""
        self._gauge(f"plainfilm_{name}", description, read)

    def _gauge(self, name: str, description: str, read: Callable[[], float | None]) -> None:
        def lines(full: str) -> Iterable[str]:
            value = read()
            return [] if value is None else [line(full, {}, value)]

        self._metrics.append((name, "gauge", description, lines))

    def info(
        self, name: str, description: str, read: Callable[[], Iterable[Mapping[str, str]]]
    ) -> None:
        """Add rows of labels, each with the value 1, that are read when the text is requested."""
        lines: Lines = lambda full: [line(full, row, 1) for row in read()]  # noqa: E731
        self._metrics.append((f"plainfilm_{name}", "gauge", description, lines))

    def add_metric(self, name: str, kind: Kind, description: str, lines: Lines) -> None:
        """Add a metric of one kind of server; ``lines`` returns its lines of text."""
        self._metrics.append((f"plainfilm_{name}", kind, description, lines))

    def text(self) -> str:
        """Return everything in the text format."""
        text: list[str] = []
        for name, kind, description, lines in self._metrics:
            text += [*header(name, kind, description), *lines(name)]
        return "\n".join([*text, ""])
