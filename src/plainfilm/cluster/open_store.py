"""Opens the store that a path or URI names."""

from __future__ import annotations

from pathlib import Path

from plainfilm.cluster.local_store import LocalStore
from plainfilm.cluster.object_store import ObjectStore
from plainfilm.cluster.stores import Store
from plainfilm.cluster.uris import is_object, path_of

__all__ = ["open_store"]


def open_store(uri: str | Path) -> Store:
    """Return the store of a folder, which is created with the first object, or of a URI.

    Raises a UsageError for other kinds of URI and for one that contains credentials.
    """
    if is_object(uri):
        return ObjectStore(str(uri))
    return LocalStore(path_of(uri))
