"""Converts class names to the label columns of a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from plainfilm._text import plural
from plainfilm.data.manifest import Manifest
from plainfilm.data.sources.classes.names import (
    fold_class,
    is_clearly_negative,
    is_negative_name,
    negative_of,
)
from plainfilm.data.sources.identifying import contains_identity
from plainfilm.data.sources.listing import MAX_CLASSES, Item, Listing, finding
from plainfilm.errors import LabelError, SourceError, UsageError
from plainfilm.records import Finding, Task

_POSITIVE_UNKNOWN = "positive-class"
_GENERIC = frozenset({"1", "abnormal", "case", "cases", "positive", "true", "yes"})


class Labelling(NamedTuple):
    """The task, the labels of each item, and findings."""

    task: Task
    rows: list[tuple[float, ...]]
    findings: list[Finding]


def label_items(
    listings: Sequence[Listing], positive: str | None = None, *, one_class: bool = False
) -> Labelling:
    """Choose the task and label every item of every listing, in their order.

    By default the positive class of two is the one whose name does not mean normal. If the names do
    not show it, a finding of the check ``positive-class`` asks for it, and a training refuses.
    With ``one_class``, one class is enough; the other one is named after it.
    """
    if all(listing.labels is None for listing in listings):
        return _label_classes(listings, positive, one_class)
    return _label_columns(listings, positive, one_class)


def _label_columns(listings: Sequence[Listing], positive: str | None, one_class: bool) -> Labelling:
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
    if len(constant) == len(first) and not one_class:
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


def _label_classes(listings: Sequence[Listing], positive: str | None, one_class: bool) -> Labelling:
    spelling, findings = _merge_spellings([item for one in listings for item in one.items])
    sets = {one.name: {spelling[_fold(item)] for item in one.items} for one in listings}
    names = sorted(set().union(*sets.values()), key=str.casefold)
    if len(names) > MAX_CLASSES:
        raise SourceError(
            f"{len(names)} different values are too many classes",
            received=_first_listing(listings),
            remedy="name the column of the classes with labels=, or correct label_pattern=",
        )
    if any(classes != set(names) for classes in sets.values()):
        raise LabelError(
            "the sources do not have the same classes",
            received="; ".join(f"{n}: {', '.join(sorted(c))}" for n, c in sets.items()),
            remedy="give class_map= with the names that become equal",
        )
    if len(names) < 2 and not (names and one_class):
        masks = [row.id for one in listings for row in one.left_out if row.reason == "mask"]
        folders = sorted({name.rpartition("/")[0] for name in masks} - {""})
        folders = [name for name in folders if not any(map(contains_identity, name.split("/")))]
        shown = ", ".join(folders[:5]) + ", ..." * (len(folders) > 5)
        left_out = f"; left out as masks: {plural(len(masks), 'image')}" * bool(masks)
        left_out += f" in {shown}" * bool(folders)
        blank = "; if blank cells of the table mean 0, give blank=negative"
        raise SourceError(
            "there is only one class",
            received=(names[0] if names else "no image with a label") + left_out,
            remedy="rename folders or files left out as masks if they are radiographs; "
            * bool(masks)
            + "give the folder above the class folders, or a table with both classes; "
            "only plainfilm evaluate, audit and show accept one class"
            + blank
            * (not any(map(is_negative_name, names)))
            * any(row.reason == "no-label" for one in listings for row in one.left_out),
        )
    if len(names) == 1:
        task, found = _choose_other(names[0], positive or _shown_positive(listings, names))
        findings += found
    elif len(names) == 2:
        task, found = _choose_binary(names, positive or _shown_positive(listings, names))
        findings += found
    elif positive is not None:
        raise UsageError(
            "positive= needs a data set with two classes",
            received=f"{positive!r} with the classes {', '.join(names)}",
            remedy="leave it out",
        )
    else:
        task = Task("multiclass", tuple(names), tuple(names))
        findings += _similar_meanings(names)
    vectors = {name: tuple(float(name == label) for label in task.labels) for name in task.classes}
    rows = [vectors[spelling[_fold(item)]] for one in listings for item in one.items]
    return Labelling(task, rows, findings)


def _fold(item: Item) -> str:
    return fold_class(str(item.label))


def _shown_positive(listings: Sequence[Listing], names: Sequence[str]) -> str | None:
    """Return the class that the columns of 1 and 0 show to be positive, if they agree."""
    keys = {fold_class(one.positive) for one in listings if one.positive is not None}
    return next((name for name in names if keys == {fold_class(name)}), None)


def _first_listing(listings: Sequence[Listing]) -> str:
    return ", ".join(listing.name for listing in listings[:3])


def _merge_spellings(items: Sequence[Item]) -> tuple[dict[str, str], list[Finding]]:
    """Merge class names that differ only in case, spaces, - and _ to the most frequent spelling."""
    counts = Counter(str(item.label).strip() for item in items)
    spelling: dict[str, str] = {}
    for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        spelling.setdefault(fold_class(name), name)
    merged = sorted(name for name in counts if spelling[fold_class(name)] != name)
    if not merged:
        return spelling, []
    only_case = all(name.casefold() == spelling[fold_class(name)].casefold() for name in merged)
    differ = "case" if only_case else "case, spaces, hyphens or underscores"
    problem = f"class names that differ only in {differ} were merged: " + ", ".join(
        f"{name} ({plural(counts[name], 'image')}) into {spelling[fold_class(name)]}"
        for name in merged
    )
    found = finding(
        "classes-merged",
        "note" if only_case else "warning",
        problem,
        sum(counts[name] for name in merged),
        remedy="" if only_case else "if they are different classes, rename one with class_map=",
    )
    return spelling, [found]


def _is_named(name: str) -> bool:
    """Return whether a class name is a word and not a number."""
    return any(map(str.isalpha, name))


def _similar_meanings(names: Sequence[str]) -> list[Finding]:
    """Warn of three or more classes with names that mean the same, such as normal and healthy."""
    negative = [name for name in names if is_clearly_negative(name)]
    generic = [name for name in names if fold_class(name) in _GENERIC]
    if not any(_is_named(name) for name in names if name not in (*negative, *generic)):
        generic = []
    groups = [group for group in (negative if len(negative) > 1 else [], generic) if group]
    if not groups:
        return []
    named = "; ".join(", ".join(group) for group in groups)
    return [
        finding(
            "classes-alike",
            "warning",
            f"of {len(names)} classes, these may mean the same as each other or as another "
            f"class: {named}",
            sum(map(len, groups)),
            consequence="images of one kind are trained and evaluated as several classes",
            remedy="merge them with class_map=",
        )
    ]


def _choose_binary(names: list[str], positive: str | None) -> tuple[Task, list[Finding]]:
    if positive is not None:
        match = [name for name in names if fold_class(name) == fold_class(positive)]
        if not match:
            raise UsageError(
                "positive= is not one of the classes",
                received=repr(positive),
                remedy=f"choose {' or '.join(names)}",
            )
        chosen, sure = match[0], True
    else:
        normal = negative_of(names)
        sure = normal is not None
        chosen = names[1] if normal in (None, names[0]) else names[0]
    negative = next(name for name in names if name != chosen)
    unsure = finding(
        _POSITIVE_UNKNOWN,
        "warning",
        f"the class names {negative} and {chosen} do not show which class is the disease",
        1,
        consequence=f"{chosen} is shown as positive; a training needs to know",
        remedy="name the positive class with positive=",
    )
    return Task("binary", (chosen,), (negative, chosen)), [] if sure else [unsure]


def _choose_other(name: str, positive: str | None) -> tuple[Task, list[Finding]]:
    """Return the task of a data set that has one class, ``name``."""
    other = f"not {name}"
    if positive is not None and fold_class(positive) != fold_class(name):
        classes = name, positive
    elif positive is None and is_negative_name(name):
        classes = name, other
    else:
        classes = other, name
    rate = "sensitivity" if classes[1] == name else "specificity"
    found = finding(
        "one-class",
        "warning",
        f"all images are of one class, {name}",
        1,
        consequence=f"of the rates, only the {rate} can be measured, and no model can be trained",
    )
    return Task("binary", (classes[1],), classes), [found]


def require_positive(manifest: Manifest) -> None:
    """Raise a `UsageError` if the class names do not show which class is positive."""
    for found in manifest.findings:
        if found.check == _POSITIVE_UNKNOWN:
            raise UsageError(
                found.problem, received=" and ".join(manifest.task.classes), remedy=found.remedy
            )
