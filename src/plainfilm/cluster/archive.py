"""Reads planned files from where they are."""

from __future__ import annotations

import os

from plainfilm._files import open_regular
from plainfilm.cluster.local_store import explain_read
from plainfilm.cluster.plan import Row
from plainfilm.cluster.stores import StoreError
from plainfilm.cluster.uris import path_of
from plainfilm.cluster.walk import version_of

__all__ = ["read_row"]


def read_row(row: Row) -> bytes:
    """Return the content of a planned file; several threads may call this.

    Raises
    ------
    StoreError
        If it is missing, cannot be read, or is not the version that was planned.
    """
    path = path_of(row.uri)
    try:
        with open_regular(path) as file:
            found = version_of(os.fstat(file.fileno()))
            planned = (row.bytes, row.etag)
            data = b"" if None not in planned and found != planned else file.read()
    except OSError as error:
        raise explain_read(error, path) from error
    if None not in planned and (found != planned or len(data) != row.bytes):
        raise StoreError("changed", "the file was changed after it was planned")
    return data
