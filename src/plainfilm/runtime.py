"""The predictor: bytes to prediction, from a bundle, with no training framework installed."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import cores
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.errors import BundleError, ImageError, UsageError
from plainfilm.pixels import Image, read_image
from plainfilm.pixels.isolation import ISOLATION
from plainfilm.records import Prediction

__all__ = ["Predictor", "load"]

# Big enough to keep the arithmetic units busy, small enough that the first answers of a long folder
# come at once and memory stays flat.
_CHUNK = 64
_SHARE = 16  # images that one thread reads and answers for, in `predict`


class Predictor:
    """A bundle, ready to answer.

    Parameters
    ----------
    bundle
        A bundle, or the path of a bundle or run folder.
    threads
        How many threads compute; 0 leaves it to ONNX Runtime, which takes one per core.

    Raises
    ------
    BundleError
        If the bundle cannot be verified or its graph cannot be run.
    """

    def __init__(self, bundle: Bundle | str | Path, *, threads: int = 0) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        self._threads = threads
        self._of_one_thread: Predictor | None = None
        try:
            self._graph = self.bundle.graph.read_bytes()
            self._session: Any = _session(self._graph, threads)
        except Exception as error:  # ONNX Runtime's own exceptions share no public base
            raise BundleError(
                f"{self.bundle.graph} cannot be run", received=str(error).splitlines()[0]
            ) from error
        self._outputs = {one.name: one.shape for one in self._session.get_outputs()}
        self._tells_novelty = self.bundle.rejection is not None and "novelty" in self._outputs

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, in the order of every array of probabilities."""
        return self.bundle.task.labels

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return calibrated probabilities (n, labels) of prepared images (n, size, size)."""
        return self._run("probabilities", pixels)

    def probabilities_and_novelty(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return probabilities (n, labels) and novelty (n,) of prepared images, in one pass.

        Novelty is None where the bundle has no such output.
        """
        if not self._tells_novelty:
            return self._run("probabilities", pixels), None
        probabilities, novelty = self._run_all(("probabilities", "novelty"), pixels)
        return probabilities, novelty

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the network says before temperature, (n, outputs)."""
        return self._run("logits", pixels)

    def activation_maps(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Return class activation maps (n, labels, height, width), or None if there are none."""
        if not self.bundle.has_activation_map:
            return None
        return self._run("activation", pixels)

    def read(self, source: bytes | str | Path) -> Image:
        """Read one file as the network sees it.

        Raises
        ------
        ImageError
            If it does not become an image.
        """
        return read_image(source, self.bundle.pixels)

    def predict(
        self, sources: Iterable[str | Path | bytes], *, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Answer for each source, in their order; a bad one gets an answer with its error.

        Parameters
        ----------
        sources
            Paths, or the bytes of files.
        workers
            Threads, each of which reads and answers; None or 0 takes one per core and one more,
            for while one computes another may wait for the interpreter.

        Raises
        ------
        UsageError
            If the number of workers is negative.
        """
        if workers is not None and workers < 0:
            raise UsageError("the number of workers must not be negative", received=workers)
        workers = workers or cores() + 1
        queue = iter(enumerate(sources))
        share = list(islice(queue, _SHARE))
        if len(share) == 1:  # threads would take longer to start than the answer takes
            yield from self._answer(share)
            return
        following = list(islice(queue, _SHARE))
        answer = self._single()._answer if following and workers > 1 else self._answer
        with ThreadPoolExecutor(workers) as pool:
            # Each thread reads and answers for a share of its own, so that none waits for another;
            # a share for each is ready when one is taken.
            ahead: deque[Future[list[Prediction]]] = deque()
            while share:
                ahead.append(pool.submit(answer, share))
                share, following = following, list(islice(queue, _SHARE))
                if not share or len(ahead) >= 2 * workers:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()

    def _single(self) -> Predictor:
        """Return this predictor with one thread of its own, for threads that each compute alone.

        Several threads that all compute on all cores wait for each other. Where a number of threads
        was asked for, that holds.
        """
        if self._threads:
            return self
        if self._of_one_thread is None:
            self._of_one_thread = copy.copy(self)
            self._of_one_thread._session = _session(self._graph, 1)
        return self._of_one_thread

    def _answer(self, share: Sequence[tuple[int, str | Path | bytes]]) -> list[Prediction]:
        """Read and answer for some sources."""
        images: list[Image | ImageError] = []
        with ISOLATION:  # once for all of them: for a small file it takes a tenth of its decoding
            for _, source in share:
                try:
                    images.append(self.read(source))
                except ImageError as error:
                    images.append(error)
        good = iter(self.predict_images([one for one in images if isinstance(one, Image)]))
        return [
            replace(next(good), id=_name(*one))
            if isinstance(image, Image)
            else Prediction(_name(*one), {}, error=image.problem, reason=image.reason)
            for one, image in zip(share, images, strict=True)
        ]

    def predict_images(self, images: Sequence[Image]) -> list[Prediction]:
        """Answer for images that are read already, in their order and in one pass.

        The answers have no ``id``. They are those of :meth:`predict`, whatever is answered with
        them.
        """
        if not images:
            return []
        rows, novelty = self.probabilities_and_novelty(np.stack([image.pixels for image in images]))
        strange = [None] * len(rows) if novelty is None else [*map(float, novelty)]
        return [
            self._prediction("", row, far, image)
            for row, far, image in zip(rows, strange, images, strict=True)
        ]

    def _prediction(
        self, name: str, row: NDArray[np.float32], novelty: float | None, image: Image
    ) -> Prediction:
        by_label = dict(zip(self.labels, map(float, row), strict=True))
        rejection, bands = self.bundle.rejection, self.bundle.indeterminate
        return Prediction(
            name,
            by_label,
            self._calls(by_label),
            _plain(image.metadata),
            novelty=novelty,
            rejected=(
                novelty is not None and rejection is not None and novelty >= rejection.threshold
            ),
            indeterminate=tuple(
                label for label, band in bands.items() if band.low <= by_label[label] < band.high
            ),
        )

    def _calls(self, probabilities: dict[str, float]) -> dict[str, str]:
        task = self.bundle.task
        if task.kind == "multiclass":
            return {"most-likely": max(probabilities, key=probabilities.__getitem__)}
        calls = {}
        for point in self.bundle.operating_points:
            positive = probabilities[point.label] >= point.threshold
            if task.kind == "binary":
                calls[point.name] = task.classes[1] if positive else task.classes[0]
            else:
                calls[f"{point.label}/{point.name}"] = "positive" if positive else "negative"
        return calls

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
        if len(pixels) == 0:
            shapes = (self._outputs[name][1:] for name in outputs)
            return [
                np.empty((0, *(side if isinstance(side, int) else 1 for side in shape)), np.float32)
                for shape in shapes
            ]
        parts = [
            self._session.run([*outputs], {"image": pixels[start : start + _CHUNK]})
            for start in range(0, len(pixels), _CHUNK)
        ]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _session(graph: bytes, threads: int) -> Any:
    """Return a session of ONNX Runtime for a graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # A thread that waits for its share must not burn a core that others decode on.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _name(number: int, source: str | Path | bytes) -> str:
    return f"#{number}" if isinstance(source, bytes) else str(source)


def _plain(metadata: Mapping[str, str | float]) -> dict[str, str | float]:
    """Write counts as whole numbers: a width is 224, not 224.0."""
    return {
        name: int(fact) if isinstance(fact, float) and fact.is_integer() else fact
        for name, fact in metadata.items()
    }


def load(folder: str | Path, *, threads: int = 0) -> Predictor:
    """Open a bundle, or the one of a run folder, for prediction."""
    return Predictor(folder, threads=threads)
