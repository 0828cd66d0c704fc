"""Predicts with a bundle: from files to predictions, without a training framework."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle import Bundle, find_rejection, read_bundle
from plainfilm.decoding.decode import clean_metadata
from plainfilm.errors import BundleError, UsageError
from plainfilm.file_predictions import Predicted, Source, predict_files
from plainfilm.network_outputs import check_interface, check_output, scores_of
from plainfilm.network_session import NetworkSession
from plainfilm.pixels import Image, read_image
from plainfilm.prediction import Prediction

__all__ = ["Predictor", "load"]


class Predictor:
    """A loaded bundle.

    Parameters
    ----------
    bundle
        A bundle, or the path of a bundle or run folder.
    threads
        Number of threads that compute; 0 uses one for each core.

    Raises
    ------
    BundleError
        If the bundle cannot be verified or its graph cannot be loaded.
    """

    def __init__(self, bundle: Bundle | str | Path, *, threads: int = 0) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        self._threads = threads
        self._single: Predictor | None = None
        try:
            self._session = NetworkSession(self.bundle.read_graph(), threads)
        except BundleError as error:
            raise BundleError(
                f"{self.bundle.graph} cannot be loaded: {error.problem}",
                received=error.received,
                remedy=error.remedy,
            ) from error
        check_interface(self.bundle, self._session)
        if threads:  # no second session is made of the graph
            self.bundle = self.bundle.without_graph()

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, in the order of the columns of all arrays."""
        return self.bundle.task.labels

    @property
    def predicts_class(self) -> bool:
        """Return whether the bundle has a threshold, or the most probable class is predicted."""
        return bool(self.bundle.points) or self.bundle.task.kind == "multiclass"

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities (n, labels) of prepared images (n, size, size).

        Raises
        ------
        BundleError
            If the network fails, or its values are not finite numbers of the expected shape.
        """
        return self._run(("probabilities",), pixels)[0]

    def probabilities_and_novelty(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return probabilities (n, labels) and novelty (n,) of prepared images, in one pass.

        Novelty is None if the bundle does not measure it. Errors are those of `probabilities`.
        """
        probabilities, *novelty = self._run(scores_of(self.bundle), pixels)
        return probabilities, novelty[0] if novelty else None

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits (n, outputs), before the temperature is applied.

        Errors are those of `probabilities`.
        """
        return self._run(("logits",), pixels)[0]

    def log_odds(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the log odds (n, labels) of the probabilities, which saturate less than these.

        For a multi-class task they are the logits of the softmax. Errors are those of
        `probabilities`.
        """
        from plainfilm.metrics import apply_recalibration  # not needed for prediction

        logits = self.logits(pixels).astype(np.float64)
        if self.bundle.task.kind == "binary" and logits.shape[1] == 2:  # a softmax of two classes
            logits = logits[:, 1:] - logits[:, :1]
        logits /= self.bundle.temperature
        recalibration = self.bundle.recalibration
        return logits if recalibration is None else apply_recalibration(logits, recalibration)

    def activation_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Return class activation maps (n, labels, height, width), or None if there are none.

        Errors are those of `probabilities`.
        """
        return self._run(("activation",), pixels)[0] if self.bundle.has_activation_map else None

    def read(self, source: bytes | str | Path) -> Image:
        """Read and prepare one file.

        Raises
        ------
        ImageError
            If the file cannot be read as an image.
        """
        return read_image(source, self.bundle.pixels)

    def predict(
        self, sources: Iterable[Source], *, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Predict on each source, in order; a file that cannot be read gives an error.

        Parameters
        ----------
        sources
            Paths, or the bytes of files.
        workers
            Number of decoding processes, which have limits of memory and time; 0 decodes in this
            process, without limits. Default: one for each core, or 0 for fewer than 64 sources.

        Raises
        ------
        UsageError
            If the number of workers is negative.
        """
        with closing(self.predict_with_pixels(sources, workers=workers)) as predicted:
            for prediction, _ in predicted:
                yield prediction

    def predict_with_pixels(
        self, sources: Iterable[Source], *, workers: int | None = None
    ) -> Generator[Predicted]:
        """Predict as `predict`, and yield each prediction with the image that it is of.

        That is uint8 (size, size), or None if the file cannot be read.
        """
        if isinstance(sources, str | bytes | Path) or not isinstance(sources, Iterable):
            raise UsageError(
                "predict needs a list of paths or of the bytes of files",
                received=type(sources).__name__,
                remedy="put a single file in a list: predict([path])",
            )
        if workers is not None and workers < 0:
            raise UsageError("the number of workers must not be negative", received=workers)
        yield from predict_files(self, sources, workers)

    def predict_images(self, images: Sequence[Image]) -> list[Prediction]:
        """Predict on images that are read already, in order and in one pass.

        The predictions have no ``id``. They do not depend on the other images.
        """
        if not images:
            return []
        pixels = np.stack([image.pixels for image in images])
        return self.predict_pixels(pixels, [image.metadata for image in images])

    def predict_pixels(
        self, pixels: NDArray[np.uint8], metadata: Sequence[Mapping[str, str | float]]
    ) -> list[Prediction]:
        """Predict on prepared images (n, size, size) with their metadata, as `predict_images`.

        An image on which the network fails has no prediction and the reason ``invalid-output``.
        """
        if not len(pixels):
            return []
        try:
            rows, *novelty = self._run(scores_of(self.bundle), pixels, finite=False)
        except BundleError as error:
            if len(pixels) == 1:
                return [_invalid(error.problem, metadata[0])]
            # Perhaps it fails on one image only, which must not cost the others.
            singly = [slice(row, row + 1) for row in range(len(pixels))]
            return [one for k in singly for one in self.predict_pixels(pixels[k], metadata[k])]
        scores = [*map(float, novelty[0])] if novelty else [None] * len(rows)
        return [*map(self._prediction, rows, scores, pixels, metadata)]

    def with_one_thread(self) -> Predictor:
        """Return this predictor with one computing thread, unless their number was given.

        Threads that each predict on all cores would wait for each other.
        """
        if self._threads:
            return self
        if self._single is None:
            self._single = copy.copy(self)
            self._single._session = NetworkSession(self.bundle.read_graph(), 1)
        return self._single

    def _prediction(
        self,
        row: NDArray[np.float32],
        novelty: float | None,
        pixels: NDArray[np.uint8],
        metadata: Mapping[str, str | float],
    ) -> Prediction:
        if not ((row >= 0) & (row <= 1)).all():  # also where one is NaN
            shown = ", ".join(f"{value:g}" for value in row[:3])
            problem = f"the network returned values that are not probabilities ({shown})"
            return _invalid(problem, metadata)
        if novelty is not None and not 0 <= novelty < math.inf:
            problem = f"the network returned a novelty that is not finite, or below 0 ({novelty:g})"
            return _invalid(problem, metadata)
        probabilities = dict(zip(self.labels, map(float, row), strict=True))
        counted = clean_metadata(metadata)
        found = Prediction("", probabilities, {}, counted, novelty=novelty)
        rejection = find_rejection(self.bundle, pixels, metadata, novelty)
        if rejection is not None:
            return replace(found, rejected=True, **rejection._asdict())
        return replace(
            found,
            predicted=self._predicted(probabilities),
            indeterminate=tuple(
                label
                for label, limits in self.bundle.indeterminate.items()
                if limits.low <= probabilities[label] < limits.high
            ),
        )

    def _predicted(self, probabilities: dict[str, float]) -> dict[str, str]:
        """Return the predicted class at each operating point."""
        task = self.bundle.task
        if task.kind == "multiclass":
            return {"most-likely": max(probabilities, key=probabilities.__getitem__)}
        predicted = {}
        for point in self.bundle.operating_points:
            positive = probabilities[point.label] >= point.threshold
            if task.kind == "binary":
                predicted[point.name] = task.classes[1] if positive else task.classes[0]
            else:
                predicted[f"{point.label}/{point.name}"] = "positive" if positive else "negative"
        return predicted

    def _run(
        self, outputs: Sequence[str], pixels: NDArray[np.uint8], *, finite: bool = True
    ) -> list[NDArray[np.float32]]:
        """Return outputs of the network, whose shapes are checked, and values if ``finite``."""
        size = self.bundle.pixels.size
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (size, size):
            raise ValueError(
                f"images must be uint8 of shape (n, {size}, {size}), "
                f"not {pixels.dtype} of shape {pixels.shape}"
            )
        found = self._session.run(outputs, pixels)
        for name, values in zip(outputs, found, strict=True):
            check_output(name, values, len(pixels), len(self.labels), finite=finite)
        return found


def _invalid(problem: str, metadata: Mapping[str, str | float]) -> Prediction:
    counted = clean_metadata(metadata)
    return Prediction("", {}, {}, counted, reason="invalid-output", problem=problem)


def load(folder: str | Path, *, threads: int = 0) -> Predictor:
    """Load a bundle, or the bundle of a run folder; see `Predictor`."""
    return Predictor(folder, threads=threads)
