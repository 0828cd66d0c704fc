"""Checks for duplicates and for images of one person under several patient keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from plainfilm._text import plural
from plainfilm.audit.clusters import connected_groups, count_redundant
from plainfilm.audit.duplicates import Duplicates
from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import SETS, images, join_names, make_finding
from plainfilm.records import Finding

PRECEDENCE = {"test": 0, "validation": 1, "train": 2, "": 3}
"""Of images that must not be in several splits, the one in the first of these splits is kept."""

Groups = Sequence[Sequence[int]]


def check_duplicates(evidence: Evidence, duplicates: Duplicates) -> Iterator[Finding]:
    """Report duplicates with different labels, in several splits, and all others."""
    near = connected_groups((pair.first, pair.second) for pair in duplicates.near)
    yield from _check_groups(evidence, "exact", duplicates.exact, "identical images")
    yield from _check_groups(evidence, "near", near, "altered copies of the same image")
    if mirrored := sum(pair.mirrored for pair in duplicates.near):
        yield make_finding(
            "mirrored-duplicates",
            "note",
            f"mirror images in {plural(mirrored, 'pair')} of near duplicates: augmented images "
            "were probably saved as new ones",
            count=mirrored,
            consequence="images that are augmented before the split can be in several splits",
            remedy="use the original images",
        )


def _check_groups(
    evidence: Evidence, kind: str, groups: Groups, description: str
) -> Iterator[Finding]:
    conflicting = [group for group in groups if _labels_conflict(evidence, group)]
    if conflicting:
        ids = _ids(evidence, conflicting)
        yield make_finding(
            f"{kind}-duplicate-conflicting-labels",
            "serious",
            f"{plural(len(ids), 'group')} of {description} with different labels "
            f"({images(sum(map(len, ids)))})",
            chain(*ids),
            consequence="at least one label of each group is wrong",
            remedy="have these images read again, and exclude all of them until then",
            groups=ids,
            exclude=chain(*ids),
        )
    crossing = [group for group in groups if len({*evidence.splits[list(group)]} - {""}) > 1]
    if crossing:
        ids = _ids(evidence, crossing)
        yield make_finding(
            f"{kind}-duplicate-across-splits",
            "serious",
            f"{description} in several splits, including {_shared_images(evidence, crossing)}",
            chain(*ids),
            count=len(ids),
            consequence="a model is tested on images that it was trained on, so its results are "
            "too good",
            remedy="keep one image of each group, if possible that of the test set, "
            "and train again",
            groups=ids,
            exclude=chain(*(group[1:] for group in ids)),
        )
    reported = {*map(tuple, conflicting), *map(tuple, crossing)}
    others = [group for group in groups if tuple(group) not in reported]
    if others:
        ids = _ids(evidence, others)
        yield make_finding(
            f"{kind}-duplicate",
            "warning",
            f"{plural(len(ids), 'group')} of {description} ({images(sum(map(len, ids)))}, "
            f"{count_redundant(others):,} redundant)",
            chain(*ids),
            consequence="duplicates count as independent images, so confidence intervals become "
            "too narrow",
            remedy="keep one image of each group",
            groups=ids,
            exclude=chain(*(group[1:] for group in ids)),
        )


def _labels_conflict(evidence: Evidence, group: Sequence[int]) -> bool:
    labels = evidence.labels[list(group)]
    return bool(((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any())


def _shared_images(evidence: Evidence, groups: Groups) -> str:
    """Return how many images of the test and the validation set are in the groups."""
    shared = Counter(str(evidence.splits[row]) for group in groups for row in group)
    sizes = Counter(evidence.splits.tolist())
    return join_names(
        [
            f"{shared[name]:,} of {images(sizes[name])} of the {SETS[name]}"
            for name in ("test", "validation")
            if shared[name]
        ]
    )


def _ids(evidence: Evidence, groups: Groups) -> list[list[str]]:
    """Return the ids of each group, the image to keep first."""
    splits = evidence.splits.tolist()
    ordered = (sorted(group, key=lambda row: (PRECEDENCE[splits[row]], row)) for group in groups)
    return [[evidence.ids[row] for row in group] for group in ordered]


def check_similar_patients(evidence: Evidence, duplicates: Duplicates) -> Iterator[Finding]:
    """Report radiographs of different patient keys that look like the same person."""
    pairs = [
        (pair.first, pair.second)
        for pair in duplicates.similar
        if evidence.groups[pair.first] != evidence.groups[pair.second] and not pair.mirrored
    ]
    if not pairs:
        return
    first, second = np.array(pairs).T
    crossing = int((evidence.splits[first] != evidence.splits[second]).sum())
    groups = [(evidence.ids[one], evidence.ids[other]) for one, other in pairs]
    yield make_finding(
        "possible-same-patient",
        "warning" if crossing else "note",
        f"{plural(len(pairs), 'pair')} of very similar images with different patient keys"
        + (f", {crossing:,} in different splits" if crossing else ""),
        chain(*groups),
        count=len(pairs),
        consequence="a person with two patient keys can be in the training set and in the test set",
        remedy="compare the images of each pair; if they show one person, assign one patient key",
        groups=groups,
    )
