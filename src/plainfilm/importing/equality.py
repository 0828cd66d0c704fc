"""Checks that a wrapped graph returns what the original network returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle.imported import Preprocessing
from plainfilm.encoders.images import prepare
from plainfilm.encoders.source import SourceGraph
from plainfilm.errors import BundleError
from plainfilm.importing.outputs import Meaning, check_values, to_logits
from plainfilm.metrics import apply_temperature
from plainfilm.network_session import NetworkSession

__all__ = [
    "TOLERANCE",
    "Difference",
    "Reference",
    "check_wrapped",
    "largest_difference",
    "refer",
    "tolerance",
]

TOLERANCE = 1e-4
"""Largest difference between outputs that are called equal."""

_HALF_PRECISION = 1e-2  # batches of float16 are added up in another order

Floats = NDArray[np.float64]
Wrap = Callable[[int | None], bytes]


class Reference(NamedTuple):
    """Outputs (n, columns) of the original graph for images (n, size, size), one by one."""

    images: NDArray[np.uint8]
    outputs: Floats


class Difference(NamedTuple):
    """The largest difference between two sets of outputs: its value, image, label and what."""

    value: float
    image: int
    label: str
    what: str


def refer(source: SourceGraph, images: NDArray[np.uint8], how: Preprocessing) -> Reference:
    """Run the original graph on images that NumPy prepares."""
    session = NetworkSession(source.model.SerializeToString())
    inputs = prepare(images, how)
    rows = [session.run([source.output], inputs[i : i + 1])[0] for i in range(len(images))]
    outputs = np.concatenate([row.reshape(1, -1) for row in rows])
    return Reference(images, outputs.astype(np.float64))


def check_wrapped(
    wrap: Wrap, source: SourceGraph, meaning: Meaning, reference: Reference
) -> int | None:
    """Return the number of images in a run of the graph, None for any number.

    A graph for a fixed number of images often works for any number. This is tried first. ``wrap``
    returns the graph for a number of images. Raises a BundleError if no wrapped graph returns what
    the original graph returns.
    """
    declared = source.shape[0]
    try:
        _check(NetworkSession(wrap(None)), source, meaning, reference)
        return None
    except BundleError:
        if declared is None:
            raise
    _check(NetworkSession(wrap(declared)), source, meaning, reference)
    return declared


def _check(
    session: NetworkSession, source: SourceGraph, meaning: Meaning, reference: Reference
) -> None:
    images, outputs = reference
    check_values(outputs[:, list(meaning.columns)], meaning)
    expected = to_logits(outputs[:, list(meaning.columns)], meaning)
    alone = np.concatenate(
        [session.run(["logits"], images[i : i + 1])[0] for i in range(len(images))]
    ).astype(np.float64)
    found = largest_difference(alone, expected, meaning)
    if not found.value <= TOLERANCE:
        raise BundleError(
            "the imported network does not return what the ONNX file returns",
            received=f"a difference of {found.value:.2g} in the {found.what} of {found.label}",
            remedy="report this as a defect, with the file if possible",
        )
    together = session.run(["logits"], images)[0].astype(np.float64)
    found = largest_difference(together, alone, meaning)
    if not found.value <= tolerance(source.dtype):
        raise BundleError(
            "the network returns other values for several images at once than for each alone",
            received=f"a difference of {found.value:.2g} in the {found.what} of {found.label}",
            remedy="export it in inference mode (model.eval() in PyTorch, training=False in "
            "Keras), with the number of images as a dynamic axis",
        )


def tolerance(dtype: str) -> float:
    """Return the largest difference of outputs for images in batches of other sizes."""
    return _HALF_PRECISION if dtype == "float16" else TOLERANCE


def largest_difference(found: Floats, expected: Floats, meaning: Meaning) -> Difference:
    """Return the largest difference between logits (n, labels), NaN as infinite.

    It is that of probabilities, and for an output that contains logits also that of logits above
    1, relative to their value: probabilities near 0 and 1 would hide it.
    """
    kind = meaning.task.kind
    parts = []
    if np.isfinite(found).all() and np.isfinite(expected).all():
        gap = apply_temperature(found, 1.0, kind=kind) - apply_temperature(expected, 1.0, kind=kind)
        parts.append(("probabilities", np.abs(gap)))
    if meaning.kind == "logits" or not parts:
        gap = np.abs(found - expected) / np.maximum(np.abs(expected), 1)
        parts.append(("logits", np.where(np.isfinite(gap), gap, np.inf)))
    worst = Difference(-1.0, 0, "", "")
    for what, gaps in parts:
        row, column = np.unravel_index(int(np.argmax(gaps)), gaps.shape)
        value = float(gaps[row, column])
        if value > worst.value:
            worst = Difference(value, int(row), meaning.task.labels[int(column)], what)
    return worst
