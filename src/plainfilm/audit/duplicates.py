"""Finds duplicate images: equal files, equal pixels, and altered copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.alignment import identity_transforms, register
from plainfilm.audit.clusters import connected_groups, equal_files, links_of
from plainfilm.audit.evidence import Evidence, downsample
from plainfilm.audit.hashing import close_pairs, hash_images, local_contrast
from plainfilm.decoding.decode import Decoded
from plainfilm.decoding.pool import decode_files
from plainfilm.pixels import read_pixel_hash
from plainfilm.records import PixelSpec

NEAR_DUPLICATE = 0.92
"""Lowest agreement of near duplicates. In the training images of the public paediatric data set,
copies that were cropped by up to 3 % a side, compressed again, halved in size, or changed in
brightness or contrast reach 0.95. Of the 12,669 most similar pairs of different patients, one
reaches 0.86 and the others at most 0.82."""
SIMILAR = 0.82
"""Lowest agreement of radiographs that are more likely of one person than of two people."""

_PROMISING = 0.6  # cosine of two hashes
_POSSIBLE = 0.35  # the same in a small data set, whose principal components are less precise
# Side in pixels, steps, lowest agreement of the coarse registrations (copies: 0.91 and 0.94).
_COARSE = ((16, 4, 0.85), (32, 3, 0.88))
_FINE_STEPS = 3
_EQUAL_PIXELS = 0.97  # lowest agreement at which pixels are compared
_REGISTER_ALL = 32  # up to this number of images, all pairs are registered
_COMPARE_ALL = 400  # up to this number of images, the hashes of all pairs are compared
_BATCH = 256
_GATHERED = 1 << 16  # pairs
_SPEC = PixelSpec(8)  # of the images that come with the hashes of pixels
_BLANK = 8  # grey levels; images with a smaller range are ignored


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows of the evidence with similar images."""

    first: int
    second: int
    agreement: float  # correlation of the fine structure after registration, -1 to 1
    mirrored: bool = False  # one is the mirror image of the other


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Duplicates in a data set; in pairs, an exact group is represented by its first row."""

    exact: tuple[tuple[int, ...], ...]  # rows with equal pixels, whatever the file format
    near: tuple[Pair, ...]  # altered copies
    similar: tuple[Pair, ...]  # probably the same person


def find_duplicates(evidence: Evidence) -> Duplicates:
    """Find duplicates; without decoded images, equal files only."""
    files = equal_files(evidence.hashes)
    if evidence.summaries is None:
        return Duplicates(files, (), ())
    # Blank images are alike without being copies. The first of equal files stands for all of them.
    visible = evidence.summaries.grey_range >= _BLANK
    compared = visible.copy()
    compared[[row for group in files for row in group[1:]]] = False
    pairs = _similar_pairs(evidence, np.flatnonzero(compared))
    equal = _equal_pairs(
        evidence, [pair for pair in pairs if pair.agreement >= _EQUAL_PIXELS and not pair.mirrored]
    )
    links = [*links_of([group for group in files if visible[group[0]]]), *equal]
    others = [pair for pair in pairs if (pair.first, pair.second) not in set(equal)]
    return Duplicates(
        exact=connected_groups(links),
        near=tuple(p for p in others if p.agreement >= NEAR_DUPLICATE),
        similar=tuple(p for p in others if SIMILAR <= p.agreement < NEAR_DUPLICATE),
    )


def _similar_pairs(evidence: Evidence, rows: NDArray[np.intp]) -> list[Pair]:
    """Register the candidate pairs, coarse to fine, and return those that agree well enough."""
    assert evidence.summaries is not None and evidence.images is not None
    if len(rows) < 2:
        return []
    candidates = _candidates(evidence.summaries.thumbnails, rows)
    pairs: list[Pair] = []
    for start in range(0, len(candidates), _BATCH):
        batch = candidates[start : start + _BATCH]
        parameters = identity_transforms(len(batch))
        for side, steps, minimum in _COARSE:
            if len(batch):
                small = evidence.summaries.thumbnails[rows[batch[:, :2].T.ravel()]]
                agreement, parameters = _register(small, batch, side, parameters, steps)
                good = agreement >= minimum
                batch, parameters = batch[good], parameters[good]
        if not len(batch):
            continue
        images = evidence.images.gather(rows[batch[:, :2].T.ravel()])
        agreement, _ = _register(images, batch, 64, parameters, _FINE_STEPS)
        for (first, second, mirrored, promising), value in zip(
            batch.tolist(), agreement.tolist(), strict=True
        ):
            if value >= (SIMILAR if promising else NEAR_DUPLICATE):
                pairs.append(Pair(int(rows[first]), int(rows[second]), value, bool(mirrored)))
    return pairs


def _register(
    images: NDArray[np.uint8],
    batch: NDArray[np.intp],
    side: int,
    start: NDArray[np.float32],
    steps: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Register pairs at ``side`` pixels; all first images come before the second ones."""
    views = local_contrast(downsample(images, side), 3.0)
    moving = _mirror(views[len(batch) :], batch[:, 2])
    return register(views[: len(batch)], moving, start, steps)


