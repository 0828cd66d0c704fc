"""Computes perceptual hashes of radiographs and finds pairs of similar hashes.

Radiographs of different people look so much alike that common image hashes are nearly equal for all
of them. The hashes here describe how an image differs from the others of its data set: its local
contrast, projected on the principal components of the data set, scaled to equal variance. Half of
the bits then differ between different images, and about a tenth between two copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.evidence import downsample

BITS = 64
_SIDE = 16
_MAX_FIT = 8192
_CHUNK = 4096  # images that are hashed at once
_TABLES = 160
_ROWS_PER_KEY = 2  # log2 of the number of rows that have the same key in a table
_CHANCE_PAIRS = 2.0  # accepted number of unrelated pairs per row
_MAX_RADIUS = 18  # differing bits; copies cropped by 3 % a side differ in no more
_WINDOW = 48
_BLOCK = 1 << 17  # rows of a sorted table that are compared at once
_MOST_PAIRS = 64  # pairs of a row with later rows that are kept

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Hashes:
    """Hashes of n images."""

    words: Words  # (n,), the k bits of each, k at most 64
    width: int  # k
    # (n, k) of length 1: the cosine of two is 1 for equal images, and about 0 for unrelated ones.
    vectors: NDArray[np.float16]


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


def hash_images(
    images: NDArray[np.uint8],
    rows: NDArray[np.intp] | None = None,
    *,
    mirrored: bool = False,
    seed: int = 0,
) -> Hashes:
    """Hash images (n, 32, 32), or some ``rows`` of them.

    The hashes are projections on the principal components of at most 8192 images. With
    ``mirrored``, the hashes of the mirror images follow those of the images. Memory grows by the
    hashes only.
    """
    shown = np.arange(len(images)) if rows is None else rows
    count = len(shown) * (1 + mirrored)
    chosen = np.arange(count)
    if count > _MAX_FIT:
        chosen = np.random.default_rng(seed).choice(count, _MAX_FIT, replace=False)
    sample = np.concatenate(
        [_contrast(images, shown, chosen[part]) for part in _parts(len(chosen))]
    )
    mean = sample.mean(axis=0)
    centred = sample - mean
    width = min(BITS, max(1, count // 2))
    values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(sample) - 1))
    order = np.argsort(values)[::-1][:width]
    components = vectors[:, order] / np.sqrt(np.maximum(values[order], 1e-9))
    projected = np.empty((count, width), np.float16)
    for part in _parts(count):
        own = _contrast(images, shown, np.arange(part.start, part.stop)) - mean
        projected[part] = np.clip(own @ components, -1000, 1000)
    medians = np.array([np.median(column.astype(np.float32)) for column in projected.T])
    words = np.empty(count, np.uint64)
    for part in _parts(count):
        own = projected[part].astype(np.float32)
        words[part] = pack_bits(own > medians)
        projected[part] = own / (np.linalg.norm(own, axis=1, keepdims=True) + 1e-9)
    return Hashes(words, width, projected)


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, count)) for start in range(0, max(count, 1), _CHUNK))


def _contrast(
    images: NDArray[np.uint8], shown: NDArray[np.intp], chosen: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return the local contrast (m, 256) of the chosen of n ``shown`` images.

    Numbers from n on are mirror images.
    """
    own = images[shown[chosen % max(1, len(shown))]]
    other = chosen >= len(shown)
    own[other] = own[other, :, ::-1]
    return local_contrast(downsample(own, _SIDE), 3.0).reshape(len(chosen), -1)


def pack_bits(bits: NDArray[np.bool_]) -> Words:
    """Return bits (n, k), k at most 64, as words (n,)."""
    padded = np.zeros((len(bits), BITS), dtype=bool)
    padded[:, : bits.shape[1]] = bits
    words = np.packbits(padded, axis=1, bitorder="little").view("<u8").reshape(-1)
    return np.asarray(words, np.uint64)


