"""Leaves out folders that repeat others: copies of classes and trees that contain themselves."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from filecmp import cmp
from pathlib import Path

from plainfilm._text import plural
from plainfilm.data.manifest import LeftOut
from plainfilm.data.sources.classes.names import fold_class
from plainfilm.data.sources.folders.level import Folder, Level, contain_many, splits_of, unwrap
from plainfilm.data.sources.folders.levels import open_folders
from plainfilm.data.sources.folders.tree import Branch
from plainfilm.data.sources.listing import Listing

_NEARLY_ALL = 0.9
_WORD = r"(?:backup|bak|copia|copie|copy|duplicate|kopie|old|orig(?:inal)?)"
_COPY = re.compile(
    rf"(?:{_WORD}[\s_-]+(?:of|de|von)[\s_-]+(?P<a>.+?)"
    rf"|(?P<b>.+?)[\s_.-]+\(?{_WORD}\)?(?:[\s_-]*\(?\d+\)?)?"
    r"|(?P<c>.+?)[\s_]*\(\d+\))",
    re.IGNORECASE,
)


def copied_name(name: str) -> str | None:
    """Return the name that a folder was copied from, as file managers and people name copies.

    Examples
    --------
    >>> [copied_name(name) for name in ("NORMAL - Copy", "NORMAL (2)", "Copy of NORMAL")]
    ['NORMAL', 'NORMAL', 'NORMAL']
    >>> copied_name("COVID 19") is None
    True
    """
    match = _COPY.fullmatch(name.strip())
    return match and (match["a"] or match["b"] or match["c"])


def leave_out_copies(level: Level, renamed: Collection[str], listing: Listing) -> None:
    """Remove copies of class folders, and folders that contain the class folders again.

    Folders that the user gives a new name are kept.
    """
    groups = level.groups()
    kept = {fold_class(name) for name in renamed}
    for key, folders in [*groups.items()]:
        if key in kept:
            continue
        original = copied_name(folders[0].label)
        if original and key != fold_class(original) and fold_class(original) in groups:
            _leave_out_copy(folders, groups[fold_class(original)], listing)
            inner: list[Folder] = []
        elif _contains_classes(folders, groups):
            inner = _open_tree(folders, level, listing)
        else:
            continue
        level.folders = [folder for folder in level.folders if folder not in folders] + inner
        del groups[key]


def _leave_out_copy(folders: list[Folder], originals: list[Folder], listing: Listing) -> None:
    known = {(file.name, file.size) for folder in originals for file in folder.branch.walk()}
    equal = count = 0
    for folder in folders:
        for file in folder.branch.walk():
            count += 1
            equal += (file.name, file.size) in known
            path = str(Path(folder.branch.path, file.name))
            problem = f"the folder is a copy of {originals[0].label}"
            listing.left_out.append(LeftOut(folder.prefix + file.name, path, "copy", problem))
    name, original = folders[0].label, originals[0].label
    share = "all" if equal == count else f"{equal:,} of {plural(count, 'image')}"
    listing.report(
        "copied-class",
        "warning",
        f"the folder {name} with {plural(count, 'image')} is not a class but a copy of {original} "
        f"by its name, and not used ({share} with the same name and size)",
        count,
        consequence="as a class it would have the same images as the other",
        remedy="remove it, or name its class with class_map=",
    )


def _contains_classes(folders: list[Folder], groups: dict[str, list[Folder]]) -> bool:
    """Return whether the folders below are at least two of the other classes, and no others."""
    if contain_many(folders):
        return False
    names = open_folders(folders).groups().keys()
    return len(names) > 1 and names <= groups.keys()


def _open_tree(folders: list[Folder], level: Level, listing: Listing) -> list[Folder]:
    """Return the class folders in a folder next to classes, or none if it repeats their images."""
    inner = open_folders(folders).folders
    known = _files([folder for folder in level.folders if folder not in folders])
    files = _files(inner)
    if _repeats(files, known, share=0.5):
        _report_repeated(folders[0].branch, {*files}, {*known}, listing)
        return []
    name = folders[0].label
    count = sum(folder.branch.images for folder in inner)
    listing.report(
        "site-folders",
        "note",
        f"the folder {name} next to classes contains {plural(count, 'image')} in folders of the "
        "same classes; it is a value of the column 'site'",
        count,
    )
    return [folder._replace(columns=(*folder.columns, ("site", name))) for folder in inner]


def _files(folders: Iterable[Folder]) -> dict[tuple[str, int], str]:
    """Return the paths of files by class, name and size."""
    return {
        (f"{folder.label}/{file.name}".casefold(), file.size): f"{folder.branch.path}/{file.name}"
        for folder in folders
        for file in folder.branch.walk()
    }


def leave_out_repeated_sites(level: Level, listing: Listing) -> None:
    """Remove folders above the classes whose files are those of another one, such as folds."""
    sites: dict[tuple[tuple[str, str], ...], list[Folder]] = defaultdict(list)
    for folder in level.folders:
        sites[folder.columns].append(folder)
    known: dict[tuple[str, int], str] = {}
    for columns, folders in sites.items():
        files = {
            (file.name.rpartition("/")[2], file.size): f"{folder.branch.path}/{file.name}"
            for folder in folders
            for file in folder.branch.walk()
        }
        if not (columns and _repeats(files, known, _NEARLY_ALL)):
            known |= files
            continue
        level.folders = [folder for folder in level.folders if folder not in folders]
        count = sum(folder.branch.images for folder in folders)
        listing.report(
            "repeated-folder",
            "warning",
            f"{columns[-1][1]}/ contains {plural(count, 'image')}, nearly all of them again from "
            "the folders before it; it is not loaded",
            count,
            consequence="with both folders every image would be loaded twice",
            remedy="give the folder that you need, such as one fold",
        )


def _repeats(
    files: dict[tuple[str, int], str], known: dict[tuple[str, int], str], share: float
) -> bool:
    """Return whether a share of files is known by name and size, and a sample by content."""
    repeated = [key for key in files if key in known]
    if not repeated or len(repeated) < share * len(files):
        return False
    sample = repeated[:: max(1, len(repeated) // 3)][:3]
    return all(_are_equal(files[key], known[key]) for key in sample)


def _are_equal(first: str, second: str) -> bool:
    try:
        return cmp(first, second, shallow=False)
    except OSError:
        return False


def report_neighbours(level: Level, listing: Listing) -> None:
    """Report folders next to the splits; the archive of Kermany's set contains itself twice."""
    for folder, splits in level.neighbours:
        if inner := splits_of(unwrap(folder)):
            copy, known = _signature(inner), _signature(splits)
            if copy & known:
                _report_repeated(folder, copy, known, listing)
                continue
        listing.report(
            "ignored-folders",
            "warning",
            f"the folder {folder.name}/ with {plural(folder.images, 'image')} is not a split and "
            "not used",
            folder.images,
            remedy="name it train, validation or test if it is a split",
        )


def _signature(branches: Iterable[Branch]) -> set[tuple[str, int]]:
    """Return split, path and size of every file, to compare two copies of a data set."""
    return {*_files(Folder(branch, branch.name, "") for branch in branches)}


def _report_repeated(
    folder: Branch, copy: set[tuple[str, int]], known: set[tuple[str, int]], listing: Listing
) -> None:
    shared = len(copy & known)
    extra = len(copy) - shared
    more = f" and {plural(extra, 'other image')}" if extra else ""
    listing.report(
        "repeated-folder",
        "warning" if extra else "note",
        f"{folder.name}/ contains {plural(shared, 'image')} of the other folders again{more}; "
        "it is not loaded",
        len(copy),
        consequence="with both folders every image would be loaded twice",
        remedy="compare the two folders, and keep one" if extra else "",
    )
