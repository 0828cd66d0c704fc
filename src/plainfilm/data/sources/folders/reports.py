"""Reports what a folder contains besides the images of its classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.sources.folders.level import Folder
from plainfilm.data.sources.folders.tree import (
    UNREAD_SUFFIXES,
    Branch,
    count_suffixes,
)
from plainfilm.data.sources.listing import (
    Listing,
    split_and_rest,
    split_of_name,
)
from plainfilm.data.sources.tables.files import is_table
from plainfilm.records import Split


def report_named_splits(listing: Listing) -> None:
    """Note the splits from folders whose names have further words."""
    names: dict[str, Split] = {}
    count = 0
    for item in listing.items:
        for part in item.id.split("/")[:-1]:
            known = split_and_rest(part)
            if known and known[1] and known[0] == item.official:
                names[part] = known[0]
                count += 1
    if names:
        shown = [f"{split} from {name}" for name, split in names.items()]
        listing.report(
            "splits-from-names",
            "note",
            f"splits were read from the names of folders: {'; '.join(shown[:5])}"
            + "; ..." * (len(shown) > 5),
            count,
        )


def report_nested_splits(listing: Listing) -> None:
    """Warn of images in a folder of one split inside that of another."""
    named: dict[str, bool] = {}
    nested = []
    for item in listing.items:
        folder = item.id.rpartition("/")[0]
        if (several := named.get(folder)) is None:
            roles = {split_of_name(part) for part in folder.split("/")} - {None}
            several = named[folder] = len(roles) > 1
        if several:
            nested.append(item.id)
    if nested:
        listing.report(
            "nested-splits",
            "warning",
            f"{plural(len(nested), 'image is', 'images are')} in a folder of one split inside a "
            "folder of another; the inner folder is the split",
            len(nested),
            nested,
            remedy="move the inner folder next to the outer one",
        )


def report_loose_images(folders: Iterable[Folder], listing: Listing) -> None:
    loose = [folder.prefix + file.name for folder in folders for file in folder.branch.files]
    if loose:
        listing.report(
            "loose-images",
            "warning",
            f"{plural(len(loose), 'image is', 'images are')} not in a class folder and not used",
            len(loose),
            loose,
            consequence="without a class folder their label is unknown",
            remedy="move them into a class folder, or remove them",
        )


def count_unread(tree: Branch) -> Counter[str]:
    return Counter({s: n for s, n in tree.others.items() if s in UNREAD_SUFFIXES})


def report_unread_formats(tree: Branch, listing: Listing) -> None:
    """Warn of images in formats that are not read; the class may be part of their cause."""
    if unread := count_unread(tree):
        total = unread.total()
        listing.report(
            "unread-formats",
            "warning",
            f"{plural(total, 'image is', 'images are')} in formats that are not read and therefore "
            f"not used: {count_suffixes(unread)}",
            total,
            consequence="if one class has more of them, its images are fewer and different",
            remedy="convert them to PNG",
        )


def report_other_files(root: Path, tree: Branch, top: Branch, listing: Listing) -> None:
    if tree.recognised:
        total = tree.recognised.total()
        listing.report(
            "found-by-content",
            "note",
            f"{plural(total, 'file')} with an unusual ending "
            f"{'is an image' if total == 1 else 'are images'} by content and used: "
            f"{count_suffixes(tree.recognised)}",
            total,
        )
    report_unread_formats(tree, listing)
    others = tree.others - count_unread(tree)
    if others:
        total = others.total()
        listing.report(
            "other-files",
            "note",
            f"{plural(total, 'file is', 'files are')} not of a known image format and not used: "
            f"{count_suffixes(others)}",
            total,
        )
    if tree.unreadable:
        listing.report(
            "unreadable-folders",
            "warning",
            f"{plural(len(tree.unreadable), 'folder')} cannot be listed",
            len(tree.unreadable),
            (os.path.relpath(path, root) for path in tree.unreadable),
            remedy="check the permissions of the folders, and links between them",
        )
    names = (path.name for path in Path(top.path).iterdir())
    # Files named .txt are mostly for readers.
    tables = sorted(n for n in names if is_table(n) and ".txt" not in n.casefold())
    if tables:
        listing.report(
            "ignored-table",
            "note",
            f"the folder also contains {', '.join(tables)}; the labels are the names of the "
            "class folders",
            len(tables),
            remedy="give the table instead of the folder to use its columns",
        )
