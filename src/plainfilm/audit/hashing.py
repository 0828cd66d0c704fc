"""Perceptual hashes of radiographs, and the search for those that lie close together.

Radiographs of different people look so much alike that a hash of the picture itself crowds all of
them into a corner. What is hashed here is how a picture differs from the others of its set: the
local contrast, in the set's own principal directions, each scaled to the same spread. Of different
pictures half of the bits then differ; of two copies a tenth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.evidence import shrink

__all__ = ["BITS", "Hashes", "close_pairs", "hash_pictures", "local_contrast"]

BITS = 64
_SIDE = 16
_FIT = 8192
_TABLES = 160
_SHARED = 2
_CHANCE = 2.0  # unrelated pairs a row that are put up with
_MOST = 18  # bits that may differ: of copies cut by 3 % a side no more do
_WINDOW = 48


@dataclass(frozen=True, slots=True, eq=False)
class Hashes:
    """Where n pictures lie in the directions of their set.

    Attributes
    ----------
    bits
        bool (n, k), k at most 64.
    places
        float32 (n, k), of length 1 each: the cosine of two is 1 for the same picture, and about
        0 for two that have nothing in common.
    """

    bits: NDArray[np.bool_]
    places: NDArray[np.float32]


def local_contrast(pictures: NDArray[np.uint8], spread: float) -> NDArray[np.float32]:
    """Remove what is slow from pictures (n, side, side), and even out their contrast.

    Exposure, contrast and a smooth change of either are gone afterwards.

    Parameters
    ----------
    spread
        Standard deviation of the blur that is taken away, in pixels.
    """
    values = pictures.astype(np.float32)
    values -= _blur(values, spread)
    power = np.maximum(_blur(values * values, 2 * spread), 0)
    values /= np.sqrt(power) + 2
    return values


def _blur(values: NDArray[np.float32], spread: float) -> NDArray[np.float32]:
    """Blur by a Gaussian, the edge carried on; as matrices, which beats a filter on small ones."""
    side = values.shape[1]
    places = np.arange(side)
    matrix = np.zeros((side, side))
    reach = int(3 * spread) + 1
    for offset in range(-reach, reach + 1):
        weight = np.exp(-0.5 * (offset / spread) ** 2)
        matrix[places, np.clip(places + offset, 0, side - 1)] += weight
    matrix /= matrix.sum(axis=1, keepdims=True)
    blur = matrix.astype(np.float32)
    # Down first: one product for all pictures at once.
    down = np.matmul(blur, values)
    blurred: NDArray[np.float32] = (down.reshape(-1, side) @ blur.T).reshape(values.shape)
    return blurred


def hash_pictures(pictures: NDArray[np.uint8], *, seed: int = 0) -> Hashes:
    """Hash pictures (n, 32, 32) by their own principal directions.

    Parameters
    ----------
    seed
        Of the pictures that the directions are found from, where there are more than 8192.
    """
    rows = local_contrast(shrink(pictures, _SIDE), 3.0).reshape(len(pictures), -1)
    count = len(rows)
    chosen = rows
    if count > _FIT:
        chosen = rows[np.random.default_rng(seed).choice(count, _FIT, replace=False)]
    mean = chosen.mean(axis=0)
    centred = chosen - mean
    width = min(BITS, max(1, count // 2))
    values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(chosen) - 1))
    order = np.argsort(values)[::-1][:width]
    scale = np.sqrt(np.maximum(values[order], 1e-9))
    places = np.asarray((rows - mean) @ (vectors[:, order] / scale), dtype=np.float32)
    bits = places > np.median(places, axis=0)
    places /= np.linalg.norm(places, axis=1, keepdims=True) + 1e-9
    return Hashes(bits, places)


def close_pairs(
    bits: NDArray[np.bool_], *, radius: int | None = None, tables: int = _TABLES, seed: int = 0
) -> NDArray[np.intp]:
    """Find the pairs whose bits differ in at most ``radius`` places.

    Locality-sensitive hashing: for each table a few bits are drawn, rows are sorted by them, and
    those that agree are compared. Time grows as n log n, memory as n.

    Parameters
    ----------
    bits
        (n, k), k at most 64, each true for about half of the rows.
    radius
        Bits that may differ. None takes 18, or as many as leave no more than two chance pairs a
        row: among 200,000 rows 15.
    tables
        More find more, and take longer.
    seed
        Of the bits that are drawn.

    Returns
    -------
    pairs
        (m, 2), the lower row first, sorted, each once.
    """
    count, width = bits.shape
    if count < 2:
        return np.empty((0, 2), dtype=np.intp)
    words = _pack(bits)
    if radius is None:
        radius = _radius(count, width)
    rng = np.random.default_rng(seed)
    # About four rows agree in each table.
    drawn = min(width, max(1, math.ceil(math.log2(count)) - _SHARED))
    found: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    waiting: list[NDArray[np.int64]] = []
    for table in range(tables):
        chosen = rng.choice(width, drawn, replace=False)
        keys = _extract(words, chosen)
        order = np.argsort(keys, kind="stable")
        waiting.append(_agreeing(keys[order], order, words, radius))
        if table == tables - 1 or sum(map(len, waiting)) > max(len(found), count):
            found = np.unique(np.concatenate([found, *waiting]))
            waiting = []
    return np.stack(np.divmod(found, count), axis=1).astype(np.intp)


def _radius(count: int, width: int) -> int:
    """Return how many bits may differ before unrelated rows come close by chance."""
    chance = 0.0
    for radius in range(_MOST + 1):
        chance += math.comb(width, radius) / 2**width
        if chance * (count - 1) / 2 > _CHANCE:
            return radius - 1
    return _MOST


def _pack(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    padded = np.zeros((len(bits), BITS), dtype=bool)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").reshape(-1).astype(np.uint64)


def _extract(
    words: NDArray[np.uint64], chosen: NDArray[np.intp]
) -> NDArray[np.unsignedinteger[Any]]:
    keys = np.zeros(len(words), dtype=np.uint32)
    for place, bit in enumerate(chosen):
        keys |= ((words >> np.uint64(bit)) & np.uint64(1)).astype(np.uint32) << np.uint32(place)
    # Numbers of 16 bits are sorted by radix, several times faster.
    return keys.astype(np.uint16) if len(chosen) <= 16 else keys


def _agreeing(
    keys: NDArray[np.unsignedinteger[Any]],
    order: NDArray[np.intp],
    words: NDArray[np.uint64],
    radius: int,
) -> NDArray[np.int64]:
    """Return pairs of close rows with equal keys, each as one number; rows are sorted by key."""
    count = len(keys)
    sorted_words = words[order]
    kept = []
    # A crowd of equal keys is compared with its neighbours only: 64 tables sort it 64 ways.
    for step in range(1, min(_WINDOW, count)):
        same = np.flatnonzero(keys[:-step] == keys[step:])
        if not len(same):
            break
        apart = np.bitwise_count(sorted_words[same] ^ sorted_words[same + step])
        same = same[apart <= radius]
        first, second = order[same], order[same + step]
        low, high = np.minimum(first, second), np.maximum(first, second)
        kept.append(low.astype(np.int64) * count + high)
    return np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
