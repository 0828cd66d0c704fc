"""Predicts with a bundle: from files to predictions, without a training framework."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import cores
from plainfilm.bundle import Bundle, find_rejection, read_bundle
from plainfilm.errors import BundleError, ImageError, UsageError
from plainfilm.network_session import NetworkSession, Shape
from plainfilm.pixels import Image, read_image
from plainfilm.pixels.isolation import ISOLATION
from plainfilm.prediction import Prediction

__all__ = ["Predictor", "load"]

_SHARE = 16  # sources that a thread of `Predictor.predict` takes at once

Sources = Sequence[tuple[int, str | Path | bytes]]


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
        self._check_interface()
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
        """Return calibrated probabilities (n, labels) of prepared images (n, size, size)."""
        return self._run("probabilities", pixels)

    def probabilities_and_novelty(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return probabilities (n, labels) and novelty (n,) of prepared images, in one pass.

        Novelty is None if the bundle has no such output.
        """
        if self.bundle.rejection is None or "novelty" not in self._session.outputs:
            return self._run("probabilities", pixels), None
        probabilities, novelty = self._run_all(("probabilities", "novelty"), pixels)
        return probabilities, novelty

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits (n, outputs), before the temperature is applied."""
        return self._run("logits", pixels)

    def activation_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Return class activation maps (n, labels, height, width), or None if there are none."""
        return self._run("activation", pixels) if self.bundle.has_activation_map else None

    def read(self, source: bytes | str | Path) -> Image:
        """Read and prepare one file.

        Raises
        ------
        ImageError
            If the file cannot be read as an image.
        """
        return read_image(source, self.bundle.pixels)

    def predict(
        self, sources: Iterable[str | Path | bytes], *, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Predict on each source, in order; a file that cannot be read gives an error.

        Parameters
        ----------
        sources
            Paths, or the bytes of files.
        workers
            Number of threads that read and predict. None or 0 uses one more than there are cores,
            because a thread may have to wait for the interpreter.

        Raises
        ------
        UsageError
            If the number of workers is negative.
        """
        if isinstance(sources, str | bytes | Path) or not isinstance(sources, Iterable):
            raise UsageError(
                "predict needs a list of paths or of the bytes of files",
                received=type(sources).__name__,
                remedy="put a single file in a list: predict([path])",
            )
        if workers is not None and workers < 0:
            raise UsageError("the number of workers must not be negative", received=workers)
        workers = workers or cores() + 1
        queue = iter(enumerate(sources))
        share = list(islice(queue, _SHARE))
        if len(share) == 1:  # starting threads would take longer than predicting
            yield from self._predict(share)
            return
        following = list(islice(queue, _SHARE))
        predictor = self._with_one_thread() if following and workers > 1 else self
        with ThreadPoolExecutor(workers) as pool:
            # Up to two shares for each thread are submitted, so that no thread has to wait.
            ahead: deque[Future[list[Prediction]]] = deque()
            while share:
                ahead.append(pool.submit(predictor._predict, share))
                share, following = following, list(islice(queue, _SHARE))
                if not share or len(ahead) >= 2 * workers:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()

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
        """Predict on prepared images (n, size, size) with their metadata, as `predict_images`."""
        rows, novelty = self.probabilities_and_novelty(pixels)
        scores = [None] * len(rows) if novelty is None else [*map(float, novelty)]
        return [*map(self._prediction, rows, scores, pixels, metadata)]

    def _with_one_thread(self) -> Predictor:
        """Return this predictor with one computing thread, unless their number was given.

        Threads that each predict on all cores would wait for each other.
        """
        if self._threads:
            return self
        if self._single is None:
            self._single = copy.copy(self)
            self._single._session = NetworkSession(self.bundle.read_graph(), 1)
        return self._single

    def _predict(self, share: Sources) -> list[Prediction]:
        """Read some sources and predict on them."""
        images: list[Image | ImageError] = []
        with ISOLATION:  # once for all: for a small file it takes a tenth of the decoding time
            for _, source in share:
                try:
                    images.append(self.read(source))
                except ImageError as error:
                    images.append(error)
        good = iter(self.predict_images([one for one in images if isinstance(one, Image)]))
        return [
            replace(next(good), id=_name(*one))
            if isinstance(image, Image)
            else Prediction(_name(*one), {}, reason=image.reason, problem=image.problem)
            for one, image in zip(share, images, strict=True)
        ]

    def _prediction(
        self,
        row: NDArray[np.float32],
        novelty: float | None,
        pixels: NDArray[np.uint8],
        metadata: Mapping[str, str | float],
    ) -> Prediction:
        if not ((row >= 0) & (row <= 1)).all():  # also where one is NaN
            shown = ", ".join(f"{value:g}" for value in row[:3])
            return _invalid(f"values that are not probabilities ({shown})", metadata)
        if novelty is not None and not math.isfinite(novelty):
            return _invalid(f"a novelty that is not finite ({novelty:g})", metadata)
        probabilities = dict(zip(self.labels, map(float, row), strict=True))
        found = Prediction("", probabilities, {}, _whole_numbers(metadata), novelty=novelty)
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

    def _check_interface(self) -> None:
        """Check the declared shapes of the input and the outputs."""
        size, labels = self.bundle.pixels.size, len(self.labels)
        inputs, outputs = self._session.inputs, self._session.outputs
        image, found = inputs.get("image", ()), outputs.get("probabilities", ())
        if len(inputs) > 1 or [*image][1:] != [size, size] or "logits" not in outputs:
            raise BundleError(
                f"{self.bundle.graph} does not have the input and outputs of a bundle",
                received=f"inputs {_shapes(inputs)}; outputs {_shapes(outputs)}",
                remedy=f"the input must be image (n, {size}, {size}), with the outputs "
                "probabilities and logits",
            )
        if len(found) != 2 or (isinstance(found[1], int) and found[1] != labels):
            raise BundleError(
                f"{self.bundle.graph} does not have a probability for each label",
                received=f"probabilities {[*found]}, labels {', '.join(self.labels)}",
            )

    def _run(self, output: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        [result] = self._run_all((output,), pixels)
        return result

    def _run_all(
        self, outputs: Sequence[str], pixels: NDArray[np.uint8]
    ) -> list[NDArray[np.float32]]:
        size = self.bundle.pixels.size
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (size, size):
            raise ValueError(
                f"images must be uint8 of shape (n, {size}, {size}), "
                f"not {pixels.dtype} of shape {pixels.shape}"
            )
        return self._session.run(outputs, pixels)


def _shapes(named: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {[*shape]}" for name, shape in named.items())


def _name(number: int, source: str | Path | bytes) -> str:
    return f"#{number}" if isinstance(source, bytes) else str(source)


def _invalid(returned: str, metadata: Mapping[str, str | float]) -> Prediction:
    counted, problem = _whole_numbers(metadata), f"the network returned {returned}"
    return Prediction("", {}, {}, counted, reason="invalid-output", problem=problem)


def _whole_numbers(metadata: Mapping[str, str | float]) -> dict[str, str | float]:
    """Return metadata with counts as integers: a width is 224, not 224.0."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in metadata.items()
    }


def load(folder: str | Path, *, threads: int = 0) -> Predictor:
    """Load a bundle, or the bundle of a run folder; see `Predictor`."""
    return Predictor(folder, threads=threads)
