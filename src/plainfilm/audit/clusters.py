"""Groups rows that are linked, such as copies of one image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from plainfilm.audit.evidence import Evidence
from plainfilm.data.file_index import Digests, sortable

Groups = Sequence[Sequence[int]]


def connected_groups(links: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Return the connected components of at least two rows, each sorted."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for first, second in links:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for row in sorted(parent):
        groups[root(row)].append(row)
    return tuple(tuple(group) for group in groups.values())


def links_of(groups: Groups) -> Iterator[tuple[int, int]]:
    """Yield links that connect the rows of each group."""
    return ((group[0], row) for group in groups for row in group[1:])


def equal_files(hashes: Digests) -> tuple[tuple[int, ...], ...]:
    """Return the groups of rows whose files are equal byte for byte."""
    _, numbers, counts = np.unique(sortable(hashes), return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[numbers] > 1)
    groups: dict[int, list[int]] = defaultdict(list)
    for row, number in zip(rows.tolist(), numbers[rows].tolist(), strict=True):
        groups[number].append(row)
    return tuple(map(tuple, groups.values()))


def count_redundant(groups: Groups) -> int:
    """Count the rows beyond one of each group."""
    return sum(map(len, groups)) - len(groups)


def merge_patients(evidence: Evidence, groups: Groups) -> Evidence:
    """Return the evidence with the patients of each group merged into one.

    In cross-validation, copies of an image are then in the same fold.
    """
    owners = evidence.groups
    numbers = np.arange(owners.max(initial=-1) + 1)
    # Patients are numbered in the order of their first images, also after they are merged.
    links = ((int(owners[one]), int(owners[other])) for one, other in links_of(groups))
    for first, *others in connected_groups(links):
        numbers[others] = first
    _, merged = np.unique(numbers[owners], return_inverse=True)
    return replace(evidence, groups=merged.astype(np.intp))
