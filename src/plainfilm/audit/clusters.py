"""Rows that belong together, because links between them say so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from plainfilm.audit.evidence import Evidence

__all__ = ["cluster", "join", "links_of", "same_files", "superfluous"]

Groups = Sequence[Sequence[int]]


def join(links: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Return the groups that links between rows make, each sorted, of two rows at least."""
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
    """Yield links that make these groups."""
    return ((group[0], row) for group in groups for row in group[1:])


def same_files(hashes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of rows whose files are the same, byte for byte."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(hashes):
        groups[digest].append(row)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def superfluous(groups: Groups) -> int:
    """Count the rows that are there besides one of each group."""
    return sum(map(len, groups)) - len(groups)


def cluster(evidence: Evidence, groups: Groups) -> Evidence:
    """Return the evidence with each group as one patient: a cheat must not know copies again."""
    nodes = len(evidence)
    # Patients are nodes beside the rows, so that chains of both are followed.
    owners = [(row, nodes + owner) for row, owner in enumerate(evidence.groups.tolist())]
    numbers = evidence.groups.copy()
    for number, members in enumerate(join([*owners, *links_of(groups)])):
        numbers[[row for row in members if row < nodes]] = number
    return replace(evidence, groups=numbers)
