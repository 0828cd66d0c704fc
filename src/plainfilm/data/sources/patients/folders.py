"""Finds the folders that stand for patients, as in ``PNEUMONIA/patient_7/1.jpeg``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from plainfilm._text import plural
from plainfilm.data.sources.listing import Item, Listing, split_of_name
from plainfilm.data.sources.patients.names import is_date
from plainfilm.errors import UsageError

_FOLDERS = 10
_FEW_IMAGES = 20
_NEARLY_ALL = 0.9
_LOOK_AT = 100
_PERSON = re.compile(r"(?:patient|pat|subject|subj|sub|person|case|pt)s?[-_ .]*\d+", re.IGNORECASE)
_GROUP = re.compile(
    r"(?:images?|img|batch|part|fold|set|site|hospital|centre|center|clinic|klinik|scanner|device"
    r"|machine|ward|group|class|label|series|view|year|shard|chunk|split)s?[-_ .]*[a-z]?\d*",
    re.IGNORECASE,
)


_NUMBER = re.compile(r"[a-z]{0,2}[-_ ]?\d+", re.IGNORECASE)


class PatientFolders(NamedTuple):
    """The name of the folder of each image or None, and the number of folders."""

    names: list[str | None]
    folders: int


def check_patient_options(patient: str | None, level: int | None) -> None:
    """Reject two ways of naming patients, and a level that does not exist."""
    if level is not None and level < 0:
        raise UsageError(
            "patient_folder= must be a level of folders, 0 or more",
            received=level,
            remedy="give 1 for the folder that the file is in, 2 for the folder above it",
        )
    if level is not None and patient is not None:
        raise UsageError(
            "patient= and patient_folder= both name the patients",
            received=f"{patient!r} and {level}",
            remedy="give only one of them",
        )


def _below_classes(items: Iterable[Item], listing: Listing, skip: int) -> list[list[str]]:
    """Return the folders of each image below its class folder and its split."""
    found: list[list[str]] = []
    known: dict[tuple[str, object], list[str]] = {}
    for item in items:
        key = item.id[skip:].rpartition("/")[0], item.label
        if key not in known:
            known[key] = _below_class(*key, listing)
        found.append(known[key])
    return found


def _below_class(path: str, label: object, listing: Listing) -> list[str]:
    folders = path.split("/") if path else []
    start = 0
    for number, folder in enumerate(folders, 1):
        is_class = f"{'/'.join(folders[:number])}/" in listing.class_folders
        if is_class or (listing.is_table and folder.casefold() == str(label).casefold()):
            start = number
            break
    while start < len(folders) and split_of_name(folders[start]):
        start += 1
    return folders[start:]


def paths_below_classes(listing: Listing, skip: int = 0) -> list[str]:
    """Return the path of each image below its class folder and its split."""
    below = _below_classes(listing.items, listing, skip)
    names = (item.id.rpartition("/")[2] for item in listing.items)
    return ["/".join([*folders, name]) for folders, name in zip(below, names, strict=True)]


def folders_at(listing: Listing, level: int, skip: int = 0) -> list[str | None]:
    """Return the name of the folder that stands for the patient of each image.

    Level 1 is the folder that the file is in, level 2 the folder above it. The class folder and
    what is above it are no patients; an image without such a folder has None. ``skip`` is the
    length of the prefix of the ids.
    """
    below = _below_classes(listing.items, listing, skip)
    return [folders[-level] if len(folders) >= level else None for folders in below]


def check_level(level: int, found: Sequence[str | None]) -> None:
    """Reject a level that reaches the class folders or makes all images one patient."""
    if not any(found):
        raise UsageError(
            "patient_folder= reaches the class folder or a folder above it",
            received=f"level {level}",
            remedy="give a smaller level, where 1 is the folder that the file is in, "
            "or leave it out if there is no folder for each patient",
        )
    if len(found) > 1 and len(set(found)) == 1:
        raise UsageError(
            "patient_folder= names one folder for all images",
            received=f"level {level}: {plural(len(found), 'image')} in folders of one name",
            remedy="give the level of the folders of patients, where 1 is the folder that the "
            "file is in",
        )


def are_patients(names: Sequence[str], images: Sequence[int]) -> bool:
    """Return whether folders above the classes are patients, by names and numbers of images.

    There are at least ten, most with few images, and nearly all names are those of persons or
    numbers.
    """
    if len(names) < _FOLDERS or median(images) > min(_FEW_IMAGES, len(names)):
        return False
    named = [_PERSON.fullmatch(name) or _NUMBER.fullmatch(name) for name in names]
    dates = sum(map(is_date, names))
    return sum(map(bool, named)) - dates >= _NEARLY_ALL * len(names)


def find_patient_folders(listing: Listing, skip: int = 0) -> PatientFolders | None:
    """Return the folders that probably stand for patients, or None.

    They are the highest level below the class folders with at least ten folders, most with few
    images, and with more folders than images in a typical one; or any folders that are named as
    persons. Folders of dates, batches, sites or scanners are not patients.
    """
    items = listing.items
    if listing.patient_folders:
        above = [_above_class(item.id[skip:], listing.patient_folders) for item in items]
        return PatientFolders(above, len({name for name in above if name is not None}))
    sample = items[:: max(1, len(items) // _LOOK_AT)]
    if not any(_below_classes(sample, listing, skip)):
        return None
    below = _below_classes(items, listing, skip)
    for depth in range(max(map(len, below))):
        names = [folders[depth] if len(folders) > depth else None for folders in below]
        counts = Counter(name for name in names if name is not None)
        if counts.total() < _NEARLY_ALL * len(items):
            return None
        if max(counts.values()) < 2 or len(counts) < 2:
            continue
        typical = median(counts.values())
        if _share(counts, _PERSON.fullmatch) >= _NEARLY_ALL or (
            len(counts) >= _FOLDERS
            and typical <= min(_FEW_IMAGES, len(counts))
            and _share(counts, _GROUP.fullmatch) < 0.5
            and _share(counts, is_date) < 0.5
        ):
            return PatientFolders(names, _count(items, names))
    return None


def _above_class(path: str, above: Mapping[str, str]) -> str | None:
    """Return the name of the folder above the class folder of an image, if it is a patient."""
    end = 0
    while end := path.find("/", end) + 1:
        if (name := above.get(path[:end])) is not None:
            return name
    return None


def _count(items: Sequence[Item], names: Sequence[str | None]) -> int:
    """Return the number of folders with these names, in all classes."""
    paths = {
        (name, item.id.rpartition("/")[0]) for item, name in zip(items, names, strict=True) if name
    }
    return len({(name, f"{path}/".rpartition(f"/{name}/")[0]) for name, path in paths})


def _share(names: Counter[str], test: Callable[[str], object]) -> float:
    """Return the share of the names that pass a test."""
    return sum(bool(test(name)) for name in names) / len(names)