def close_pairs(
    words: Words,
    width: int = BITS,
    *,
    radius: int | None = None,
    tables: int = _TABLES,
    seed: int = 0,
) -> NDArray[np.intp]:
    """Find the pairs of hashes that differ in at most ``radius`` of their ``width`` bits.

    Locality-sensitive hashing: each table sorts the rows by a few random bits and compares rows
    with equal bits. More tables find more pairs. Time grows as n log n. Memory is 8 bytes a row and
    about 50 bytes a pair; of the pairs of one row with later rows, 64 are kept.

    Without a radius, it is the largest number up to 18 for which at most two pairs per row are
    expected by chance: 15 for 200,000 rows. Returns sorted pairs (m, 2), the lower row first.
    """
    count = len(words)
    if count < 2:
        return np.empty((0, 2), dtype=np.intp)
    if radius is None:
        radius = _default_radius(count, width)
    rng = np.random.default_rng(seed)
    key_bits = min(width, max(1, math.ceil(math.log2(count)) - _ROWS_PER_KEY))
    found: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    pending: list[NDArray[np.int64]] = []
    for table in range(tables):
        entries = _sorted_by_key(words, rng.choice(width, key_bits, replace=False))
        pending += [
            _pairs_with_equal_keys(entries[start : start + _BLOCK + _WINDOW - 1], words, radius)
            for start in range(0, count, _BLOCK)
        ]
        if table == tables - 1 or sum(map(len, pending)) > max(len(found), count):
            found = _merge([found, *pending], count)
            pending = []
    pairs = np.empty((len(found), 2), np.intp)
    np.divmod(found, count, out=(pairs[:, 0], pairs[:, 1]))
    return pairs


def _default_radius(count: int, width: int) -> int:
    chance = 0.0
    for radius in range(_MAX_RADIUS + 1):
        chance += math.comb(width, radius) / 2**width
        if chance * (count - 1) / 2 > _CHANCE_PAIRS:
            return radius - 1
    return _MAX_RADIUS


def _sorted_by_key(words: Words, chosen: NDArray[np.intp]) -> Words:
    """Return numbers in order: the upper half is a key of the chosen bits, the lower half the row.

    Two keys can be equal by chance, since they are a product's upper half; the words decide.
    """
    entries: Words = words & np.bitwise_or.reduce(np.uint64(1) << chosen.astype(np.uint64))
    entries *= np.uint64(0x9E3779B97F4A7C15)
    entries &= np.uint64(0xFFFFFFFF00000000)
    entries |= np.arange(len(words), dtype=np.uint64)
    entries.sort()
    return entries


def _pairs_with_equal_keys(entries: Words, words: Words, radius: int) -> NDArray[np.int64]:
    """Return the close pairs of sorted entries with equal keys, each as one number.

    The first of a pair is among the first `_BLOCK` entries.
    """
    keys, rows = entries >> np.uint64(32), (entries & np.uint64(0xFFFFFFFF)).astype(np.int64)
    own = words[rows]
    pairs = [np.empty(0, np.int64)]
    same = np.arange(min(_BLOCK, len(entries)))
    # Many equal keys: only neighbours are compared, which differ from table to table.
    for step in range(1, _WINDOW):
        same = same[: np.searchsorted(same, len(entries) - step)]
        same = same[keys[same] == keys[same + step]]
        if not len(same):
            break
        near = same[np.bitwise_count(own[same] ^ own[same + step]) <= radius]
        first, second = rows[near], rows[near + step]
        pairs.append(np.minimum(first, second) * len(words) + np.maximum(first, second))
    return np.concatenate(pairs)


def _merge(parts: list[NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    """Return the distinct pairs in order, of each lower row at most the first 64."""
    merged = np.concatenate(parts)
    merged.sort()
    merged = merged[np.concatenate([[True], merged[1:] != merged[:-1]])] if len(merged) else merged
    if len(merged) <= _MOST_PAIRS:
        return merged
    # The pair 64 places before belongs to another row.
    kept = np.ones(len(merged), bool)
    kept[_MOST_PAIRS:] = merged[_MOST_PAIRS:] // count != merged[:-_MOST_PAIRS] // count
    return merged[kept]
