"""Scores how unlike the training images an image is, with arithmetic that an ONNX graph can do.

The novelty is the larger of two distances, because each detects images that the other misses:

- between the features of the image, just below the network's last layer, and the mean of the
  nearest class (K. Lee et al., NeurIPS 2018);
- between a coarse, contrast-normalised copy of the image and the mean of the training images.

Both are Mahalanobis distances with a covariance shrunk towards a multiple of the identity
(O. Ledoit and M. Wolf, J. Multivar. Anal. 88 (2004) 365-411). Each is divided by its 99th
percentile on validation images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plainfilm.records import Task

SIDE = 16
"""Side of the coarse copy in pixels."""
FLOOR = 8.0
"""Grey levels added to the contrast by which a copy is divided; that of a blank image is 0."""
MAX_FEATURES = 1024
"""Largest number of features whose distance is used: the covariance of more would be too large."""
_CHUNK = 1024
_SHRINKAGE = 0.1
_QUANTILE = 0.99
# Features that hardly vary would amplify rounding errors: least variance, relative to the mean
# square, and least distance that is scaled to 1.
_LEAST_VARIANCE = 1e-3
_LEAST_SCALE = 1.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Distance:
    """A Mahalanobis distance to the nearest of several means (c, d), divided by ``scale``.

    Distances are Euclidean after multiplication with ``whitening`` (d, d).
    """

    means: Floats
    whitening: Floats
    scale: float = 1.0

    def of(self, values: Floats) -> Floats:
        """Return the distance (n,) of values (n, d) to the nearest mean."""
        each = [np.linalg.norm((values - mean) @ self.whitening, axis=1) for mean in self.means]
        nearest: Floats = np.min(each, axis=0) / self.scale
        return nearest

    def of_copies(self, images: NDArray[np.uint8]) -> Floats:
        """Return the distance (n,) of the coarse copies of images (n, size, size)."""
        # In chunks, because copies in float64 take eight times the memory of the images.
        return np.concatenate([self.of(coarse_copies(images[part])) for part in _chunks(images)])

    def scaled(self, distances: Floats) -> Distance:
        """Return this distance divided by a high quantile of the given distances."""
        return replace(self, scale=max(float(np.quantile(distances, _QUANTILE)), _LEAST_SCALE))


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """The two fitted distances; ``features`` is None if the network's features are too wide."""

    features: Distance | None
    copies: Distance

    def score(self, features: Floats | None, images: NDArray[np.uint8]) -> Floats:
        """Return the novelty (n,) of images (n, size, size) with their features (n, d)."""
        distances = self.copies.of_copies(images)
        if self.features is not None and features is not None:
            distances = np.maximum(distances, self.features.of(features))
        return distances


def fit_novelty(
    training: tuple[NDArray[np.uint8], Floats | None, NDArray[np.intp]],
    validation: tuple[NDArray[np.uint8], Floats | None],
) -> Novelty:
    """Fit both distances on training images and scale them on validation images.

    Images are (n, size, size), features (n, d) or None, and classes (n,).
    """
    images, features, classes = training
    held, held_features = validation
    copies = _fit(coarse_copies(images), np.zeros_like(classes))
    copies = copies.scaled(copies.of_copies(held))
    if features is None or held_features is None:
        return Novelty(None, copies)
    fitted = _fit(features, classes)
    return Novelty(fitted.scaled(fitted.of(held_features)), copies)


def coarse_copies(images: NDArray[np.uint8]) -> Floats:
    """Return copies (n, SIDE**2) of averaged areas, minus their mean, divided by their contrast."""
    size = images.shape[1]
    side = min(SIDE, size)
    step = size // side
    flat = np.empty((len(images), side * side))
    for part in _chunks(images):
        some = images[part, : step * side, : step * side]
        # Summing rows first, as integers, is four times as fast as the mean of floats, and exact.
        rows = some.reshape(-1, step, side * step).sum(axis=1, dtype=np.uint32)
        sums = rows.reshape(len(some), -1, step).sum(axis=2)
        flat[part] = sums / step**2
    centred = flat - flat.mean(axis=1, keepdims=True)
    contrast = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    copies: Floats = centred / (contrast + FLOOR)
    return copies


def class_numbers(labels: NDArray[np.float32], task: Task) -> NDArray[np.intp]:
    """Return the class (n,) of labels (n, labels); multi-label images all have one class."""
    if task.kind == "multilabel":
        return np.zeros(len(labels), np.intp)
    known = np.nan_to_num(labels)
    return known[:, 0].astype(np.intp) if task.kind == "binary" else known.argmax(axis=1)


def _fit(values: Floats, classes: NDArray[np.intp]) -> Distance:
    kinds = np.unique(classes)
    means = np.stack([values[classes == kind].mean(axis=0) for kind in kinds])
    residuals = values - means[np.searchsorted(kinds, classes)]
    covariance = residuals.T @ residuals / max(len(residuals) - len(kinds), 1)
    width = len(covariance)
    least = _LEAST_VARIANCE * float(np.mean(np.square(values)))
    variance = max(float(np.trace(covariance)) / width, least, 1e-12)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * variance * np.eye(width)
    eigenvalues, eigenvectors = np.linalg.eigh(shrunk)
    return Distance(means, eigenvectors / np.sqrt(eigenvalues))


def _chunks(images: NDArray[np.uint8]) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, len(images), _CHUNK)]
