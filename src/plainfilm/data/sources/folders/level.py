"""Defines a level of folders, which may be the classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from plainfilm.data.sources.classes.names import fold_class
from plainfilm.data.sources.folders.tree import Branch
from plainfilm.data.sources.listing import MAX_CLASSES, split_of_name
from plainfilm.records import Split

_STRAY = 2  # images next to class folders that are no sign of another level
_STRAY_SHARE = 0.1


class Folder(NamedTuple):
    """A folder that is a class, or above the classes.

    ``label`` is the name of the class; ``prefix`` begins the ids of the images.
    """

    branch: Branch
    label: str
    prefix: str
    official: Split | None = None
    columns: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Level:
    """Folders that may be the classes, and what is above or next to them."""

    folders: list[Folder] = field(default_factory=list)
    parents: list[Folder] = field(default_factory=list)  # directly above ``folders``
    above: list[Folder] = field(default_factory=list)  # contain splits
    neighbours: list[tuple[Branch, tuple[Branch, ...]]] = field(default_factory=list)

    @property
    def has_images(self) -> bool:
        """Whether images are next to the folders."""
        return any(folder.branch.files for folder in (*self.parents, *self.above))

    @property
    def has_many_images(self) -> bool:
        """Whether more images are next to the folders than a few stray ones, such as a logo."""
        return are_many([self])

    def groups(self) -> dict[str, list[Folder]]:
        """Return the folders by class, in any spelling."""
        groups: dict[str, list[Folder]] = defaultdict(list)
        for folder in self.folders:
            groups[fold_class(folder.label)].append(folder)
        return groups


def splits_of(branch: Branch) -> list[Branch]:
    """Return the folders of a folder that are splits."""
    return [f for f in branch.folders if f.images and split_of_name(f.name)]


def unwrap(branch: Branch) -> Branch:
    """Skip folders that contain only one folder, as in unpacked archives."""
    while not branch.files and not splits_of(branch):
        full = [folder for folder in branch.folders if folder.images]
        if len(full) != 1 or full[0].files:
            break
        branch = full[0]
    return branch


def are_many(levels: Iterable[Level]) -> bool:
    """Return whether the images next to folders are more than a few, compared to those below."""
    loose = below = 0
    for level in levels:
        loose += sum(len(one.branch.files) for one in (*level.parents, *level.above))
        below += sum(one.branch.images for one in level.folders)
    return loose > max(min(_STRAY, below / 2), _STRAY_SHARE * below)


def contain_many(folders: Iterable[Folder]) -> bool:
    """Return whether one of the folders contains more folders than there are classes."""
    return any(len(folder.branch.folders) > MAX_CLASSES for folder in folders)
