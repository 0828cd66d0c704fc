"""Groups rows that are linked, such as copies of one image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from plainfilm.audit.evidence import Evidence

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


def equal_files(hashes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of rows whose files are equal byte for byte."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(hashes):
        groups[digest].append(row)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def count_redundant(groups: Groups) -> int:
    """Count the rows beyond one of each group."""
    return sum(map(len, groups)) - len(groups)


def merge_patients(evidence: Evidence, groups: Groups) -> Evidence:
    """Return the evidence with the patients of each group merged into one.

    In cross-validation, copies of an image are then in the same fold.
    """
    count = len(evidence)
    # Patients are nodes after the rows, so that rows are linked through copies and patients alike.
    owners = [(row, count + owner) for row, owner in enumerate(evidence.groups.tolist())]
    numbers = evidence.groups.copy()
    for number, members in enumerate(connected_groups([*owners, *links_of(groups)])):
        numbers[[row for row in members if row < count]] = number
    return replace(evidence, groups=numbers)
