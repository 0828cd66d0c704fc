"""Computes perceptual hashes of radiographs and finds pairs of similar hashes.

Radiographs of different people look so much alike that common image hashes are nearly equal for all
of them. The hashes here describe how an image differs from the others of its data set: its local
contrast, projected on the principal components of the data set, scaled to equal variance. Half of
the bits then differ between different images, and about a tenth between two copies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.evidence import downsample

BITS = 64
_SIDE = 16
_MAX_FIT = 8192
_TABLES = 160
_ROWS_PER_KEY = 2  # log2 of the number of rows that have the same key in a table
_CHANCE_PAIRS = 2.0  # accepted number of unrelated pairs per row
_MAX_RADIUS = 18  # differing bits; copies cropped by 3 % a side differ in no more
_WINDOW = 48


@dataclass(frozen=True, slots=True, eq=False)
class Hashes:
    """Hashes of n images."""

    bits: NDArray[np.bool_]  # (n, k), k at most 64
    # (n, k) of length 1: the cosine of two is 1 for equal images, and about 0 for unrelated ones.
    vectors: NDArray[np.float32]


def local_contrast(images: NDArray[np.uint8], sigma: float) -> NDArray[np.float32]:
    """Subtract a Gaussian blur from images (n, side, side) and equalise their local contrast.

    The result depends neither on exposure and contrast nor on smooth changes of either. ``sigma``
    is the standard deviation of the blur in pixels.
    """
    values = images.astype(np.float32)
    values -= _blur(values, sigma)
    power = np.maximum(_blur(values * values, 2 * sigma), 0)
    values /= np.sqrt(power) + 2
    return values


def _blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Apply a Gaussian blur, repeating the edge; for small images, matrices beat a filter."""
    side = values.shape[1]
    rows = np.arange(side)
    matrix = np.zeros((side, side))
    radius = int(3 * sigma) + 1
    for offset in range(-radius, radius + 1):
        matrix[rows, np.clip(rows + offset, 0, side - 1)] += np.exp(-0.5 * (offset / sigma) ** 2)
    matrix /= matrix.sum(axis=1, keepdims=True)
    blur = matrix.astype(np.float32)
    # Columns first: then the second step is one product for all images.
    columns = np.matmul(blur, values)
    blurred: NDArray[np.float32] = (columns.reshape(-1, side) @ blur.T).reshape(values.shape)
    return blurred


def hash_images(images: NDArray[np.uint8], *, seed: int = 0) -> Hashes:
    """Hash images (n, 32, 32) by their principal components, fitted to at most 8192 of them."""
    rows = local_contrast(downsample(images, _SIDE), 3.0).reshape(len(images), -1)
    count = len(rows)
    chosen = rows
    if count > _MAX_FIT:
        chosen = rows[np.random.default_rng(seed).choice(count, _MAX_FIT, replace=False)]
    mean = chosen.mean(axis=0)
    centred = chosen - mean
    width = min(BITS, max(1, count // 2))
    values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(chosen) - 1))
    order = np.argsort(values)[::-1][:width]
    scale = np.sqrt(np.maximum(values[order], 1e-9))
    projected = np.asarray((rows - mean) @ (vectors[:, order] / scale), dtype=np.float32)
    bits = projected > np.median(projected, axis=0)
    projected /= np.linalg.norm(projected, axis=1, keepdims=True) + 1e-9
    return Hashes(bits, projected)


def close_pairs(
    bits: NDArray[np.bool_], *, radius: int | None = None, tables: int = _TABLES, seed: int = 0
) -> NDArray[np.intp]:
    """Find the pairs of rows that differ in at most ``radius`` of k bits, k at most 64.

    Locality-sensitive hashing: each table sorts the rows by a few random bits and compares rows
    with equal bits. Time grows as n log n, memory as n. More tables find more pairs.

    Without a radius, it is the largest number up to 18 for which at most two pairs per row are
    expected by chance: 15 for 200,000 rows. Returns sorted pairs (m, 2), the lower row first.
    """
    count, width = bits.shape
    if count < 2:
        return np.empty((0, 2), dtype=np.intp)
    words = _pack(bits)
    if radius is None:
        radius = _default_radius(count, width)
    rng = np.random.default_rng(seed)
    key_bits = min(width, max(1, math.ceil(math.log2(count)) - _ROWS_PER_KEY))
    found: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    pending: list[NDArray[np.int64]] = []
    for table in range(tables):
        keys = _keys(words, rng.choice(width, key_bits, replace=False))
        order = np.argsort(keys, kind="stable")
        pending.append(_pairs_with_equal_keys(keys[order], order, words, radius))
        if table == tables - 1 or sum(map(len, pending)) > max(len(found), count):
            found = np.unique(np.concatenate([found, *pending]))
            pending = []
    return np.stack(np.divmod(found, count), axis=1).astype(np.intp)


def _default_radius(count: int, width: int) -> int:
    chance = 0.0
    for radius in range(_MAX_RADIUS + 1):
        chance += math.comb(width, radius) / 2**width
        if chance * (count - 1) / 2 > _CHANCE_PAIRS:
            return radius - 1
    return _MAX_RADIUS


def _pack(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    padded = np.zeros((len(bits), BITS), dtype=bool)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").reshape(-1).astype(np.uint64)


def _keys(words: NDArray[np.uint64], chosen: NDArray[np.intp]) -> NDArray[np.unsignedinteger[Any]]:
    keys = np.zeros(len(words), dtype=np.uint32)
    for position, bit in enumerate(chosen):
        keys |= ((words >> np.uint64(bit)) & np.uint64(1)).astype(np.uint32) << np.uint32(position)
    # numpy sorts 16-bit numbers by radix, several times faster.
    return keys.astype(np.uint16) if len(chosen) <= 16 else keys


def _pairs_with_equal_keys(
    keys: NDArray[np.unsignedinteger[Any]],
    order: NDArray[np.intp],
    words: NDArray[np.uint64],
    radius: int,
) -> NDArray[np.int64]:
    """Return the close pairs among rows with equal keys, each as one number; keys are sorted."""
    count = len(keys)
    sorted_words = words[order]
    pairs = []
    # Many equal keys: only neighbours are compared, which differ from table to table.
    for step in range(1, min(_WINDOW, count)):
        same = np.flatnonzero(keys[:-step] == keys[step:])
        if not len(same):
            break
        distance = np.bitwise_count(sorted_words[same] ^ sorted_words[same + step])
        same = same[distance <= radius]
        first, second = order[same], order[same + step]
        low, high = np.minimum(first, second), np.maximum(first, second)
        pairs.append(low.astype(np.int64) * count + high)
    return np.concatenate(pairs) if pairs else np.empty(0, dtype=np.int64)
