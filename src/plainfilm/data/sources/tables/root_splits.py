"""Finds the official splits of tables: from their names or the folders of the paths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from plainfilm._text import plural
from plainfilm.data.sources.listing import Listing, finding, split_of_name
from plainfilm.records import Finding, Split

_WORDS = re.compile(r"[^\W\d_]+")
_LABORATORY = re.compile(
    "(?:pcr|antigen|antibody|blood|lab|laboratory|rapid|skin|swab|tuberculin)[\\W_]*tests?",
    re.IGNORECASE,
)


def assign_splits(listings: Sequence[Listing]) -> list[Finding]:
    """Assign splits to the images of roots that have none, by names of roots or by folders.

    Names of the roots count if they differ in meaning, such as train.csv and test.csv, or else the
    folders of the paths in tables. A warning counts the images that neither assigns. Where images
    have a split from a column, it remains, and a disagreement is reported.
    """
    names = _read_names([one.name for one in listings])
    folders = _read_folders([one for one in listings if one.is_table])
    named: list[str] = []
    images = 0
    by_folder: Counter[Split] = Counter()
    without: list[str] = []
    for one, name in zip(listings, names, strict=True):
        if any(item.official for item in one.items):
            _compare(one, name, folders)
            continue
        if name:
            named.append(f"{name} from {one.name}")
            images += len(one.items)
            _compare(one, name, folders)
        for item in one.items:
            item.official = name or folders.get(id(item))
            if not item.official:
                without.append(item.id if len(listings) == 1 else f"{one.name}/{item.id}")
        if not name:
            by_folder.update(item.official for item in one.items if item.official)
    findings: list[Finding] = []
    if named:
        problem = f"splits were read from the names of the data: {'; '.join(named)}"
        findings.append(finding("splits-from-names", "note", problem, images))
    if by_folder:
        listed = ", ".join(f"{split} {count:,}" for split, count in by_folder.items())
        problem = f"splits were read from the folders in the paths: {listed}"
        findings.append(finding("splits-from-folders", "note", problem, by_folder.total()))
    if without and (named or by_folder):
        findings.append(
            finding(
                "images-without-split",
                "warning",
                f"{plural(len(without), 'image has', 'images have')} no split: neither the name of "
                "the data nor a folder names one",
                len(without),
                without,
                consequence="they may be used for training",
                remedy="add a split column, or name the data or its folders after splits",
            )
        )
    return findings


def _read_names(names: Sequence[str]) -> list[Split | None]:
    """Return the splits that the names of roots say, if they differ.

    If a name has words for one split, other words do not matter: nih_test. The words that all names
    with splits start with do not count in names of several splits: train_test_split_test.
    """
    words = [_WORDS.findall(name.casefold()) for name in names]
    splits = [
        split_of_name(name) or _split_of(parts) for name, parts in zip(names, words, strict=True)
    ]
    with_role = [parts for parts in words if any(map(split_of_name, parts))]
    columns = enumerate(zip(*with_role, strict=False))
    shared = next((at for at, column in columns if len(set(column)) > 1), 0)
    splits = [
        split or (_split_of(parts[shared:]) if parts in with_role else None)
        for split, parts in zip(splits, words, strict=True)
    ]
    if set(splits) == {"test", None}:  # a test may also be one of the laboratory
        splits = [
            None if _LABORATORY.search(name) else split
            for name, split in zip(names, splits, strict=True)
        ]
    return splits if len(set(splits)) > 1 else [None] * len(names)


def _split_of(words: Sequence[str]) -> Split | None:
    """Return the only split among words; training and validation together are training."""
    roles = {split for word in words if (split := split_of_name(word))}
    if roles == {"train", "validation"}:
        return "train"
    return roles.pop() if len(roles) == 1 else None


def _compare(listing: Listing, name: Split | None, folders: dict[int, Split]) -> None:
    """Report the images that have, or get by the name, another split than a name says."""
    other = [
        item.id
        for item in listing.items
        if (used := item.official or name) and not {name, folders.get(id(item))} <= {None, used}
    ]
    if other:
        count = plural(len(other), "image has", "images have")
        listing.report(
            "split-disagreement",
            "warning",
            f"{count} another split than the name of the table {listing.name} or of a folder says",
            len(other),
            other,
            consequence="images of an official test set may be used for training",
            remedy="check which is right; a split column counts before names of tables, and these "
            "before folders",
        )


def _read_folders(tables: Sequence[Listing]) -> dict[int, Split]:
    """Return the split that the folders of each image name.

    They count if they name two splits, or the test split of a part of the images.
    """
    known: dict[str, Split | None] = {}
    found: dict[int, Split | None] = {}
    for item in (item for one in tables for item in one.items):
        folder = item.id.rpartition("/")[0]
        if folder not in known:
            roles = {role for part in folder.split("/") if (role := split_of_name(part))}
            known[folder] = roles.pop() if len(roles) == 1 else None
        found[id(item)] = known[folder]
    different = set(found.values())
    if len(different - {None}) < 2 and different != {"test", None}:
        return {}
    return {key: split for key, split in found.items() if split}
