"""Finds which folders of a tree are the classes, and which are splits or sites above them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from plainfilm.data.sources.classes.names import (
    begins_with_disease,
    fold_class,
    is_negative_name,
    status_of,
)
from plainfilm.data.sources.folders.level import (
    Folder,
    Level,
    are_many,
    contain_many,
    splits_of,
)
from plainfilm.data.sources.folders.tree import Branch
from plainfilm.data.sources.listing import MAX_CLASSES, Listing, named_splits, split_of_name
from plainfilm.data.sources.patients.folders import are_patients
from plainfilm.records import Split

# Folders of files or formats, which are neither a class nor a site.
_CONTAINERS = frozenset(
    {"image", "images", "img", "imgs", "jpeg", "jpegs", "jpg", "jpgs", "png", "pngs", "tif", "tiff"}
    | {"bmp", "dcm", "dicom", "dicoms", "cxr", "cxrs", "radiograph", "radiographs", "xray", "xrays"}
    | {"original", "originals", "raw"}
)
# Folders of patients, studies or numbered parts.
_NUMBERED = re.compile(
    r"(?:[a-z]{1,2}|anon|case|exam|part|pat|patient|scan|ser|series|session|study|sub|subj|subject|"
    r"visit)?[\W_]*\d[\d\W_]*",
    re.IGNORECASE,
)
# Column names for folders above the classes; other folders are sites.
_COLUMNS = {
    "view": {"ap", "frontal", "lat", "lateral", "ll", "pa"},
    "sex": {"f", "female", "m", "male"},
}
_MAX_CODES = 4  # classes that are numbers
PATIENT = "patient"  # folders above the classes that are no column
_DEEPEST = 5  # levels of folders above the classes


def find_classes(top: Branch, listing: Listing) -> Level:
    """Return the level of the class folders below ``top``.

    Splits may be above or below sites and classes. Folders are sites if the folders below them
    are the same class names in each.
    """
    level = open_folders([Folder(top, top.name, "")])
    for _ in range(_DEEPEST):
        groups = level.groups()
        if level.has_many_images or len(groups) < 2 or contain_many(level.folders):
            break
        inner = {key: open_folders(folders) for key, folders in groups.items()}
        if not _are_unpacked(inner):
            if not _are_sites(groups, inner, listing):
                break
            column = _column_of(groups)
            for key, below in inner.items():
                site = (column, groups[key][0].label)
                below.folders = [f._replace(columns=(*f.columns, site)) for f in below.folders]
        above = [*level.above, *(one for one in level.parents if one.branch.files)]
        level = _merge([*inner.values(), replace(level, folders=[], parents=[], above=above)])
    return _join_split_names(level)


def open_folders(folders: Iterable[Folder]) -> Level:
    """Return the folders in folders, through splits, folders of images and single folders."""
    return _skip_wrappers(_open(folders))


def _open(folders: Iterable[Folder]) -> Level:
    level = Level()
    for folder in folders:
        _open_one(folder, level)
    return level


def _skip_wrappers(level: Level) -> Level:
    """Descend through folders that contain only one folder."""
    while len(level.groups()) == 1 and not level.has_images:
        below = _open(level.folders)
        names = [folder.label for folder in below.folders]
        if (
            below.has_images
            or not names
            or is_negative_name(level.folders[0].label)
            or _are_numbered(names)
        ):
            break
        below.above += level.above
        below.neighbours += level.neighbours
        level = below
    return level


def _merge(levels: Sequence[Level]) -> Level:
    merged = Level()
    for level in levels:
        merged.folders += level.folders
        merged.parents += level.parents
        merged.above += level.above
        merged.neighbours += level.neighbours
    return merged


def _are_unpacked(inner: Mapping[str, Level]) -> bool:
    """Return whether each folder contains one folder of its name, as in unpacked archives.

    A service may add a date to the name of the archive: ``NORMAL-20230401-001/NORMAL``.
    """
    return all(
        len(names := [*below.groups()]) == 1 and not below.has_images and key.startswith(names[0])
        for key, below in inner.items()
    )


def _open_one(folder: Folder, level: Level) -> None:
    """Add the folders of a folder to a level, through splits and folders of images."""
    full = [child for child in folder.branch.folders if child.images]
    splits = splits_of(folder.branch)  # also below a split: train/test is a test set
    roles = {child.name: split_of_name(child.name) for child in splits}
    sites: dict[str, str] = {}
    if len({*roles.values()}) < 2 and (named := _splits_with_words(full)):
        splits = full
        roles = {name: split for name, (split, _) in named.items()}
        words = {name: rest for name, (_, rest) in named.items()}
        sites = words if len({fold_class(word) for word in words.values()}) > 1 else {}
    (level.above if splits else level.parents).append(folder)
    classes = {fold_class(child.name) for split in splits for child in split.folders}
    transparent = not splits and all(is_container(child.name) for child in full)
    for child in full:
        prefix = f"{folder.prefix}{child.name}/"
        inner = folder._replace(branch=child, label=child.name, prefix=prefix)
        if child in splits:
            site = (("site", word),) if (word := sites.get(child.name)) else ()
            columns = (*folder.columns, *site)
            _open_one(inner._replace(official=roles[child.name], columns=columns), level)
        elif transparent:
            _open_one(inner, level)
        elif splits and not folder.official and fold_class(child.name) not in classes:
            level.neighbours.append((child, tuple(splits)))
        else:
            level.folders.append(inner)


def _splits_with_words(folders: Sequence[Branch]) -> dict[str, tuple[Split, str]]:
    """Return splits and sites of folders such as ``nih_train`` and ``nih_test``.

    The other words may also be classes, as in ``train_normal``. They are not if they are equal, or
    if the folders contain folders of the same names.
    """
    named = named_splits(folder.name for folder in folders)
    if not named or not all(any(f.images for f in folder.folders) for folder in folders):
        return {}
    below = [{fold_class(f.name): f.name for f in one.folders if f.images} for one in folders]
    names = {key: name for one in below for key, name in one.items()}
    words = {fold_class(rest): rest for _, rest in named.values()}
    if len(names) > MAX_CLASSES or any(map(is_negative_name, words.values())):
        return {}
    if len(words) > 1:
        same = len(names) > 1 and all(len(one) == len(names) for one in below)
        column = any(names.keys() <= column for column in _COLUMNS.values())
        if not same or column or _are_numbered(names.values()) or any(map(is_container, names)):
            return {}
    return named


def is_container(name: str) -> bool:
    """Return whether a folder of this name contains images of any class, like ``images``.

    Examples
    --------
    >>> [is_container(name) for name in ("images", "CXR_png", "X-ray", "NORMAL")]
    [True, True, True, False]
    """
    words = [word for word in re.split(r"[\W\d_]+", name.casefold()) if word]
    return fold_class(name) in _CONTAINERS or (bool(words) and _CONTAINERS.issuperset(words))


def _are_numbered(names: Iterable[str]) -> bool:
    return all(_NUMBERED.fullmatch(name) for name in names)


def _are_sites(
    groups: Mapping[str, list[Folder]], levels: Mapping[str, Level], listing: Listing
) -> bool:
    """Return whether the folders in each group are the same classes."""
    loose = any(level.has_images for level in levels.values())
    many_loose = are_many(levels.values())
    inner = [{fold_class(f.label): f.label for f in level.folders} for level in levels.values()]
    names = {key: name for one in inner for key, name in one.items()}
    shared = {key for key in names if sum(key in one for one in inner) > 1}
    same = all(len(one) == len(names) for one in inner)
    negative_above = any(is_negative_name(f[0].label) for f in groups.values())
    negative_below = any(map(is_negative_name, names.values()))
    if not 2 <= len(names) <= MAX_CLASSES or (negative_above and not negative_below):
        return False
    numbered = _are_numbered(names.values())  # patients, unless the classes are 0 and 1
    if numbered and (negative_above or not same or "0" not in names or len(names) > _MAX_CODES):
        return False
    columns = any(names.keys() <= column for column in _COLUMNS.values())
    if negative_below and not negative_above:
        # One site may have one class only, and images of another may not be in class folders.
        found = len(shared) > loose and all(not one or one.keys() & shared for one in inner)
        found = found or (not many_loose and all(len(one) == 1 for one in inner))
    else:
        # A site may lack a class that several others have, unless it has the name of a disease.
        known = all(one and one.keys() <= shared for one in inner)
        diseases = negative_above or any(begins_with_disease(f[0].label) for f in groups.values())
        found = not columns and (same and not loose if diseases else known and not many_loose)
    if found:
        sure = negative_below and not numbered and not _may_be_status(groups, names.values())
        _report_sites(groups, [*names.values()], sure=sure, listing=listing)
    elif len(shared) > 1 and not (negative_above or columns or numbered):
        _report_repeated_names(groups, [names[key] for key in names if key in shared], listing)
    return found


def _report_repeated_names(
    groups: Mapping[str, list[Folder]], names: Sequence[str], listing: Listing
) -> None:
    """Report class folders that contain folders of equal names, which may be the classes."""
    above, below = (
        ", ".join(shown[:5]) + ", ..." * (len(shown) > 5)
        for shown in ([folders[0].label for folders in groups.values()], names)
    )
    listing.report(
        "classes-unsure",
        "serious",
        f"the folders {above} are used as the classes, but several of them contain folders of the "
        f"same names ({below}), which may be the classes",
        len(groups),
        consequence="if the folders above are sites, a model learns the site",
        remedy=f"if {below} are the classes, name them with label_pattern=",
    )


def _may_be_status(groups: Mapping[str, list[Folder]], names: Iterable[str]) -> bool:
    """Return whether folders of diseases contain a status of patients, like ``HIV-negative``."""
    if any(begins_with_disease(folders[0].label) for folders in groups.values()):
        return True
    status = {status_of(name) or "" for name in names} - {""}
    return any(not begins_with_disease(name) for name in status) and len(status) == 1


def _column_of(groups: Mapping[str, list[Folder]]) -> str:
    """Return the column that folders above the classes become."""
    images = [sum(folder.branch.images for folder in folders) for folders in groups.values()]
    if are_patients([folders[0].label for folders in groups.values()], images):
        return PATIENT
    return next((name for name, words in _COLUMNS.items() if groups.keys() <= words), "site")


def _report_sites(
    groups: Mapping[str, list[Folder]], classes: Sequence[str], *, sure: bool, listing: Listing
) -> None:
    above = [folders[0].label for folders in groups.values()]
    shown = ", ".join(above[:5]) + ", ..." * (len(above) > 5)
    column = _column_of(groups)
    use = "stand for patients" if column == PATIENT else f"are the column {column!r}"
    listing.report(
        "site-folders",
        "note" if sure else "warning",
        f"the folders {shown} contain the same folders ({', '.join(classes[:5])}"
        f"{', ...' * (len(classes) > 5)}), which are the classes; the folders above them {use}",
        len(above),
        remedy="" if sure else f"if {shown} are the classes, name them with label_pattern=",
    )


def _join_split_names(level: Level) -> Level:
    """Separate split and class if every folder is named after both, like ``train_normal``."""
    parts = [_split_and_class(folder.label) for folder in level.folders]
    known = [part for part in parts if part is not None]
    classes = {fold_class(name) for _, name in known}
    several = len({split for split, _ in known}) > 1 and len(classes) > 1
    if len(known) < len(parts) or not several or any(f.official for f in level.folders):
        return level
    level.folders = [
        folder._replace(official=split, label=name)
        for folder, (split, name) in zip(level.folders, known, strict=True)
    ]
    return level


def _split_and_class(name: str) -> tuple[Split, str] | None:
    """Return split and class of a name such as ``train_normal`` or ``NORMAL-test``."""
    words = [word for word in re.split(r"[\W_]+", name) if word]
    for at, rest in ((0, words[1:]), (-1, words[:-1])):
        if rest and (split := split_of_name(words[at])) and not split_of_name(" ".join(rest)):
            return split, " ".join(rest)
    return None
