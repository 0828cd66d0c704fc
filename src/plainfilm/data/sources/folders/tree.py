"""Lists the image files below a folder."""

# A folder may contain a hundred thousand files, so paths are text here and not Path objects.
# ruff: noqa: PTH119, PTH122

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from plainfilm._files import open_at_once
from plainfilm.errors import ImageError, SourceError
from plainfilm.pixels import IMAGE_SUFFIXES, sniff

MISSING = -1
"""Size of a file that does not exist, such as the target of a broken link."""

# Endings of files that are certainly no images; files with other endings are opened.
_OTHER_SUFFIXES = frozenset(
    """
    .7z .avi .bat .bz2 .c .cfg .conf .cpp .css .csv .db .doc .docx .exe .feather .gz .h5 .hdf5 .htm
    .html .ini .ipynb .js .json .jsonl .lnk .log .m .mat .md .md5 .mov .mp4 .nii .npy .npz .nrrd
    .odt .onnx .pb .parquet .pdf .pickle .pkl .ppt .pptx .pt .pth .py .r .rar .rst .rtf .sh .sql
    .sqlite .svg .tar .tfrecord .tgz .toml .tsv .txt .url .xls .xlsx .xml .xz .yaml .yml .zip
    """.split()  # noqa: SIM905
)
UNREAD_SUFFIXES = frozenset(
    {".avif", ".heic", ".heif", ".j2k", ".jls", ".jp2", ".jpx", ".jxl", ".mha", ".nii", ".nrrd"}
)
"""Endings of images in formats that are not read."""

_LEVELS = 100  # of folders within folders
_VISITS = 16  # of one folder, by itself and through symbolic links
_HEAD = 512  # bytes, enough to recognise a format
_MAX_SUFFIXES = 8  # in one message
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}|\.(?:jpe?g|png|tiff?|bmp|dcm)[_!~ -]?[a-z]{0,5}")


class ImageFile(NamedTuple):
    """Name or path of an image file, its size in bytes, and its path without symbolic links."""

    name: str
    size: int
    real: str


@dataclass(slots=True)
class Branch:
    """A folder with its image files and subfolders.

    ``images``, ``others`` (files that are not images, by suffix), ``recognised`` (images that only
    their content shows, by suffix) and ``unreadable`` (folders) include the subfolders.
    """

    name: str
    path: str
    real: str
    files: list[ImageFile] = field(default_factory=list)
    folders: list[Branch] = field(default_factory=list)
    images: int = 0
    others: Counter[str] = field(default_factory=Counter)
    recognised: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def walk(self, prefix: str = "") -> Iterator[ImageFile]:
        """Yield every image below this folder, with its relative path as name, sorted."""
        for name, size, real in self.files:
            yield ImageFile(prefix + name, size, real)
        for folder in self.folders:
            yield from folder.walk(f"{prefix}{folder.name}/")


def looks_like_image(name: str) -> bool:
    """Return whether a file may be an image by its name.

    The suffix must be that of an image format or digits (a DICOM UID as file name). A name without
    suffix must contain a digit, unlike README and DICOMDIR.
    """
    stem, _, suffix = name.rpartition(".")
    if not stem:
        return any(map(str.isdigit, name))
    return suffix.isdigit() or f".{suffix.lower()}" in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is one of the operating system's own, which are not used."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def is_image_by_content(path: str, suffix: str) -> bool:
    """Return whether a file whose name does not say so is an image, by its first bytes."""
    if suffix in _OTHER_SUFFIXES or os.path.basename(path) == "DICOMDIR":
        return False
    try:
        with open(path, "rb", opener=open_at_once) as file:
            sniff(file.read(_HEAD))
    except (ImageError, OSError):
        return False
    return True


def read_tree(root: Path) -> Branch:
    """List the images below ``root``; symbolic links are followed, but not in a loop."""
    try:
        return _read(root.name, str(root), os.path.realpath(root), frozenset(), Counter())
    except OSError as error:
        raise SourceError(
            "the folder cannot be listed", received=f"{root}: {error.strerror}"
        ) from error


def _read(name: str, path: str, real: str, above: frozenset[str], visits: Counter[str]) -> Branch:
    """List a folder below the folders ``above``, and count how often each folder is listed."""
    visits[real] += 1
    if len(above) == _LEVELS or visits[real] > _VISITS:
        raise OSError(errno.ELOOP, "there are too many folders within folders", path)
    branch = Branch(name, path, real)
    above = above | {real}
    with os.scandir(path) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if is_hidden(entry.name):
            continue
        linked = entry.is_symlink()
        target = os.path.realpath(entry.path) if linked else f"{real}{os.sep}{entry.name}"
        is_folder, is_file = _kind(entry)
        if is_folder:
            if target not in above:  # a link to a folder above would be an endless loop
                _read_folder(branch, entry.name, entry.path, target, above, visits)
        elif looks_like_image(entry.name) and (is_file or linked):
            _add_file(branch, entry, target)
        else:
            suffix = os.path.splitext(entry.name)[1].lower()
            if is_file and is_image_by_content(entry.path, suffix):
                branch.recognised[suffix] += 1
                _add_file(branch, entry, target)
            else:
                branch.others[suffix] += 1
    return branch


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Return whether an entry is a folder, and whether it is a regular file."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:  # a link to itself
        return False, False


def _add_file(branch: Branch, entry: os.DirEntry[str], target: str) -> None:
    try:
        size = entry.stat().st_size
    except OSError:
        size = MISSING
    branch.files.append(ImageFile(entry.name, size, target))
    branch.images += 1


def _read_folder(
    parent: Branch,
    name: str,
    path: str,
    real: str,
    above: frozenset[str],
    visits: Counter[str],
) -> None:
    try:
        child = _read(name, path, real, above, visits)
    except OSError:
        parent.unreadable.append(path)
        return
    parent.folders.append(child)
    parent.images += child.images
    if child.others:
        parent.others += child.others
    if child.recognised:
        parent.recognised += child.recognised
    parent.unreadable += child.unreadable


def count_suffixes(others: Counter[str]) -> str:
    """Describe how many files have each suffix.

    Unusual suffixes are not named: they are parts of file names, which may contain a patient name.

    Examples
    --------
    >>> count_suffixes(Counter({".pdf": 1, ".txt": 2, ". hildegard": 1}))
    '2 .txt, 1 .pdf, 1 with another suffix'
    """
    usual = [(-number, suffix) for suffix, number in others.items() if _SUFFIX.fullmatch(suffix)]
    named = sorted(usual)[:_MAX_SUFFIXES]
    parts = [f"{-number} {suffix}" for number, suffix in named]
    if rest := others.total() + sum(number for number, _ in named):
        parts.append(f"{rest} with {'another suffix' if rest == 1 else 'other suffixes'}")
    return ", ".join(parts)
