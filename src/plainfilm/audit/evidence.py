"""What the checks look at: metadata of the files and small pictures, taken in one pass."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.cache import Cache
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.records import Record

__all__ = ["SIDE", "SMALL", "Evidence", "Pictures", "glance", "look", "shrink"]

SIDE = 128
"""Side of the square images that an audit looks at, in pixels."""
SMALL = 32
_CHUNK = 512
# Writing is looked for in the upper and the lower quarter: how many strokes begin in the fullest
# window of five rows, a little less than a line of letters is high, and three eighths of the width.
_BAND = 32
_ROWS, _COLUMNS = 5, 48
_STROKE = 16  # grey levels by which a stroke is brighter than the pixels to its left and right


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Small views of n images.

    Attributes
    ----------
    small
        uint8 (n, 32, 32), block means.
    levels
        uint16 (n, 256): how often each grey level occurs, of every other pixel.
    span
        int (n,): grey levels between the 1st and the 99th percentile.
    strokes
        int (n,): upright strokes that stand closest together near the upper or lower edge: a line
        of writing has 20 to 60, a side marker 6 to 16, ribs and cables as many.
    """

    small: NDArray[np.uint8]
    levels: NDArray[np.uint16]
    span: NDArray[np.intp]
    strokes: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A data set as the checks see it.

    Attributes
    ----------
    listed
        Every record, those that could not be read included.
    left_out
        Those, and why.
    records
        The n records that became images, which the rest is about.
    metadata, hashes
        (n) of each: what a file says about itself, SHA-256 of its bytes.
    labels
        float32 (n, labels) of 1, 0 or NaN.
    splits
        (n,) names; empty where a record is in none.
    groups
        (n,) numbers of patients.
    ids
        (n) of the records.
    cache, pictures
        The images themselves and small views of them; None where a quick audit goes without.
    """

    listed: Manifest
    left_out: tuple[LeftOut, ...]
    records: tuple[Record, ...]
    metadata: Sequence[Mapping[str, str | float]]
    hashes: tuple[str, ...]
    labels: NDArray[np.float32]
    splits: NDArray[np.str_]
    groups: NDArray[np.intp]
    ids: tuple[str, ...]
    cache: Cache | None = None
    pictures: Pictures | None = None

    def __len__(self) -> int:
        return len(self.records)

    def fact(self, name: str) -> NDArray[np.float64]:
        """Return a numeric fact of every image, (n,), NaN where it is absent."""
        return np.array([_number(f.get(name)) for f in self.metadata], dtype=np.float64)

    def class_name(self, row: int) -> str:
        """Return what the labels of an image say."""
        return self.listed.task.class_of(self.records[row].labels)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def look(manifest: Manifest, cache: Cache) -> Evidence:
    """Gather the evidence of a manifest from its decoded images, of 128 pixels a side."""
    there = set(cache.ids)
    records = tuple(record for record in manifest.records if record.id in there)
    left_out = (*manifest.left_out, *cache.left_out)
    return replace(
        _evidence(manifest, records, left_out, cache.metadata, cache.hashes),
        cache=cache,
        pictures=_look_at(cache),
    )


def glance(
    manifest: Manifest, hashes: Mapping[str, str], unread: Sequence[LeftOut] = ()
) -> Evidence:
    """Gather what can be had without opening an image.

    Parameters
    ----------
    manifest
        Every record.
    hashes
        SHA-256 of each file by the id of its record.
    unread
        Those that could not be read.
    """
    records = tuple(record for record in manifest.records if record.id in hashes)
    metadata = [{"bytes": _size(record.path)} for record in records]
    digests = tuple(hashes[record.id] for record in records)
    return _evidence(manifest, records, (*manifest.left_out, *unread), metadata, digests)


def _evidence(
    manifest: Manifest,
    records: tuple[Record, ...],
    left_out: tuple[LeftOut, ...],
    metadata: Sequence[Mapping[str, str | float]],
    hashes: tuple[str, ...],
) -> Evidence:
    keys = {patient: n for n, patient in enumerate(dict.fromkeys(r.patient for r in records))}
    labels = np.array([r.labels for r in records], dtype=np.float32)
    return Evidence(
        listed=manifest,
        left_out=left_out,
        records=records,
        metadata=metadata,
        hashes=hashes,
        labels=labels.reshape(len(records), len(manifest.task.labels)),
        splits=np.array([r.split or r.official or "" for r in records], dtype=np.str_),
        groups=np.array([keys[r.patient] for r in records], dtype=np.intp),
        ids=tuple(record.id for record in records),
    )


def _size(path: str) -> float:
    try:
        return float(os.path.getsize(path))  # noqa: PTH202 (a hundred thousand times)
    except OSError:
        return float("nan")


def _look_at(cache: Cache) -> Pictures:
    count = len(cache)
    small = np.empty((count, SMALL, SMALL), dtype=np.uint8)
    levels = np.empty((count, 256), dtype=np.uint16)
    strokes = np.empty(count, dtype=np.intp)
    for start in range(0, count, _CHUNK):
        images = cache.gather(np.arange(start, min(start + _CHUNK, count)))
        part = slice(start, start + len(images))
        small[part] = shrink(images, SMALL)
        levels[part] = _count_levels(images[:, ::2, ::2])
        strokes[part] = _count_strokes(images)
    return Pictures(small, levels, _spans(levels), strokes)


def shrink(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return block means of square images (n, size, size), (n, side, side); side divides size."""
    factor = images.shape[1] // side
    # Slices added up: several times faster than a mean over axes.
    rows = images[:, 0::factor].astype(np.uint16)
    for offset in range(1, factor):
        rows += images[:, offset::factor]
    sums = rows[:, :, 0::factor].astype(np.uint32)
    for offset in range(1, factor):
        sums += rows[:, :, offset::factor]
    means: NDArray[np.uint8] = ((sums + factor * factor // 2) // factor**2).astype(np.uint8)
    return means


def _count_levels(images: NDArray[np.uint8]) -> NDArray[np.uint16]:
    count = len(images)
    offsets = (np.arange(count, dtype=np.int32) * 256)[:, None]
    flat = images.reshape(count, -1) + offsets
    return np.bincount(flat.ravel(), minlength=256 * count).reshape(count, 256).astype(np.uint16)


def _spans(levels: NDArray[np.uint16]) -> NDArray[np.intp]:
    sums = np.cumsum(levels, axis=1, dtype=np.int32)
    total = sums[:, -1:]
    low, high = (sums < share * total for share in (0.01, 0.99))
    return np.asarray(high.sum(axis=1) - low.sum(axis=1), dtype=np.intp)


def _count_strokes(images: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Count the strokes in the window of the upper and lower edge that has most of them."""
    return np.maximum(_densest(images[:, :_BAND]), _densest(images[:, -_BAND:]))


def _densest(band: NDArray[np.uint8]) -> NDArray[np.intp]:
    levels = band[:, :, 1:-1].astype(np.int16)
    steps = levels[:, :, 1:] - levels[:, :, :-1]
    # One pixel wide: what is two pixels wide at this size is an edge, a rib or a cable.
    strokes = (steps[:, :, :-1] > _STROKE) & (steps[:, :, 1:] < -_STROKE)
    width = strokes.shape[2]
    begin = np.arange(0, width - _COLUMNS + 1, 4)
    column = np.arange(width)[:, None]
    windows = ((column >= begin) & (column < begin + _COLUMNS)).astype(np.float32)
    counts = strokes.astype(np.float32) @ windows
    rows = counts.shape[1] - _ROWS + 1
    sums = sum(counts[:, shift : shift + rows] for shift in range(1, _ROWS)) + counts[:, :rows]
    return np.asarray(sums.max(axis=(1, 2)), dtype=np.intp)
