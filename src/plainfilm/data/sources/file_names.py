"""Compares names of files and the folders above them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from plainfilm.pixels import IMAGE_SUFFIXES


def matching_folders(path: str, folders: Sequence[str]) -> int:
    """Return how many of the last of these folders are those above a file."""
    above = path.split("/")[:-1]
    pairs = zip(reversed(above), reversed(folders), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(above), len(folders)))


def last_part(path: str) -> str:
    """Return the name of a file without its folders."""
    return path.rpartition("/")[2]


def plain_name(name: str) -> str:
    """Return a name in one normal form of Unicode, in lower case."""
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold().strip()


def stem_of(name: str) -> str:
    """Return the plain name of a file without the endings of image formats.

    Examples
    --------
    >>> [stem_of(name) for name in ("A.png", "1.2.840.dcm", "x.dcm.png", "1.2.840")]
    ['a', '1.2.840', 'x', '1.2.840']
    """
    stem = plain_name(name)
    while True:
        rest, dot, suffix = stem.rpartition(".")
        if not rest or not dot or f".{suffix}" not in IMAGE_SUFFIXES:
            return stem
        stem = rest


def number_of(name: str) -> str:
    """Return the number that a name without ending consists of, or the plain name.

    Examples
    --------
    >>> number_of("0012.png"), number_of("12.0"), number_of("A.png")
    ('12', '12', 'a')
    """
    stem = stem_of(name)
    digits = stem.removesuffix(".0")
    return digits.lstrip("0") or "0" if digits.isdigit() else stem


def best_matches(name: str, paths: list[str]) -> list[str]:
    """Return the paths that fit a name best: with its ending and with most of its folders.

    Examples
    --------
    >>> best_matches("b/1.png", ["a/1.png", "b/1.png", "b/1.dcm"])
    ['b/1.png']
    """
    if len(paths) < 2:
        return paths
    file, folders = last_part(name), name.split("/")[:-1]
    pool = (
        [path for path in paths if last_part(path) == file]
        or [path for path in paths if plain_name(last_part(path)) == plain_name(file)]
        or paths
    )
    nearest = max((matching_folders(path, folders) for path in pool), default=0)
    return [path for path in pool if matching_folders(path, folders) == nearest]