def _mirror(images: NDArray[np.float32], mirrored: NDArray[np.intp]) -> NDArray[np.float32]:
    return np.where(mirrored.astype(bool)[:, None, None], images[:, :, ::-1], images)


def _candidates(thumbnails: NDArray[np.uint8], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return candidate pairs (m, 4): two positions, whether the second is mirrored, promising.

    In a small data set all or nearly all pairs are candidates, and many agree a little by chance;
    only promising ones can be reported as similar.
    """
    count = len(rows)
    if count <= _REGISTER_ALL:
        first, second = np.triu_indices(count, 1)
        zero = np.zeros(len(first), dtype=np.intp)
        return np.concatenate([np.column_stack([first, second, zero + n, zero]) for n in (0, 1)])
    # The mirror image of each image is hashed too, since a copy may be mirrored.
    hashes = hash_images(thumbnails, rows, mirrored=True)
    if count <= _COMPARE_ALL:
        vectors = hashes.vectors.astype(np.float32)
        cosine = vectors[:count] @ vectors.T
        pairs = np.column_stack(np.nonzero(np.triu(cosine >= _POSSIBLE, 1)))
        promising = cosine[pairs[:, 0], pairs[:, 1]] >= _PROMISING
    else:
        pairs = close_pairs(hashes.words, hashes.width)
        pairs = pairs[pairs[:, 0] < count]  # pairs of mirror images repeat those of images
        pairs = pairs[_cosines(hashes.vectors, pairs) >= _PROMISING]
        promising = np.ones(len(pairs), dtype=bool)
    mirrored = (pairs[:, 1] >= count).astype(np.intp)
    first, second = pairs[:, 0], pairs[:, 1] - mirrored * count
    unique = first < second  # (a, mirrored b) and (b, mirrored a) are the same pair
    columns = np.column_stack([first, second, mirrored, promising])
    return np.asarray(columns[unique], dtype=np.intp)


def _cosines(vectors: NDArray[np.float16], pairs: NDArray[np.intp]) -> NDArray[np.float32]:
    cosines = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _GATHERED):
        own = vectors[pairs[start : start + _GATHERED]].astype(np.float32)
        cosines[start : start + len(own)] = np.einsum("ij,ij->i", own[:, 0], own[:, 1])
    return cosines


def _equal_pairs(evidence: Evidence, pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Return those pairs whose files have equal pixels at full size; each file is read once."""
    likely = [(pair.first, pair.second) for pair in pairs if _may_be_equal(evidence, pair)]
    rows = sorted({row for pair in likely for row in pair})
    if not rows:
        return []
    files = evidence.records.take(rows).paths
    _, outcomes = decode_files(files, _SPEC, read_pixel_hash)
    hashes = {  # without files that were removed or changed in the meantime
        row: one.metadata["pixels"]
        for row, one in zip(rows, outcomes, strict=True)
        if isinstance(one, Decoded)
    }
    return [pair for pair in likely if len({hashes.get(row, row) for row in pair}) == 1]


def _may_be_equal(evidence: Evidence, pair: Pair) -> bool:
    rows = [pair.first, pair.second]
    one, other = (evidence.metadata[row] for row in rows)
    if any(one.get(name) != other.get(name) for name in ("width", "height")):
        return False
    assert evidence.images is not None
    # Files of one format are downsampled in the same way, so equal images are equal in the cache.
    return one.get("format") != other.get("format") or np.array_equal(
        *evidence.images.gather(np.array(rows))
    )
