"""Find the same picture twice: byte for byte, pixel for pixel, or changed a little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.alignment import align, unmoved
from plainfilm.audit.clusters import join, links_of, same_files
from plainfilm.audit.evidence import SMALL, Evidence, shrink
from plainfilm.audit.hashing import close_pairs, hash_pictures, local_contrast
from plainfilm.errors import ImageError
from plainfilm.pixels import read_picture

__all__ = ["ALIKE", "SAME", "Copies", "Pair", "find_copies"]

SAME = 0.92
"""Agreement of the fine structure from which on two pictures are one. Measured on radiographs of
the public paediatric set (its training folder): copies cut by up to 3 % a side, re-encoded, halved
in size, brighter or of other contrast reach 0.95 and more; of the 12,669 pairs of different
patients that look most alike, one reaches 0.86, the others 0.82 at most."""
ALIKE = 0.82
"""From here to `SAME`: two radiographs of one person more likely than of two people."""

_PROMISING = 0.6  # cosine of two hashes
_LIKELY = 0.35  # the same in a small set, whose directions are less well known
# Agreement at 16 and at 32 pixels, and the rounds to reach it: copies reach 0.91 and 0.94.
_COARSE = ((16, 4, 0.85), (32, 3, 0.88))
_ROUNDS = 3
_PIXELWISE = 0.97  # agreement from which on equal pixels are possible
_FEW = 32  # up to here all pairs are laid over each other
_SOME = 400  # up to here the hashes of all pairs are compared
_BATCH = 256
_CONTENT = 8  # grey levels: pictures of fewer show nothing that could be a copy


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures that are one, or look alike.

    Attributes
    ----------
    first, second
        Rows of the evidence.
    agreement
        Correlation of the fine structure once laid over each other, -1 to 1.
    mirrored
        Whether one is the other's mirror image.
    """

    first: int
    second: int
    agreement: float
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Copies:
    """What is there more than once.

    Attributes
    ----------
    exact
        Groups of rows with the same pixels, whatever the encoding.
    near
        Pairs of pictures that are one, changed a little; one row stands for each exact group.
    alike
        Pairs that look like the same person.
    """

    exact: tuple[tuple[int, ...], ...]
    near: tuple[Pair, ...]
    alike: tuple[Pair, ...]


def find_copies(evidence: Evidence) -> Copies:
    """Find copies among the images of the evidence; without pictures, by their bytes alone."""
    same = same_files(evidence.hashes)
    if evidence.pictures is None:
        return Copies(same, (), ())
    span = evidence.pictures.span
    # Blank images are equal, but no copies of anything; of equal files the first stands for all.
    stands = span >= _CONTENT
    stands[[row for group in same for row in group[1:]]] = False
    rows = np.flatnonzero(stands)
    pairs = [p for p in _near(evidence, rows) if p.agreement >= ALIKE]
    equal = [
        (p.first, p.second)
        for p in pairs
        if p.agreement >= _PIXELWISE and not p.mirrored and _same_pixels(evidence, p)
    ]
    shown = [group for group in same if span[group[0]] >= _CONTENT]
    links = [*links_of(shown), *equal]
    settled = set(equal)
    left = [p for p in pairs if (p.first, p.second) not in settled]
    return Copies(
        exact=join(links),
        near=tuple(p for p in left if p.agreement >= SAME),
        alike=tuple(p for p in left if p.agreement < SAME),
    )


def _near(evidence: Evidence, rows: NDArray[np.intp]) -> list[Pair]:
    assert evidence.pictures is not None and evidence.cache is not None
    if len(rows) < 2:
        return []
    small = evidence.pictures.small[rows]
    pairs = _candidates(small)
    views = {SMALL: local_contrast(small, 3.0), 16: local_contrast(shrink(small, 16), 3.0)}
    kept: list[Pair] = []
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        found = unmoved(len(part))
        for side, rounds, least in _COARSE:
            if not len(part):
                break
            first, second, flip, _ = part.T
            still, moved = views[side][first], _flip(views[side][second], flip)
            agreement, found = align(still, moved, found, rounds)
            good = agreement >= least
            part, found = part[good], found[good]
        if not len(part):
            continue
        images = evidence.cache.gather(rows[part[:, :2].T.ravel()])
        fine = local_contrast(shrink(images, 64), 3.0)
        still, moved = fine[: len(part)], _flip(fine[len(part) :], part[:, 2])
        agreement, _ = align(still, moved, found, _ROUNDS)
        for row, value in zip(part.tolist(), agreement.tolist(), strict=True):
            one, other, mirrored, promising = row
            if promising or value >= SAME:
                kept.append(Pair(int(rows[one]), int(rows[other]), value, bool(mirrored)))
    return kept


def _flip(pictures: NDArray[np.float32], flip: NDArray[np.intp]) -> NDArray[np.float32]:
    turned = pictures.copy()
    chosen = flip.astype(bool)
    turned[chosen] = pictures[chosen][:, :, ::-1]
    return turned


def _candidates(small: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return (m, 4): two positions, 1 where the second is to be mirrored, 1 where both are near.

    Where all or nearly all pairs of a small set are tried, many are alike by chance.
    """
    count = len(small)
    if count <= _FEW:
        one, other = np.triu_indices(count, 1)
        none = np.zeros(len(one), dtype=np.intp)
        return np.concatenate([np.column_stack([one, other, none + n, none]) for n in (0, 1)])
    # Mirror images are hashed beside the images: a copy may be one of them.
    hashes = hash_pictures(np.concatenate([small, small[:, :, ::-1]]))
    if count <= _SOME:
        cosine = hashes.places[:count] @ hashes.places.T
        pairs = np.column_stack(np.nonzero(np.triu(cosine >= _LIKELY, 1)))
        promising = cosine[pairs[:, 0], pairs[:, 1]] >= _PROMISING
    else:
        pairs = close_pairs(hashes.bits)
        pairs = pairs[pairs[:, 0] < count]  # those among mirror images say nothing new
        first, second = pairs[:, 0], pairs[:, 1]
        cosine = np.einsum("ij,ij->i", hashes.places[first], hashes.places[second])
        pairs = pairs[cosine >= _PROMISING]
        promising = np.ones(len(pairs), dtype=bool)
    flip = (pairs[:, 1] >= count).astype(np.intp)
    first, second = pairs[:, 0], pairs[:, 1] - flip * count
    kept = first < second  # of (a, mirrored b) and (b, mirrored a) one is enough
    return np.asarray(np.column_stack([first, second, flip, promising])[kept], dtype=np.intp)


def _same_pixels(evidence: Evidence, pair: Pair) -> bool:
    metadata = [evidence.metadata[row] for row in (pair.first, pair.second)]
    if any(metadata[0].get(side) != metadata[1].get(side) for side in ("width", "height")):
        return False
    assert evidence.cache is not None
    seen = evidence.cache.gather([pair.first, pair.second])
    if metadata[0].get("format") == metadata[1].get("format") and not np.array_equal(*seen):
        return False  # files of one format are made smaller in one way
    try:
        one, other = (
            read_picture(evidence.records[row].path).pixels for row in (pair.first, pair.second)
        )
    except ImageError:  # gone since
        return False
    return bool(np.array_equal(one, other))
