"""Predicts on files: decodes some while the network computes on others.

A few files are decoded in this process. More are decoded in a pool of sandboxed processes, where a
file that takes too much time or memory costs one prediction and no others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from threading import Semaphore
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import cores
from plainfilm.decoding.decode import FEW, Decoded, Failure, decode_one
from plainfilm.pixels import read_image
from plainfilm.pixels.isolation import ISOLATION
from plainfilm.prediction import Prediction
from plainfilm.records import PixelSpec

__all__ = ["Predicted", "Source", "predict_files", "predict_outcomes"]

_SHARE = 16  # files that are predicted on in one run of the network

Source = str | Path | bytes
Predicted = tuple[Prediction, NDArray[np.uint8] | None]
"""A prediction, and the prepared image (size, size) or None if the file cannot be read."""

_Share = Sequence[tuple[int, Source]]
_Decode = Callable[
    [Sequence[str | bytes], PixelSpec, NDArray[np.uint8]], Sequence[Decoded | Failure]
]


class _PixelPredictor(Protocol):
    """The methods of :class:`plainfilm.runtime.Predictor` that predictions on files use."""

    @property
    def bundle(self) -> Any: ...

    def with_one_thread(self) -> _PixelPredictor: ...

    def predict_pixels(
        self, pixels: NDArray[np.uint8], metadata: Sequence[Mapping[str, str | float]]
    ) -> list[Prediction]: ...


def predict_files(
    predictor: _PixelPredictor, sources: Iterable[Source], workers: int | None
) -> Iterator[Predicted]:
    """Yield the prediction of each source in order, as `Predictor.predict` describes.

    A bounded number of sources is read ahead. Closing the generator ends the processes.
    """
    queue: Iterator[tuple[int, Source]] = iter(enumerate(sources))
    first = list(islice(queue, FEW))
    if workers is None:
        workers = 0 if len(first) < FEW else cores()
    if len(first) <= 1 and not workers:  # starting threads would take longer than predicting
        yield from _predict(predictor, _decode_here, first, Semaphore())
        return
    queue = chain(first, queue)
    shares = iter(lambda: list(islice(queue, _SHARE)), [])
    with ExitStack() as undo:
        threads = 2 * workers + 2 if workers else cores() + 1
        executor = ThreadPoolExecutor(threads)
        undo.callback(executor.shutdown, cancel_futures=True)
        decode: _Decode = _decode_here
        if workers:
            from plainfilm.decoding.pool import Pool  # a few files do not wait for it

            decode = undo.enter_context(Pool(workers)).decode
        if len(first) > _SHARE and cores() > 1:
            # Runs that each compute on all cores would wait for each other.
            predictor = predictor.with_one_thread()
        predict = partial(_predict, predictor, decode, runs=Semaphore(cores() + 1))
        # Up to two shares for each thread are submitted, so that no thread has to wait.
        most = threads if workers else 2 * threads
        ahead: deque[Future[list[Predicted]]] = deque()
        for share in shares:
            ahead.append(executor.submit(predict, share))
            if len(ahead) >= most:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def _predict(
    predictor: _PixelPredictor, decode: _Decode, share: _Share, runs: Semaphore
) -> list[Predicted]:
    """Decode some sources, and predict on those that are images in one run of the network."""
    spec: PixelSpec = predictor.bundle.pixels
    pixels = np.empty((len(share), spec.size, spec.size), np.uint8)
    files = [source if isinstance(source, bytes) else str(source) for _, source in share]
    outcomes = decode(files, spec, pixels)
    with runs:
        made = predict_outcomes(predictor, outcomes, pixels)
    predicted: list[Predicted] = []
    for (number, source), outcome, one, row in zip(share, outcomes, made, pixels, strict=True):
        name = f"#{number}" if isinstance(source, bytes) else str(source)
        predicted.append((replace(one, id=name), None if isinstance(outcome, Failure) else row))
    return predicted


def predict_outcomes(
    predictor: _PixelPredictor, outcomes: Sequence[Decoded | Failure], pixels: NDArray[np.uint8]
) -> list[Prediction]:
    """Predict on decoded files in one run of the network; a failure gives its reason.

    ``pixels`` are the rows (n, size, size) into which the files were decoded.
    """
    rows = [row for row, one in enumerate(outcomes) if isinstance(one, Decoded)]
    metadata = [one.metadata for one in outcomes if isinstance(one, Decoded)]
    chosen = pixels if len(rows) == len(pixels) else pixels[rows]
    made = iter(predictor.predict_pixels(chosen, metadata))
    return [
        Prediction("", {}, reason=one.reason, problem=one.problem)
        if isinstance(one, Failure)
        else next(made)
        for one in outcomes
    ]


def _decode_here(
    sources: Sequence[str | bytes], spec: PixelSpec, out: NDArray[np.uint8]
) -> list[Decoded | Failure]:
    with ISOLATION:  # once for all: for a small file it takes a tenth of the decoding time
        return [
            decode_one(read_image, spec, source, row)
            for source, row in zip(sources, out, strict=True)
        ]
