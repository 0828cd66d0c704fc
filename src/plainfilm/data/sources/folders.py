"""Lists folders of class folders, with or without train, validation and test above them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.listing import (
    MAX_CLASSES,
    Item,
    Listing,
    describe_unusable,
    split_of_name,
)
from plainfilm.data.sources.table_files import is_table
from plainfilm.data.sources.tree import Branch, count_suffixes, read_tree
from plainfilm.errors import SourceError
from plainfilm.pixels import IMAGE_SUFFIXES
from plainfilm.records import Split


class _Layer(NamedTuple):
    """A folder of class folders, the split it is for, and the prefix of its ids."""

    official: Split | None
    branch: Branch
    prefix: str


def list_folder(root: Path) -> Listing:
    """List a folder of class folders.

    Folders that contain only one folder are skipped, as in unpacked archives. Ids are paths below
    the folder of the splits or classes.
    """
    tree = read_tree(root)
    if tree.images == 0:
        others = plural(tree.others.total(), "other file")
        suffixes = f": {count_suffixes(tree.others)}" if tree.others else ""
        raise SourceError(
            "the folder contains no image",
            received=f"{root} ({others}{suffixes})",
            remedy=f"give a folder with files named {', '.join(sorted(IMAGE_SUFFIXES))}",
        )
    top = _unwrap(tree)
    listing = Listing(name=root.name or root.resolve().name or "data")
    layers = [_Layer(None, top, "")]
    if splits := _splits(top):
        _report_neighbours(top, splits, listing)
        layers = [_Layer(split_of_name(s.name), s, f"{s.name}/") for s in splits]
    _check_classes(layers, listing)
    for official, branch, prefix in layers:
        for folder in branch.folders:
            _list_class(folder, official, f"{prefix}{folder.name}/", listing)
    _report_loose_images(layers, listing)
    _report_other_files(root, tree, top, listing)
    return listing


def _unwrap(branch: Branch) -> Branch:
    while not branch.files and not _splits(branch):
        full = [folder for folder in branch.folders if folder.images]
        if len(full) != 1 or full[0].files:
            break
        branch = full[0]
    return branch


def _splits(branch: Branch) -> list[Branch]:
    return [f for f in branch.folders if f.images and split_of_name(f.name)]


def _check_classes(layers: list[_Layer], listing: Listing) -> None:
    """Reject too many, missing or empty class folders; report other folders without images."""
    known = {f.name.casefold() for layer in layers for f in layer.branch.folders if f.images}
    if len(known) > MAX_CLASSES:
        raise SourceError(
            f"{len(known)} class folders are too many classes",
            received=", ".join(sorted(known)[:5]) + ", ...",
            remedy="give a folder whose folders are the classes, or a table of labels",
        )
    loose = [layer.branch for layer in layers if layer.branch.files]
    if not known and loose:
        folder = Path(loose[0].path)
        count = sum(len(branch.files) for branch in loose)
        raise SourceError(
            f"{folder} contains images but no class folders",
            received=f"{plural(count, 'image')}, none in a class folder",
            remedy=f"give the folder above ({folder.absolute().parent}) if its folders are the "
            "classes, or a table with the class of each image",
        )
    empty: list[str] = []
    ignored: list[str] = []
    for _, branch, prefix in layers:
        for child in branch.folders:
            if not child.images and split_of_name(child.name) is None:
                is_class = not child.others or child.name.casefold() in known
                (empty if is_class else ignored).append(prefix + child.name)
    if empty:
        raise SourceError(
            "a class folder contains no image",
            received=", ".join(empty),
            remedy="add images, or remove the folder if it is not a class",
        )
    if ignored:
        listing.report(
            "ignored-folders",
            "note",
            f"folders without images are not classes: {', '.join(ignored[:5])}",
            len(ignored),
        )


def _list_class(folder: Branch, official: Split | None, prefix: str, listing: Listing) -> None:
    for name, size, real in folder.walk():
        first, slash, _ = name.partition("/")
        # Some data sets have the splits below the classes.
        inner = split_of_name(first) if slash and official is None else None
        identity, path = prefix + name, str(Path(folder.path, name))
        escaped = _escape(identity), _escape(path)
        if escaped[1] != path:
            problem = "the file name is not valid text (UTF-8)"
            listing.left_out.append(LeftOut(*escaped, "invalid-name", problem))
        elif size > 0:
            listing.items.append(Item(identity, path, real, folder.name, official or inner))
        else:
            listing.left_out.append(describe_unusable(identity, path, size))


def _escape(path: str) -> str:
    """Escape what is not UTF-8; a valid path is unchanged."""
    return path.encode(errors="backslashreplace").decode()


def _report_loose_images(layers: list[_Layer], listing: Listing) -> None:
    loose = [layer.prefix + file.name for layer in layers for file in layer.branch.files]
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


def _signature(splits: Iterable[Branch]) -> set[tuple[str, int]]:
    """Return path and size of every file, to compare two copies of a data set."""
    return {(f"{s.name}/{f.name}".casefold(), f.size) for s in splits for f in s.walk()}


def _report_neighbours(top: Branch, splits: list[Branch], listing: Listing) -> None:
    """Report folders next to the splits; the archive of Kermany's set contains itself twice."""
    for folder in top.folders:
        if not folder.images or folder in splits:
            continue
        if inner := _splits(_unwrap(folder)):
            copy = _signature(inner)
            if shared := len(copy & _signature(splits)):
                extra = len(copy) - shared
                more = f" and {plural(extra, 'other image')}" if extra else ""
                listing.report(
                    "repeated-folder",
                    "warning" if extra else "note",
                    f"{folder.name}/ contains {plural(shared, 'image')} of the splits again{more}; "
                    "it is not loaded",
                    len(copy),
                    consequence="with both folders every image would be loaded twice",
                    remedy="compare the two folders, and keep one" if extra else "",
                )
                continue
        listing.report(
            "ignored-folders",
            "warning",
            f"the folder {folder.name}/ with {plural(folder.images, 'image')} is not a split and "
            "not used",
            folder.images,
            remedy="name it train, validation or test if it is a split",
        )


def _report_other_files(root: Path, tree: Branch, top: Branch, listing: Listing) -> None:
    if tree.others:
        total = tree.others.total()
        listing.report(
            "other-files",
            "note",
            f"{plural(total, 'file has', 'files have')} no suffix of a known image format and "
            f"{'was' if total == 1 else 'were'} not opened: {count_suffixes(tree.others)}",
            total,
        )
    if tree.unreadable:
        listing.report(
            "unreadable-folders",
            "warning",
            f"{plural(len(tree.unreadable), 'folder')} cannot be listed",
            len(tree.unreadable),
            (os.path.relpath(path, root) for path in tree.unreadable),
            remedy="check the permissions of the folders",
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
