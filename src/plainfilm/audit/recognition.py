"""Recognises images among a fixed set: perceptual hashes that need no image of the set.

The hash is that of `plainfilm.audit.hashing` with up to 128 bits: local contrast, projected on the
principal components of the set. Of the public paediatric set, two images of different patients
differ in at least 24 of 128 bits. Copies that were compressed again (JPEG quality 30), halved in
size or are originals of full size differ in at most 8; with another gamma (0.7) or cropped by 1 % a
side, 99 of 100 differ in at most 18. Of copies cropped by 3 %, only a tenth do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.hashing import local_contrast

MIN_IMAGES = 100
"""Smallest set. Of fewer images, the components are too few to distinguish all others."""

_SIDE = 16
_BITS = 128
_BLANK = 8  # grey levels; images with a smaller range are not compared
_MAX_FIT = 8192
_CHUNK = 512

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """How images are hashed; see `plainfilm.bundle.training_images.TrainingImages`."""

    mean: NDArray[np.float32]
    components: NDArray[np.float16]
    medians: NDArray[np.float32]

    @classmethod
    def none(cls) -> Basis:
        """Return the basis of a set that is too small."""
        empty = np.zeros(0, np.float32)
        return cls(empty, np.zeros((0, 0), np.float16), empty)

    def hash(self, images: NDArray[np.uint8]) -> tuple[Bits, Bits]:
        """Return the bits (n, k) of images (n, side, side), and whether each shows anything."""
        small = shrink(images)
        flat = small.reshape(len(small), -1)
        visible = np.ptp(flat, axis=1) >= _BLANK if len(flat) else np.zeros(0, bool)
        return self._bits(_contrast(small)), visible

    def _bits(self, contrast: NDArray[np.float32]) -> Bits:
        projected = (contrast - self.mean) @ self.components.astype(np.float32)
        return np.asarray(projected > self.medians)


def shrink(images: NDArray[np.uint8], side: int = _SIDE) -> NDArray[np.uint8]:
    """Return means over equal areas (n, side, side) of images (n, size, size) of any size."""
    size = images.shape[1]
    edges = np.arange(side + 1) * size / side
    pixels = np.arange(size)
    ends = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
    weights = (np.maximum(ends, 0) * side / size).astype(np.float32)
    small = weights @ images.astype(np.float32) @ weights.T
    return np.asarray(np.round(small), dtype=np.uint8)


def fit_basis(chunks: Iterable[NDArray[np.uint8]], *, seed: int = 0) -> tuple[Basis, Bits] | None:
    """Fit a basis to a set of images that is given in chunks, and return it with their bits.

    Blank images are left out. Returns None if fewer than `MIN_IMAGES` are left.
    """
    rows = []
    for images in chunks:
        small = shrink(images)
        visible = np.ptp(small.reshape(len(small), -1), axis=1) >= _BLANK
        rows.append(_contrast(small[visible]))
    contrast = np.concatenate(rows) if rows else np.empty((0, _SIDE**2), np.float32)
    if len(contrast) < MIN_IMAGES:
        return None
    chosen = contrast
    if len(contrast) > _MAX_FIT:
        picked = np.random.default_rng(seed).choice(len(contrast), _MAX_FIT, replace=False)
        chosen = contrast[np.sort(picked)]
    mean = chosen.mean(axis=0)
    centred = chosen - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(chosen) - 1))
    order = np.argsort(values)[::-1][: min(_BITS, len(chosen) // 2)]
    scale = np.sqrt(np.maximum(values[order], 1e-9))
    components = (vectors[:, order] / scale).astype(np.float16)
    medians = np.median((chosen - mean) @ components.astype(np.float32), axis=0)
    basis = Basis(mean, components, medians.astype(np.float32))
    return basis, basis._bits(contrast)


def find_copies(basis: Basis, known: Bits, images: NDArray[np.uint8]) -> Bits:
    """Return which images (n, side, side), or their mirror images, are copies of known ones.

    ``known`` are the bits (m, k) of the set.
    """
    found = np.zeros(len(images), bool)
    if not len(known):
        return found
    radius = _radius(known.shape[1])
    signs = known.astype(np.float32).T * 2 - 1
    for start in range(0, len(images), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        for some in (images[chunk], images[chunk, :, ::-1]):
            bits, visible = basis.hash(some)
            agreement = (bits.astype(np.float32) * 2 - 1) @ signs  # k less twice the distance
            near = agreement.max(axis=1) >= known.shape[1] - 2 * radius
            found[chunk] |= near & visible
    return found


def _radius(bits: int) -> int:
    """Return the number of bits in which a copy differs at most: 5 of 50, 13 of 100, 18 of 128.

    Of few images, the components are less precise, and other images differ in fewer bits.
    """
    return round(0.17 * bits - 3.8)


def _contrast(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    return local_contrast(small, 3.0).reshape(len(small), _SIDE**2)


def in_chunks(count: int) -> Iterator[slice]:
    """Yield slices that cover ``count`` images."""
    return (slice(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))
