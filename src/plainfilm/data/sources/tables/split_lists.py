"""Assigns splits by official lists of files, such as test_list.txt, for ``split_lists=``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from plainfilm._files import read_regular, reason_of
from plainfilm._text import plural
from plainfilm.data.sources.file_names import best_matches, last_part, stem_of
from plainfilm.data.sources.identifying import contains_identity
from plainfilm.data.sources.listing import Item, Listing, finding, split_of_name
from plainfilm.errors import LabelError, SourceError, UsageError
from plainfilm.records import Finding, Split


def assign_split_lists(
    listings: Sequence[Listing], lists: Sequence[Path], *, known: bool = False
) -> list[Finding]:
    """Assign to each image the split of the list that names it, and none to the others.

    The lists replace the splits of columns and folders.

    A list is a text file with one name a line, with or without folders and endings. Its own name
    says the split. ``known`` lists of a public data set may name no image of a part of it.

    Raises
    ------
    UsageError
        If the name of a list does not say its split.
    SourceError
        If a list cannot be read, has no name of an image, or a name that fits several images.
    LabelError
        If an image is in lists of several splits.
    """
    items = [item for one in listings for item in one.items]
    index: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        index[stem_of(last_part(item.id))].append(item)
    roles: dict[str, Split] = {}
    contradicting: set[str] = set()
    findings: list[Finding] = []
    for path in lists:
        role = _role_of(path)
        named, unknown = _find(path, _read(path), index, known=known)
        for item in named:
            if roles.setdefault(item.real, role) != role:
                contradicting.add(item.id)
        if unknown:
            problem = f"{plural(unknown, 'name')} of {path.name} {'is' if unknown == 1 else 'are'}"
            remedy = "check that the data set is complete"
            check = "split-list-names"
            findings.append(
                finding(check, "warning", f"{problem} not in the data", unknown, remedy=remedy)
            )
    if contradicting:
        raise LabelError(
            f"{plural(len(contradicting), 'image is', 'images are')} in lists of several splits",
            received=", ".join(sorted(contradicting)[:5]),
            remedy="remove each of them from all lists but one",
        )
    return [*_assign(items, roles, lists), *findings]


def _role_of(path: Path) -> Split:
    role = split_of_name(path.name.partition(".")[0])
    if role is None:
        raise UsageError(
            "the name of a list of files does not say its split",
            received=path,
            remedy="rename it, for example to train_list.txt, val_list.txt or test_list.txt",
        )
    return role


def _read(path: Path) -> list[str]:
    try:
        lines = read_regular(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            "the list of files cannot be read", received=f"{path}: {reason_of(error)}"
        ) from error
    names = (line.strip().replace("\\", "/") for line in lines)
    return [*dict.fromkeys(filter(None, names))]


def _find(
    path: Path, names: list[str], index: dict[str, list[Item]], *, known: bool
) -> tuple[list[Item], int]:
    """Return the images that a list names, and how many names are not in the data."""
    found: list[Item] = []
    unknown = 0
    ambiguous: list[str] = []
    for name in names:
        items = _narrow(name, index.get(stem_of(last_part(name)), []))
        unknown += not items
        if len({item.real for item in items}) > 1:
            ambiguous.append(name)
        found += items
    if ambiguous:
        raise SourceError(
            "names in a list of files fit several images each",
            received=f"{plural(len(ambiguous), 'name')} in {path}{_first(ambiguous)}",
            remedy="write the folders before the names",
        )
    if not found and not known:
        raise SourceError(
            "a list of files names no image of the data",
            received=f"{path}: {plural(len(names), 'line')}{_first(names)}",
            remedy="give a text file with one file name a line",
        )
    return found, unknown


def _first(names: list[str]) -> str:
    """Show the first name, unless it may identify a patient."""
    if not names or contains_identity(names[0]):
        return ""
    return f", the first is {names[0][:60]!r}"


def _narrow(name: str, items: list[Item]) -> list[Item]:
    """Return the images with the folders and the ending of a name, if they distinguish images."""
    if len(items) < 2:
        return items
    best = best_matches(name, [item.id for item in items])
    return [item for item in items if item.id in best]


def _assign(items: Sequence[Item], roles: dict[str, Split], lists: Sequence[Path]) -> list[Finding]:
    unlisted = [item.id for item in items if item.real not in roles]
    other = 0
    for item in items:
        role = roles.get(item.real)
        other += role is not None and item.official not in (None, role)
        item.official = role
    counts = Counter(roles.values())
    used = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    problem = f"splits were read from {', '.join(path.name for path in lists)}: {used}"
    findings = [finding("splits-from-lists", "note", problem, counts.total())]
    if other:
        problem = (
            f"{plural(other, 'image has', 'images have')} another split in a column or a folder"
        )
        findings.append(
            finding("split-disagreement", "warning", f"{problem}; the lists were used", other)
        )
    if unlisted:
        count = len(unlisted)
        findings.append(
            finding(
                "not-in-split-lists",
                "warning",
                f"{plural(count, 'image is', 'images are')} in none of the lists of splits",
                count,
                unlisted,
                consequence="they may be used for training",
                remedy="leave them out with where=, or add them to a list",
            )
        )
    return findings
