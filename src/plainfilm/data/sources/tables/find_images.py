"""Finds the images that the rows of a table name: by their path, or by their name in a tree."""

# A table may name a hundred thousand files, so paths are text here and not Path objects.
# ruff: noqa: PTH100, PTH111, PTH112, PTH114, PTH116, PTH118, PTH120

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from plainfilm.data.sources.file_names import (
    best_matches,
    last_part,
    matching_folders,
    number_of,
    plain_name,
    stem_of,
)
from plainfilm.data.sources.folders.masks import is_mask_folder

MISSING = -1
"""Size of a file that does not exist."""
AMBIGUOUS = -2
"""Size of a file whose name occurs several times in the tree."""


@dataclass(slots=True)
class Images:
    """The files of the rows of a table.

    Attributes
    ----------
    paths
        Path of each row, blank for a blank cell.
    sizes
        Size of each file in bytes, or `MISSING` or `AMBIGUOUS`.
    ids
        Paths below the base folder or, for other files, below their common folder.
    by_name
        Rows whose file was found by its name.
    other_ending
        Those of them that have another ending than the table says.
    clashes
        For each ambiguous row, two or more paths below the base folder.
    by_number
        Whether the names are numbers that have other leading zeros than those of the files.
    """

    paths: list[str]
    sizes: list[int]
    ids: list[str] = field(default_factory=list)
    by_name: list[int] = field(default_factory=list)
    other_ending: list[int] = field(default_factory=list)
    clashes: dict[int, list[str]] = field(default_factory=dict)
    by_number: bool = False


def find_images(cells: Sequence[str], base: Path, *, search: bool) -> Images:
    """Find the file of each row.

    A cell is a path relative to the base folder. With ``search``, files that do not exist are
    searched for in the tree of the base folder by their name, with or without an ending. If none is
    found, numbers may have other leading zeros. Folders
    in a cell that differ between rows must then be those above the file, unless each name occurs
    only once in the table.
    """
    root = os.path.abspath(base)
    paths = [_locate(cell, root) for cell in cells]
    images = Images(paths, [_size(path) if path else MISSING for path in paths])
    if search and MISSING in images.sizes and os.path.isdir(root):
        _search(images, cells, root, stem_of)
        if set(images.sizes) == {MISSING}:
            _search(images, cells, root, number_of)
            images.by_number = bool(images.by_name)
    images.ids = _name_files(images.paths, root)
    return images


def _locate(cell: str, root: str) -> str:
    if not cell:
        return ""
    cell = _with_slashes(cell)
    if cell.startswith("~"):
        cell = os.path.expanduser(cell)
    return os.path.normpath(os.path.join(root, cell))


def _with_slashes(cell: str) -> str:
    return cell if os.sep == "\\" else cell.replace("\\", "/")  # a path from Windows


def _size(path: str) -> int:
    """Return the size of a regular file, or `MISSING`."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return MISSING
    return status.st_size if stat.S_ISREG(status.st_mode) else MISSING


def _search(images: Images, cells: Sequence[str], root: str, key: Callable[[str], str]) -> None:
    """Search the tree for the files that are missing."""
    rows = [row for row, size in enumerate(images.sizes) if size == MISSING and cells[row]]
    if not rows:
        return
    names = [os.path.normpath(_with_slashes(cell)).replace(os.sep, "/") for cell in cells]
    choice = _Choice(names, root, key)
    index = _index(root, {choice.keys[names[row]] for row in rows}, key)
    for row in rows:
        name = last_part(names[row])
        found = choice.choose(names[row], index.get(choice.keys[names[row]], []))
        if len(found) == 1:
            path = os.path.join(root, found[0])
            images.paths[row], images.sizes[row] = path, _size(path)
            images.by_name.append(row)
            has_ending = plain_name(name) != stem_of(name)
            if has_ending and plain_name(last_part(found[0])) != plain_name(name):
                images.other_ending.append(row)
        elif found:
            images.sizes[row], images.clashes[row] = AMBIGUOUS, found


def _index(root: str, keys: set[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    """Return the relative paths of the files whose names have these keys."""
    index: dict[str, list[str]] = defaultdict(list)
    for folder, files in _walk(root):
        for name in files:
            if (found := key(name)) in keys:
                index[found].append(folder + name)
    return index


def _walk(root: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder below a folder, with a final slash, and the names of its files."""
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and name != "__MACOSX" and not _is_loop(folder, name)
        ]
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        yield prefix, [name for name in sorted(files) if not name.startswith(".")]


def _is_loop(folder: str, name: str) -> bool:
    """Return whether a folder is a link to a folder above it."""
    path = os.path.join(folder, name)
    if not os.path.islink(path):
        return False
    return f"{os.path.realpath(folder)}{os.sep}".startswith(f"{os.path.realpath(path)}{os.sep}")


class _Choice:
    """Chooses the files that a cell may mean, from the cells of all rows."""

    def __init__(self, names: Sequence[str], root: str, key: Callable[[str], str]) -> None:
        # A name of "." is from a blank cell.
        self.keys = {name: key(last_part(name)) for name in set(names) - {"."}}
        folders = [name.split("/")[:-1] for name in self.keys]
        # Folders that all cells share may have another name here.
        pairs = zip(min(folders), max(folders), strict=False)
        self._shared = sum(takewhile(bool, (a == b for a, b in pairs)))
        self._unique = len(set(self.keys.values())) == len(self.keys)
        self._root = root
        self._folders: dict[str, bool] = {}

    def choose(self, name: str, candidates: list[str]) -> list[str]:
        """Return the files that the cell of this name may mean, of those with the same key."""
        folder = name.rpartition("/")[0]
        above = folder.split("/") if folder else []
        if folder and self._is_folder(folder):
            pool = [path for path in candidates if path.rpartition("/")[0] == folder]
        else:
            pool = self._below(above[self._shared :], candidates)
        if not is_mask_folder(folder):
            pool = [path for path in pool if not is_mask_folder(path.rpartition("/")[0])]
        best = best_matches(name, pool)
        if len(best) > 1:
            sure = [p for p in best if not is_mask_folder(p.rpartition("/")[0], perhaps=True)]
            best = sure or best
        return best

    def _below(self, folders: list[str], candidates: list[str]) -> list[str]:
        """Return the files below these folders, or all if their names are sufficient."""
        if not folders:
            return candidates
        depth = len(folders)
        pool = [path for path in candidates if matching_folders(path, folders) == depth]
        return pool or (candidates if self._unique else [])

    def _is_folder(self, folder: str) -> bool:
        if folder not in self._folders:
            self._folders[folder] = os.path.isdir(os.path.join(self._root, folder))
        return self._folders[folder]


def _name_files(paths: list[str], root: str) -> list[str]:
    """Return ids: paths below the base folder or, for other files, below their common folder."""
    prefix = f"{root}{os.sep}"
    outside = [path for path in paths if path and not path.startswith(prefix)]
    try:
        common = os.path.commonpath([os.path.dirname(path) for path in outside]) if outside else ""
    except ValueError:  # on several drives
        common = ""
    ids: list[str] = []
    for row, path in enumerate(paths):
        if path.startswith(prefix):
            identity = path[len(prefix) :]
        elif path:
            identity = os.path.relpath(path, common) if common else path
        else:
            identity = f"row {row + 1}"
        ids.append(identity.replace(os.sep, "/"))
    inside = {i for i, path in zip(ids, paths, strict=True) if path.startswith(prefix)}
    return [
        path.replace(os.sep, "/").lstrip("/") if i in inside and not path.startswith(prefix) else i
        for i, path in zip(ids, paths, strict=True)
    ]
