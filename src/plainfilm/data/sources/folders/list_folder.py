"""Lists folders of class folders, with splits and sites above or below them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.classes.names import fold_class
from plainfilm.data.sources.folders.excluded import leave_out_excluded
from plainfilm.data.sources.folders.label_pattern import compile_label_pattern
from plainfilm.data.sources.folders.level import Folder, Level, unwrap
from plainfilm.data.sources.folders.levels import PATIENT, find_classes
from plainfilm.data.sources.folders.masks import set_masks_aside
from plainfilm.data.sources.folders.repeated import (
    leave_out_copies,
    leave_out_repeated_sites,
    report_neighbours,
)
from plainfilm.data.sources.folders.reports import (
    report_loose_images,
    report_named_splits,
    report_nested_splits,
    report_other_files,
)
from plainfilm.data.sources.folders.tree import (
    Branch,
    ImageFile,
    count_suffixes,
    read_tree,
)
from plainfilm.data.sources.identifying import contains_identity
from plainfilm.data.sources.listing import (
    MAX_CLASSES,
    Item,
    Listing,
    describe_unusable,
    named_splits,
    split_of_name,
)
from plainfilm.data.sources.options import SourceOptions
from plainfilm.errors import SourceError, UsageError
from plainfilm.pixels import IMAGE_SUFFIXES
from plainfilm.records import Split


def list_folder(root: Path, options: SourceOptions | None = None) -> Listing:
    """List a folder of class folders, or of any folders with the option ``label_pattern``.

    Folders that contain only one folder are skipped, as in unpacked archives. Ids are paths below
    the folder of the splits or classes.
    """
    options = options or {}
    tree = read_tree(root)
    if tree.images == 0:
        raise _no_image(root, tree)
    masks = set_masks_aside(tree)
    if tree.images == 0:
        raise SourceError(
            "the folder contains only masks",
            received=f"{root} with {plural(len(masks.files), 'mask')}",
            remedy="give the folder above, or rename folders and files if they are radiographs",
        )
    listing = Listing(name=root.name or root.resolve().name or "data")
    if pattern := options.get("label_pattern"):
        top = tree
        _list_by_pattern(tree, pattern, listing)
    else:
        top = unwrap(tree)
        _list_classes(top, options, listing)
    below = os.path.relpath(top.path, tree.path).replace(os.sep, "/")
    masks.report("" if below == "." else f"{below}/", listing)
    report_nested_splits(listing)
    report_other_files(root, tree, top, listing)
    return listing


def _no_image(root: Path, tree: Branch) -> SourceError:
    others = plural(tree.others.total(), "other file")
    suffixes = f": {count_suffixes(tree.others)}" if tree.others else ""
    return SourceError(
        "the folder contains no image",
        received=f"{root} ({others}{suffixes})",
        remedy=f"give a folder with files named {', '.join(sorted(IMAGE_SUFFIXES))}",
    )


def _list_classes(top: Branch, options: SourceOptions, listing: Listing) -> None:
    leave_out_excluded(top, options.get("class_map") or {}, listing)
    level = find_classes(top, listing)
    report_neighbours(level, listing)
    leave_out_copies(level, options.get("class_map") or {}, listing)
    if any(folder.columns for folder in level.folders):
        leave_out_repeated_sites(level, listing)
    _check_classes(level, listing, one_class=options.get("one_class", False))
    listing.class_folders = frozenset(folder.prefix for folder in level.folders)
    listing.patient_folders = {
        folder.prefix: value
        for folder in level.folders
        for column, value in folder.columns
        if column == PATIENT
    }
    named = named_splits(
        child.name for one in level.folders for child in one.branch.folders if child.images
    )
    for folder in level.folders:
        for part, columns in _parts(folder, named):
            _list_files(part, _always(folder.label), columns, listing)
    report_named_splits(listing)
    report_loose_images([*level.above, *level.parents], listing)


def _always(label: str) -> Callable[[str], str]:
    return lambda _: label


def _check_classes(level: Level, listing: Listing, *, one_class: bool) -> None:
    """Reject too many, missing or empty class folders; report other folders without images.

    With ``one_class``, empty class folders are a finding.
    """
    known = level.groups().keys()
    if len(known) > MAX_CLASSES:
        shown = sorted({folder.label for folder in level.folders})[:5]
        raise SourceError(
            f"{len(known)} class folders are too many classes",
            received=", ".join(shown) + ", ...",
            remedy="give a folder whose folders are the classes, a table of labels, or "
            "label_pattern=",
        )
    loose = [folder.branch for folder in level.parents if folder.branch.files]
    if not known and loose:
        folder = Path(loose[0].path)
        count = sum(len(branch.files) for branch in loose)
        raise SourceError(
            f"{folder} contains images but no class folders",
            received=f"{plural(count, 'image')}, none in a class folder",
            remedy=f"give the folder above ({folder.absolute().parent}) if its folders are the "
            "classes, a table with the class of each image, or label_pattern= if names of files "
            "contain the class",
        )
    empty: list[str] = []
    ignored: list[str] = []
    for parent in level.parents:
        for child in parent.branch.folders:
            if not child.images and split_of_name(child.name) is None:
                is_class = not child.others or fold_class(child.name) in known
                (empty if is_class else ignored).append(parent.prefix + child.name)
    if empty and one_class:
        listing.report(
            "empty-class",
            "warning",
            f"class folders without images: {', '.join(empty)}",
            len(empty),
            consequence="a model cannot be trained on these data",
        )
    elif empty:
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


def _parts(
    folder: Folder, named: Mapping[str, tuple[Split, str]]
) -> Iterator[tuple[Folder, dict[str, str]]]:
    """Yield a class folder and the splits below it, with their columns."""
    columns = {
        n: value for n, value in folder.columns if n != PATIENT and not contains_identity(value)
    }
    if not named:
        yield folder, columns
        return
    branch = folder.branch
    yield folder._replace(branch=replace(branch, folders=[])), columns
    several = len({fold_class(rest) for _, rest in named.values()}) > 1
    for child in branch.folders:
        if child.images:
            split, rest = named[child.name]
            site = {"site": rest} if several and rest and not contains_identity(rest) else {}
            prefix = f"{folder.prefix}{child.name}/"
            yield folder._replace(branch=child, prefix=prefix, official=split), site | columns


def _list_files(
    folder: Folder,
    label_of: Callable[[str], str | None],
    columns: dict[str, str],
    listing: Listing,
) -> None:
    """List all files below a folder; folders below it may be named after splits."""
    branch, prefix, official = folder.branch, folder.prefix, folder.official
    for file in branch.files:
        _list_file(file, branch.path, prefix, official, label_of, columns, listing)
    for child in branch.folders:
        split = split_of_name(child.name) or official
        inner = folder._replace(branch=child, prefix=f"{prefix}{child.name}/", official=split)
        _list_files(inner, label_of, columns, listing)


def _list_file(
    file: ImageFile,
    folder: str,
    prefix: str,
    official: Split | None,
    label_of: Callable[[str], str | None],
    columns: dict[str, str],
    listing: Listing,
) -> None:
    name, size, real = file
    identity, path = prefix + name, f"{folder}{os.sep}{name}"
    if not path.isascii() and _escape(path) != path:
        problem = "the file name is not valid text (UTF-8)"
        left = LeftOut(_escape(identity), _escape(path), "invalid-name", problem)
    elif size <= 0:
        left = describe_unusable(identity, path, size)
    elif (label := label_of(identity)) is None:
        left = LeftOut(identity, path, "no-label", "label_pattern= does not match the path")
    else:
        listing.items.append(Item(identity, path, real, label, official, None, dict(columns)))
        return
    listing.left_out.append(left)


def _escape(path: str) -> str:
    """Escape what is not UTF-8; a valid path is unchanged."""
    return path.encode(errors="backslashreplace").decode()


def _list_by_pattern(tree: Branch, pattern: str, listing: Listing) -> None:
    """List all files with the class that a pattern finds in the path below the root."""
    label_of = compile_label_pattern(pattern)
    _list_files(Folder(tree, "", ""), label_of, {}, listing)
    unmatched = [item.id for item in listing.left_out if item.reason == "no-label"]
    if not listing.items and unmatched:
        raise UsageError(
            "label_pattern= matches no path",
            received=repr(pattern),
            remedy=f"give an expression that matches paths such as {unmatched[0]}",
        )
    if unmatched:
        listing.report(
            "no-label",
            "warning",
            f"{plural(len(unmatched), 'image')} without a match of label_pattern= "
            f"{'is' if len(unmatched) == 1 else 'are'} not used",
            len(unmatched),
            unmatched,
            remedy="extend the expression, or remove these files",
        )
