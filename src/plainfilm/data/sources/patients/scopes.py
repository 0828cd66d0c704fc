"""Decides within which data sets equal names mean one patient."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from plainfilm.data.sources.listing import Listing, split_of_name


def scope_of(root: Path) -> str:
    """Return the data set of a root, within which equal names mean one patient.

    ``train`` and ``test`` in one folder belong to one data set, and so do tables in one folder.
    """
    folder = root.resolve() if root.is_dir() else root.resolve().parent
    return str(folder.parent if split_of_name(folder.name) else folder)


def name_scopes(listings: Sequence[Listing]) -> dict[str, str]:
    """Name scopes independently of their path; a scope inside another belongs to it."""
    scopes = {listing.scope for listing in listings}
    widest = {
        scope: min((s for s in scopes if f"{scope}{os.sep}".startswith(f"{s}{os.sep}")), key=len)
        for scope in scopes
    }
    first = {widest[listing.scope]: listing.name for listing in reversed(listings)}
    names = {scope: f"pattern/{name if len(first) > 1 else ''}" for scope, name in first.items()}
    return {scope: names[widest[scope]] for scope in scopes}
