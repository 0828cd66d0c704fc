"""Collects what the checks need in one pass: records, file metadata and small views of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import cores
from plainfilm.audit.styles import FEATURES, describe_styles
from plainfilm.data.cache import Cache
from plainfilm.data.file_hashes import FileHashes, left_out_records
from plainfilm.data.file_index import Digests
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.metadata import Metadata
from plainfilm.data.record_table import Records
from plainfilm.pixels.text import TextLine, read_lines

SIDE = 128
"""Side of the square images that an audit decodes, in pixels."""
THUMBNAIL = 32
"""Side of the thumbnails, in pixels."""
LEVELS = 256
"""Number of grey levels."""
_CHUNK = 512


@dataclass(frozen=True, slots=True, eq=False)
class ImageSummaries:
    """Small views of n images."""

    thumbnails: NDArray[np.uint8]  # (n, 32, 32) block means
    histograms: NDArray[np.uint16]  # (n, 256) of every other row and column
    styles: NDArray[np.float64]  # (n, features) of `describe_styles`; the aspect ratio is NaN
    grey_range: NDArray[np.intp]  # (n,) grey levels between the 1st and the 99th percentile

    @classmethod
    def empty(cls, count: int) -> ImageSummaries:
        """Return summaries of ``count`` images, to be set by `put`."""
        return cls(
            np.empty((count, THUMBNAIL, THUMBNAIL), np.uint8),
            np.empty((count, LEVELS), np.uint16),
            np.empty((count, len(FEATURES))),
            np.empty(count, np.intp),
        )

    def put(self, part: slice, other: ImageSummaries) -> None:
        """Set the summaries of some images."""
        for name in ("thumbnails", "histograms", "styles", "grey_range"):
            getattr(self, name)[part] = getattr(other, name)

    def first(self, count: int) -> ImageSummaries:
        """Return the summaries of the first images."""
        return ImageSummaries(
            self.thumbnails[:count],
            self.histograms[:count],
            self.styles[:count],
            self.grey_range[:count],
        )


class Images(Protocol):
    """Decoded images of `SIDE` pixels, by their numbers."""

    def gather(self, indices: NDArray[np.intp], /) -> NDArray[np.uint8]:
        """Return images, (n, side, side)."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A data set as the checks need it: n readable records, and arrays in their order."""

    manifest: Manifest  # all records, including those that cannot be read
    left_out: tuple[LeftOut, ...]  # files that cannot be read, with reasons
    records: Records
    ids: NDArray[Any]  # of variable length, an item is a str
    metadata: Metadata
    hashes: Digests  # SHA-256 of the files, (n, 32)
    labels: NDArray[np.float32]  # (n, labels) of 1, 0 or NaN
    splits: NDArray[np.str_]  # (n,) names; empty for a record without a split
    groups: NDArray[np.intp]  # (n,) patient numbers
    images: Images | None = None  # None in a quick audit
    summaries: ImageSummaries | None = None

    def __len__(self) -> int:
        return len(self.records)

    def label_columns(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Return the name and the values (n,) of each label."""
        return zip(self.manifest.task.labels, self.labels.T, strict=True)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a numeric metadata item, (n,), NaN where it is missing."""
        return self.metadata.numbers(name)

    def text_lines(self) -> list[tuple[TextLine, ...]]:
        """Return the lines of burnt-in text of each image; none in a quick audit."""
        return [read_lines(str(text or "[]")) for text in self.metadata.values("text")]

    def ids_where(self, mask: NDArray[np.bool_]) -> list[str]:
        """Return the ids of the rows that a mask (n,) selects."""
        ids: list[str] = self.ids[mask].tolist()
        return ids


def evidence_from_cache(manifest: Manifest, cache: Cache) -> Evidence:
    """Collect the evidence of a manifest from its decoded images of 128 pixels a side."""
    records = manifest.records.where(cache.find(manifest.records) >= 0)
    left_out = (*manifest.left_out, *cache.left_out)
    evidence = _evidence(manifest, records, left_out, cache.metadata, cache.hashes)
    return replace(evidence, images=cache, summaries=_summarise(cache))


def evidence_from_summaries(
    manifest: Manifest,
    readable: NDArray[np.bool_],
    left_out: Iterable[LeftOut],
    *,
    metadata: Metadata,
    hashes: Digests,
    summaries: ImageSummaries,
    images: Callable[[Records], Images],
) -> Evidence:
    """Collect the evidence of the readable records, (n,), whose images were summarised before.

    ``images`` returns the images of records.
    """
    records = manifest.records.where(readable)
    evidence = _evidence(manifest, records, (*manifest.left_out, *left_out), metadata, hashes)
    return replace(evidence, images=images(records), summaries=summaries)


def evidence_from_files(manifest: Manifest, files: FileHashes) -> Evidence:
    """Collect the evidence that needs no decoding, from the files of the manifest."""
    rows = files.readable
    records = manifest.records.take(rows)
    left_out = (*manifest.left_out, *left_out_records(manifest, files.failures))
    sizes = Metadata(len(rows), bytes=files.stamps[rows, 0].astype(np.float64))
    return _evidence(manifest, records, left_out, sizes, files.digests[rows])


def _evidence(
    manifest: Manifest,
    records: Records,
    left_out: tuple[LeftOut, ...],
    metadata: Metadata,
    hashes: Digests,
) -> Evidence:
    return Evidence(
        manifest=manifest,
        left_out=left_out,
        records=records,
        ids=np.array(records.table["id"].to_pylist(), np.dtypes.StringDType()),
        metadata=metadata,
        hashes=hashes,
        labels=records.labels,
        splits=records.known_splits,
        groups=records.groups,
    )


def _summarise(cache: Cache) -> ImageSummaries:
    summaries = ImageSummaries.empty(len(cache))

    def fill(start: int) -> None:
        part = slice(start, min(start + _CHUNK, len(cache)))
        summaries.put(part, summarise(cache.gather(np.arange(part.start, part.stop))))

    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(fill, range(0, len(cache), _CHUNK)):
            pass
    return summaries


def summarise(images: NDArray[np.uint8]) -> ImageSummaries:
    """Return the summaries of images (n, side, side)."""
    histograms = _histograms(images[:, ::2, ::2])
    return ImageSummaries(
        downsample(images, THUMBNAIL), histograms, describe_styles(images), grey_ranges(histograms)
    )


def downsample(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return block means (n, side, side) of images (n, size, size); side divides size."""
    factor = images.shape[1] // side
    # Adding slices is several times faster than a mean over axes.
    rows = images[:, 0::factor].astype(np.uint16)
    for offset in range(1, factor):
        rows += images[:, offset::factor]
    sums = rows[:, :, 0::factor].astype(np.uint32)
    for offset in range(1, factor):
        sums += rows[:, :, offset::factor]
    means: NDArray[np.uint8] = ((sums + factor * factor // 2) // factor**2).astype(np.uint8)
    return means


def _histograms(images: NDArray[np.uint8]) -> NDArray[np.uint16]:
    count = len(images)
    offsets = (np.arange(count, dtype=np.int32) * 256)[:, None]
    flat = images.reshape(count, -1) + offsets
    return np.bincount(flat.ravel(), minlength=256 * count).reshape(count, 256).astype(np.uint16)


def grey_ranges(histograms: NDArray[np.uint16]) -> NDArray[np.intp]:
    """Return the grey levels between the 1st and the 99th percentile, (n,)."""
    sums = np.cumsum(histograms, axis=1, dtype=np.int32)
    low, high = (sums < share * sums[:, -1:] for share in (0.01, 0.99))
    return np.asarray(high.sum(axis=1) - low.sum(axis=1), dtype=np.intp)
