"""Reads planned files from where they are."""

from __future__ import annotations

import os
from collections.abc import Collection

from plainfilm._files import open_regular
from plainfilm._text import printable
from plainfilm.cluster.local_store import explain_read
from plainfilm.cluster.plan import Row
from plainfilm.cluster.stores import StoreError
from plainfilm.cluster.uris import is_planned_object, path_of
from plainfilm.cluster.walk import version_of
from plainfilm.pixels import LIMITS
from plainfilm.pixels.limits import check_bytes

__all__ = ["read_row"]


def read_row(row: Row, roots: Collection[str] = ()) -> bytes:
    """Return the content of a planned file; several threads may call this.

    Parameters
    ----------
    row
        The planned file.
    roots
        Folders of the archive. While one is missing or empty, as a disk that is not mounted, its
        files are unreachable and not missing.

    Raises
    ------
    StoreError
        If it is missing, cannot be read, or is not the version that was planned.
    ImageError
        If it is too large.
    """
    if is_planned_object(row.uri):
        from plainfilm.cluster.object_store import get

        return get(row.uri, row.bytes, row.etag, lambda size: check_bytes(size, LIMITS))
    path = path_of(row.uri)
    try:
        with open_regular(path) as file:
            size, version = version_of(os.fstat(file.fileno()))
            check_bytes(size, LIMITS)
            if row.bytes in (None, size) and row.etag in (None, version):
                data = file.read()
                if len(data) == size:
                    return data
    except ValueError as error:  # from a NUL byte, which no path contains
        raise StoreError("unreadable", f"{printable(str(path))} is not a path") from error
    except OSError as error:
        explained = explain_read(error, path)
        for root in roots if explained.reason == "missing" else ():
            if path.is_relative_to(root) and not _is_mounted(root):
                raise StoreError("unreachable", f"{root} is missing or empty") from error
        raise explained from error
    raise StoreError("changed", "the file was changed after it was planned")


def _is_mounted(folder: str) -> bool:
    """Return whether a folder exists and is not empty."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
