"""Recognises images among a fixed set: perceptual hashes that need no image of the set.

The hash is that of `plainfilm.audit.hashing` with up to 128 bits: local contrast, projected on the
principal components of the set. Of the training images of the public paediatric set, two of
different patients differ in at least 20 of 128 bits. Copies that were compressed again (JPEG
quality 30), halved in size or are originals of full size differ in at most 8; with another gamma
(0.7) or cropped by 1 % a side, 99 of 100 differ in at most 18. An image is also compared mirrored,
and zoomed in and out by 3 % a side, which finds 96 of 100 copies that were cropped by 4 %.
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
_ZOOMS = (1.0, 0.94, 1.06)
_PAIRS = 1 << 22  # compared at once

Bits = NDArray[np.bool_]
Hashes = NDArray[np.uint8]
"""k bits of each of n images, packed: (n, ceil(k / 8))."""


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

    def hash(self, images: NDArray[np.uint8], zoom: float = 1.0) -> tuple[Hashes, Bits]:
        """Return the hashes of images (n, side, side), and whether each shows anything (n,)."""
        small = shrink(images, zoom=zoom)
        flat = small.reshape(len(small), -1)
        visible = np.ptp(flat, axis=1) >= _BLANK if len(flat) else np.zeros(0, bool)
        return self._hash(_contrast(small)), visible

    def _hash(self, contrast: NDArray[np.float32]) -> Hashes:
        projected = (contrast - self.mean) @ self.components.astype(np.float32)
        return np.packbits(projected > self.medians, axis=1)


def shrink(images: NDArray[np.uint8], side: int = _SIDE, *, zoom: float = 1.0) -> NDArray[np.uint8]:
    """Return means over equal areas (n, side, side) of images (n, size, size) of any size.

    With a ``zoom`` below 1 the areas go beyond the image, whose border is repeated.
    """
    size = images.shape[1]
    edges = ((np.arange(side + 1) / side - 0.5) / zoom + 0.5) * size
    low, high = np.arange(size, dtype=np.float64), np.arange(1, size + 1, dtype=np.float64)
    low[0], high[-1] = -np.inf, np.inf
    ends = np.minimum(high, edges[1:, None]) - np.maximum(low, edges[:-1, None])
    weights = (np.maximum(ends, 0) * zoom * side / size).astype(np.float32)
    small = weights @ images.astype(np.float32) @ weights.T
    return np.asarray(np.round(small), dtype=np.uint8)


def fit_basis(
    chunks: Iterable[NDArray[np.uint8]], count: int, *, seed: int = 0
) -> tuple[Basis, Hashes] | None:
    """Fit a basis to ``count`` images that are given in chunks, and return it with their hashes.

    Blank images are left out. Returns None if fewer than `MIN_IMAGES` are left.
    """
    small = np.empty((count, _SIDE, _SIDE), np.uint8)
    count = 0
    for images in chunks:
        shrunk = shrink(images)
        shrunk = shrunk[np.ptp(shrunk.reshape(len(shrunk), -1), axis=1) >= _BLANK]
        small[count : count + len(shrunk)] = shrunk
        count += len(shrunk)
    small = small[:count]
    if count < MIN_IMAGES:
        return None
    fitted = small
    if count > _MAX_FIT:
        fitted = small[np.sort(np.random.default_rng(seed).choice(count, _MAX_FIT, replace=False))]
    chosen = _contrast(fitted)
    mean = chosen.mean(axis=0)
    centred = chosen - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(chosen) - 1))
    order = np.argsort(values)[::-1][: min(_BITS, len(chosen) // 2)]
    scale = np.sqrt(np.maximum(values[order], 1e-9))
    components = (vectors[:, order] / scale).astype(np.float16)
    medians = np.median((chosen - mean) @ components.astype(np.float32), axis=0)
    basis = Basis(mean, components, medians.astype(np.float32))
    hashes = [basis._hash(_contrast(small[rows])) for rows in in_chunks(count, _MAX_FIT)]
    return basis, np.concatenate(hashes)


def find_copies(basis: Basis, known: Hashes, images: NDArray[np.uint8]) -> Bits:
    """Return which images (n, side, side), or their mirror images, are copies of known ones.

    ``known`` are the hashes of the set.
    """
    found = np.zeros(len(images), bool)
    if not len(known):
        return found
    radius, words = _radius(len(basis.medians)), _words(known)
    for chunk in in_chunks(len(images)):
        for some in (images[chunk], images[chunk, :, ::-1]):
            for zoom in _ZOOMS:
                hashes, visible = basis.hash(some, zoom)
                found[chunk] |= _near(_words(hashes), words, radius) & visible
    return found


def _words(hashes: Hashes) -> NDArray[np.uint64]:
    """Return hashes as two words of 64 bits each, (n, 2)."""
    padded = np.zeros((len(hashes), _BITS // 8), np.uint8)
    padded[:, : hashes.shape[1]] = hashes
    return padded.view(np.uint64)


def _near(words: NDArray[np.uint64], known: NDArray[np.uint64], radius: int) -> Bits:
    """Return which hashes (n, 2) differ from a known one (m, 2) in at most ``radius`` bits."""
    near = np.zeros(len(words), bool)
    step = max(1, _PAIRS // len(known))
    for start in range(0, len(words), step):
        own = words[start : start + step]
        distance = np.bitwise_count(own[:, None, 0] ^ known[None, :, 0])
        rows, columns = np.nonzero(distance <= radius)  # few pairs: the other half decides
        rest = np.bitwise_count(own[rows, 1] ^ known[columns, 1])
        near[start + rows[distance[rows, columns] + rest <= radius]] = True
    return near


def _radius(bits: int) -> int:
    """Return the number of bits in which a copy differs at most: 4 of 50, 13 of 100, 18 of 128.

    Of few images, the components are less precise, and other images differ in fewer bits.
    """
    return round(0.18 * bits - 5)


def _contrast(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    return local_contrast(small, 3.0).reshape(len(small), _SIDE**2)


def in_chunks(count: int, size: int = _CHUNK) -> Iterator[slice]:
    """Yield slices of at most ``size`` that cover ``count`` images."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
