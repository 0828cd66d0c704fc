"""Lists the images below a folder of any size, one at a time and in the order of their paths."""

# A folder may contain millions of files, so paths are text here and not Path objects.
# ruff: noqa: PTH116, PTH118, PTH122

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from plainfilm._files import reason_of
from plainfilm.cluster.local_store import explain_read
from plainfilm.data.sources.folders.tree import is_hidden, is_image_by_content, looks_like_image
from plainfilm.errors import SourceError

FoundFile = tuple[str, int | None, str | None]
"""Path, bytes and version of a file."""

_LEVELS = 100  # of folders within folders
_VISITS = 16  # of one folder that symbolic links lead to


def walk(root: str, left_out: Counter[str]) -> Iterator[FoundFile]:
    """Yield path, bytes and version of each image below ``root``.

    The files are those on which ``plainfilm predict`` predicts in a folder, except that a symbolic
    link that leads out of ``root`` is not followed. The order is that of the keys of an object
    store that holds the same files. Only one folder of each level is in memory.
    """
    real = os.path.realpath(root)
    return _Walk(real, left_out).folder(root, real, frozenset(), linked=False)


class _Walk:
    """One listing of a folder."""

    def __init__(self, root: str, left_out: Counter[str]) -> None:
        self._root = root
        self._below = os.path.join(root, "")
        self._left_out = left_out
        self._visits: Counter[str] = Counter()

    def folder(
        self, path: str, real: str, above: frozenset[str], *, linked: bool
    ) -> Iterator[FoundFile]:
        """Yield the images below one folder, whose path without links is ``real``."""
        if linked:
            self._visits[real] += 1
        if len(above) >= _LEVELS or self._visits[real] > _VISITS:
            self._left_out["folder in too many folders"] += 1
            return
        try:
            with os.scandir(path) as entries:
                listed = sorted(map(self._examine, entries))
        except OSError as error:
            # The plan is kept, so what is unreachable now would be missing for good.
            if not above or explain_read(error, path).reason == "unreachable":
                raise SourceError(
                    "the folder cannot be listed", received=f"{path}: {reason_of(error)}"
                ) from error
            self._left_out["folder that cannot be listed"] += 1
            return
        above = above | {real}
        for key, kind, link in listed:
            name = key.rstrip("/")
            own = f"{path.rstrip(os.sep)}{os.sep}{name}"
            target = os.path.realpath(own) if link else f"{real.rstrip(os.sep)}{os.sep}{name}"
            if link and target != self._root and not target.startswith(self._below):
                self._left_out["symbolic link out of the archive"] += 1
            elif kind == "folder":
                if target not in above:  # a link to a folder above would be an endless loop
                    yield from self.folder(own, target, above, linked=linked or link)
            elif (found := self._image(own, name, kind, link)) is not None:
                yield found

    def _examine(self, entry: os.DirEntry[str]) -> tuple[str, str, bool]:
        """Return the sort key of an entry, its kind, and whether it is a symbolic link."""
        link = entry.is_symlink()
        try:
            if is_hidden(entry.name):
                return entry.name, "hidden", False
            if entry.is_dir():
                return f"{entry.name}/", "folder", link
            return entry.name, "file" if entry.is_file() else "other", link
        except OSError:  # a link to itself
            return entry.name, "other", link

    def _image(self, path: str, name: str, kind: str, link: bool) -> FoundFile | None:
        """Return a file if it is an image; a broken link is one if its name says so."""
        if kind == "hidden":
            return None
        suffix = os.path.splitext(name)[1].lower()
        by_name = looks_like_image(name) and (kind == "file" or link)
        if not by_name and not (kind == "file" and is_image_by_content(path, suffix)):
            self._left_out["not an image"] += 1
            return None
        try:
            return path, *version_of(os.stat(path))
        except OSError:
            return path, None, None


def version_of(found: os.stat_result) -> tuple[int, str]:
    """Return the bytes of a file, and the second of its last change as its version."""
    return found.st_size, str(int(found.st_mtime))
