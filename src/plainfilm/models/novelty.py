"""How far an image is from those that a network learnt from, as numbers that a graph can hold.

Two distances are taken, because each misses what the other sees. One is between what the network
makes of an image, just below its last layer, and what it made of the nearest class; the other
between a coarse, contrast-normalised copy of the image and those of the training images. Both are
Mahalanobis distances with a covariance shrunk towards a multiple of the identity (O. Ledoit &
M. Wolf, J. Multivar. Anal. 88 (2004) 365-411); the first is the score of K. Lee et al., NeurIPS
2018. Each is divided by what 99 of 100 validation images stay below, and the farther one counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.records import Task

__all__ = ["SIDE", "Novelty", "class_numbers", "fit_novelty", "thumbnails"]

SIDE = 16
"""Of the coarse copy, in its own pixels."""
FLOOR = 8.0
"""Grey levels added to a contrast before dividing by it: a blank image has none to normalise."""
_AT_ONCE = 1024
_SHRINKAGE = 0.1
_QUANTILE = 0.99

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """Means (c, d) and the whitening matrix (d, d) that they share; ``scale`` divides distances."""

    means: Floats
    whitening: Floats
    scale: float = 1.0

    def distances(self, values: Floats) -> Floats:
        """Return the scaled distance of each row (n, d) to the nearest mean."""
        moved = [np.linalg.norm((values - mean) @ self.whitening, axis=1) for mean in self.means]
        nearest: Floats = np.min(moved, axis=0) / self.scale
        return nearest


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """What the graph needs to score novelty; ``features`` is None where the layer is too wide."""

    features: Gaussian | None
    copies: Gaussian

    def score(self, features: Floats | None, images: NDArray[np.uint8]) -> Floats:
        """Return the novelty (n,) of images (n, size, size) with their features (n, d)."""
        far = _copy_distances(self.copies, images)
        if self.features is not None and features is not None:
            far = np.maximum(far, self.features.distances(features))
        return far


def fit_novelty(
    training: tuple[NDArray[np.uint8], Floats | None, NDArray[np.intp]],
    validation: tuple[NDArray[np.uint8], Floats | None],
) -> Novelty:
    """Fit both distances on training images, and scale them on validation.

    Parameters
    ----------
    training
        Images (n, size, size), their features (n, d) or None, and their classes (n,).
    validation
        Images (m, size, size) and their features (m, d) or None.
    """
    images, features, classes = training
    held, held_features = validation
    copies = _fit(thumbnails(images), np.zeros_like(classes))
    copies = _scaled(copies, _copy_distances(copies, held))
    if features is None or held_features is None:
        return Novelty(None, copies)
    fitted = _fit(features, classes)
    return Novelty(_scaled(fitted, fitted.distances(held_features)), copies)


def thumbnails(images: NDArray[np.uint8]) -> Floats:
    """Return coarse copies (n, SIDE**2): areas averaged, mean taken off, divided by contrast."""
    size = images.shape[1]
    side = min(SIDE, size)
    step = size // side
    flat = np.empty((len(images), side * side))
    for part in _parts(len(images)):
        some = images[part, : step * side, : step * side]
        # Rows first, and whole numbers: four times as fast as the mean of floats, and the same.
        rows = some.reshape(-1, step, side * step).sum(axis=1, dtype=np.uint32)
        sums = rows.reshape(len(some), -1, step).sum(axis=2)
        flat[part] = sums / step**2
    centred = flat - flat.mean(axis=1, keepdims=True)
    contrast = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    copies: Floats = centred / (contrast + FLOOR)
    return copies


def class_numbers(labels: NDArray[np.float32], task: Task) -> NDArray[np.intp]:
    """Return the class (n,) of labels (n, labels); several independent labels are one class."""
    if task.kind == "multilabel":
        return np.zeros(len(labels), np.intp)
    known = np.nan_to_num(labels)
    return known[:, 0].astype(np.intp) if task.kind == "binary" else known.argmax(axis=1)


def _fit(values: Floats, classes: NDArray[np.intp]) -> Gaussian:
    kinds = np.unique(classes)
    means = np.stack([values[classes == kind].mean(axis=0) for kind in kinds])
    rest = values - means[np.searchsorted(kinds, classes)]
    covariance = rest.T @ rest / max(len(rest) - len(kinds), 1)
    width = len(covariance)
    even = max(float(np.trace(covariance)) / width, 1e-12)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * even * np.eye(width)
    spread, axes = np.linalg.eigh(shrunk)
    return Gaussian(means, axes / np.sqrt(spread))


def _copy_distances(fitted: Gaussian, images: NDArray[np.uint8]) -> Floats:
    """Return the distances (n,) of the coarse copies of images."""
    parts = [fitted.distances(thumbnails(images[part])) for part in _parts(len(images))]
    return np.concatenate(parts)


def _parts(count: int) -> list[slice]:
    # As floats, all of many images take eight times the memory of the images.
    return [slice(at, at + _AT_ONCE) for at in range(0, count, _AT_ONCE)]


def _scaled(fitted: Gaussian, distances: Floats) -> Gaussian:
    """Return it with what most of the distances of validation stay below as its unit."""
    scale = float(np.quantile(distances, _QUANTILE))
    return Gaussian(fitted.means, fitted.whitening, max(scale, 1e-12))
