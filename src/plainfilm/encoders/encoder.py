"""An encoder: a graph from the image of a bundle to features."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import hash_bytes
from plainfilm.errors import BundleError
from plainfilm.network_session import NetworkSession

__all__ = ["FEATURES", "TOLERANCE", "Encoder", "check_finite"]

FEATURES = "features"
"""Name of the output of an encoder's graph."""

TOLERANCE = 1e-4
"""Largest difference between equal features, relative to the largest feature of an image."""

_BATCH = 8  # images in a run of one thread: large encoders need much memory for each


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """A graph that turns images into features.

    Attributes
    ----------
    graph
        ONNX graph with the input ``image``, uint8 (n, size, size), and the output `FEATURES`,
        float32 (n, width).
    width, parameters
        Number of features, and of weights.
    tolerance
        Largest relative difference of features between batches of different sizes.
    """

    graph: bytes
    width: int
    parameters: int
    tolerance: float = TOLERANCE
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hash_bytes(self.graph))

    def open(self) -> NetworkSession:
        """Load the graph for one of several threads."""
        return NetworkSession(self.graph, threads=1)


def encode(session: NetworkSession, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the features (n, width) of images (n, size, size)."""
    parts = [
        session.run([FEATURES], images[start : start + _BATCH])[0]
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float32, copy=False)


def check_finite(features: NDArray[np.float32]) -> None:
    """Raise a BundleError if features (n, width) are not finite."""
    wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(wrong):
        raise BundleError(
            "the encoder returns features that are not finite",
            received=f"{len(wrong)} of {len(features)} images",
            remedy="check its weights and the range of its input, such as network.options.preset",
        )
