"""Converts class names to the label columns of a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from plainfilm.data.sources.listing import MAX_CLASSES, Item, Listing, finding
from plainfilm.errors import LabelError, SourceError, UsageError
from plainfilm.records import Finding, Task

_NEGATIVE = frozenset(
    {"0", "absence", "absent", "clear", "control", "controls", "false", "healthy"}
    | {"negative", "no", "none", "normal", "normals"}
)
_NEGATIVE_STARTS = ("no ", "non ", "not ", "without ", "nofinding")


class Labelling(NamedTuple):
    """The task, the labels of each item, and findings."""

    task: Task
    rows: list[tuple[float, ...]]
    findings: list[Finding]


def is_negative_name(name: str) -> bool:
    """Return whether a class of this name is the one without disease.

    Examples
    --------
    >>> [is_negative_name(name) for name in ("NORMAL", "No_Finding", "Pneumonia", "nodule")]
    [True, True, False, False]
    """
    plain = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
    return plain in _NEGATIVE or plain.startswith(_NEGATIVE_STARTS)


def label_items(listings: Sequence[Listing], positive: str | None = None) -> Labelling:
    """Choose the task and label every item of every listing, in their order.

    By default the positive class of two is the one whose name does not mean normal, or else the
    last in alphabetical order.
    """
    if all(listing.labels is None for listing in listings):
        return _label_classes(listings, positive)
    return _label_columns(listings, positive)


def _label_columns(listings: Sequence[Listing], positive: str | None) -> Labelling:
    first = listings[0].labels or ()
    if any(set(listing.labels or ()) != set(first) for listing in listings):
        raise LabelError(
            "the sources do not have the same label columns",
            received="; ".join(
                f"{one.name}: {', '.join(one.labels) if one.labels else 'one class column'}"
                for one in listings
            ),
            remedy="name the common columns with labels=",
        )
    if positive is not None:
        raise UsageError(
            "positive= is for two classes, not for several label columns",
            received=repr(positive),
            remedy="leave it out",
        )
    rows: list[tuple[float, ...]] = []
    for listing in listings:
        order = [(listing.labels or ()).index(label) for label in first]
        rows += [tuple(float(item.label[i]) for i in order) for item in listing.items]
    constant = [
        label
        for number, label in enumerate(first)
        if not {0.0, 1.0} <= {row[number] for row in rows}
    ]
    if len(constant) == len(first):
        raise SourceError(
            "no label column has both 1 and 0",
            received=", ".join(first),
            remedy="give a table with positive and negative images",
        )
    found = finding(
        "constant-label",
        "warning",
        f"label columns without both 1 and 0: {', '.join(constant)}",
        len(constant),
        consequence="a model can neither be trained nor evaluated on such a label",
        remedy="leave these columns out with labels=",
    )
    return Labelling(Task("multilabel", first, first), rows, [found] if constant else [])


def _label_classes(listings: Sequence[Listing], positive: str | None) -> Labelling:
    spelling, findings = _merge_spellings([item for one in listings for item in one.items])
    sets = {one.name: {spelling[_fold(item)] for item in one.items} for one in listings}
    names = sorted(set().union(*sets.values()), key=str.casefold)
    if len(names) > MAX_CLASSES:
        raise SourceError(
            "the column of the classes has too many values",
            received=f"{len(names)} different values",
            remedy="name the column of the classes with labels=",
        )
    if any(classes != set(names) for classes in sets.values()):
        raise LabelError(
            "the sources do not have the same classes",
            received="; ".join(f"{n}: {', '.join(sorted(c))}" for n, c in sets.items()),
            remedy="rename folders or values so that the classes are equal",
        )
    if len(names) < 2:
        raise SourceError(
            "there is only one class",
            received=names[0] if names else "no image with a label",
            remedy="give the folder above the class folders, or a table with both classes",
        )
    if len(names) == 2:
        task, found = _choose_binary(names, positive)
        findings += found
    elif positive is not None:
        raise UsageError(
            "positive= needs a data set with two classes",
            received=f"{positive!r} with the classes {', '.join(names)}",
            remedy="leave it out",
        )
    else:
        task = Task("multiclass", tuple(names), tuple(names))
    vectors = {name: tuple(float(name == label) for label in task.labels) for name in task.classes}
    rows = [vectors[spelling[_fold(item)]] for one in listings for item in one.items]
    return Labelling(task, rows, findings)


def _fold(item: Item) -> str:
    return str(item.label).strip().casefold()


def _merge_spellings(items: Sequence[Item]) -> tuple[dict[str, str], list[Finding]]:
    """Merge class names that differ only in case to the most frequent spelling."""
    counts = Counter(str(item.label).strip() for item in items)
    spelling: dict[str, str] = {}
    for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        spelling.setdefault(name.casefold(), name)
    merged = sorted(name for name in counts if spelling[name.casefold()] != name)
    if not merged:
        return spelling, []
    problem = "class names that differ only in case were merged: " + ", ".join(
        f"{name} into {spelling[name.casefold()]}" for name in merged
    )
    return spelling, [finding("classes-merged", "note", problem, sum(counts[n] for n in merged))]


def _choose_binary(names: list[str], positive: str | None) -> tuple[Task, list[Finding]]:
    if positive is not None:
        match = [name for name in names if name.casefold() == positive.strip().casefold()]
        if not match:
            raise UsageError(
                "positive= is not one of the classes",
                received=repr(positive),
                remedy=f"choose {' or '.join(names)}",
            )
        chosen, sure = match[0], True
    else:
        diseased = [name for name in names if not is_negative_name(name)]
        sure = len(diseased) == 1
        chosen = diseased[0] if sure else names[1]
    negative = next(name for name in names if name != chosen)
    unsure = finding(
        "positive-class",
        "warning",
        f"the class names do not show which class is the disease; {chosen!r} was chosen",
        1,
        remedy="name the positive class with positive=",
    )
    return Task("binary", (chosen,), (negative, chosen)), [] if sure else [unsure]
