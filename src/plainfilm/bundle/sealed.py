"""Reads the files of a sealed folder: each is verified against ``SHA256SUMS`` when it is read.

Callers use the bytes that were verified and never open a file again, because it may have been
replaced in between.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from plainfilm import _files
from plainfilm.errors import BundleError

SUMS = "SHA256SUMS"
MOST_BYTES = 8 << 30
"""Largest size of a file of a bundle."""

_MOST_SUMS = 1 << 16
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
# Written by file managers; plainfilm never opens them.
_IGNORED = frozenset({".ds_store", "thumbs.db", "desktop.ini"})

T = TypeVar("T")


class SealedFolder(NamedTuple):
    """A folder with the hash of each of its files.

    Attributes
    ----------
    path
        The folder.
    id
        SHA-256 of ``SHA256SUMS``, which identifies all content.
    sums
        File name to SHA-256.
    """

    path: Path
    id: str
    sums: Mapping[str, str]

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Return the content of a file.

        Raises
        ------
        BundleError
            If it has more than ``most`` bytes, or is not the file that was sealed.
        """
        data = self._access(name, lambda path: _files.read_regular(path, most))
        self._compare(name, _files.hash_bytes(data))
        return data

    def verify(self, name: str) -> None:
        """Verify a file without keeping it in memory; errors are those of `read`."""

        def hash_it(path: Path) -> str:
            with _files.open_regular(path, MOST_BYTES) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        self._compare(name, self._access(name, hash_it))

    def check_listing(self) -> None:
        """Raise a BundleError if the folder has files that ``SHA256SUMS`` does not list."""
        unlisted = sorted(
            path.name
            for path in self.path.iterdir()
            if path.name not in {*self.sums, SUMS} and path.name.casefold() not in _IGNORED
        )
        if unlisted:
            more = f" and {len(unlisted) - 5} more" if len(unlisted) > 5 else ""
            raise BundleError(
                f"the bundle {self.path} was changed after it was sealed: "
                f"{SUMS} does not list every file",
                received=", ".join(map(repr, unlisted[:5])) + more,
                remedy="move these files out of the folder, or use an unchanged copy",
            )

    def _access(self, name: str, read: Callable[[Path], T]) -> T:
        path = self.path / name
        try:
            return read(path)
        except FileNotFoundError as error:
            raise BundleError(f"the bundle {self.path} is incomplete: {name} is missing") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise BundleError(f"{path} cannot be read", received=reason) from error

    def _compare(self, name: str, digest: str) -> None:
        sealed = self.sums.get(name, "")
        if digest != sealed:
            raise BundleError(
                f"the bundle {self.path} was changed after it was sealed: {name}",
                received=f"SHA-256 {digest[:16]}…, sealed as {sealed[:16]}…",
                remedy="use an unchanged copy, or train again",
            )


def open_sealed(folder: Path) -> SealedFolder:
    """Return a sealed folder; its files are not verified yet.

    Raises
    ------
    BundleError
        If it has no valid ``SHA256SUMS``.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no bundle at {folder}", remedy="give a run or bundle folder")
    try:
        data = _files.read_regular(folder / SUMS, _MOST_SUMS)
    except OSError as error:
        raise BundleError(
            f"{folder} is not a bundle: it has no readable {SUMS}",
            received=error.strerror,
            remedy="give a bundle folder, or a run folder whose training has finished",
        ) from error
    return SealedFolder(folder, _files.hash_bytes(data), parse_sums(folder, data))


def parse_sums(folder: Path, data: bytes) -> Mapping[str, str]:
    """Return file name to SHA-256 from the content of ``SHA256SUMS``; raise a BundleError."""
    sums: dict[str, str] = {}
    for line in data.decode("ascii", "replace").splitlines():
        match = _LINE.fullmatch(line)
        problem = None
        if match is None:
            problem = "has a line that is not a hash and a name"
        elif Path(match[2]).name != match[2] or "\\" in match[2] or match[2] == "..":
            problem = "lists a file outside the folder"
        elif match[2] in sums or match[2] == SUMS:
            problem = "lists a file twice" if match[2] in sums else "lists itself"
        if match is None or problem:
            raise BundleError(
                f"the bundle {folder} is damaged: {SUMS} {problem}", received=repr(line[:200])
            )
        sums[match[2]] = match[1]
    return sums
