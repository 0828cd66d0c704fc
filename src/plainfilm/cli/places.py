"""Checks that a verb does not write into the data that it reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.errors import UsageError

if TYPE_CHECKING:
    import argparse

_READ = ("data", "sources", "images")
_WRITTEN = ("out", "heatmaps", "paper", "cache")
_VARIABLE = "PLAINFILM_CACHE"


def check_places(args: argparse.Namespace) -> None:
    """Raise a UsageError if a folder that is written is in a folder of the data, or contains it.

    Otherwise the next call would list the output as images. A cache may contain the data.
    """
    outputs = {name: os.path.realpath(path) for name, path in _outputs(args)}
    folders = [os.path.realpath(path) for path in _inputs(args) if path.is_dir()] if outputs else []
    for option, out in outputs.items():
        is_cache = option in ("cache=", _VARIABLE)
        for data in folders:
            if Path(out).is_relative_to(data):
                problem = f"{option} is in a folder of the data"
            elif Path(data).is_relative_to(out) and not is_cache:
                problem = f"{option} contains the data"
            else:
                continue
            raise UsageError(
                problem, received=f"{out}, data {data}", remedy="name a folder outside the data"
            )


def _inputs(args: argparse.Namespace) -> Iterator[Path]:
    # Without a model, its argument is the first of the data.
    for name in (*_READ, "model") if getattr(args, "predictions", None) else _READ:
        given = getattr(args, name, None) or ()
        yield from map(_path, [given] if isinstance(given, str | Path) else given)


def _path(given: str | Path) -> Path:
    """Return the path of an argument, which may be a ``file:`` URI."""
    if not str(given).startswith("file://"):
        return Path(given)
    from plainfilm.cluster.uris import path_of

    return path_of(given)


def _outputs(args: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    for name in _WRITTEN:
        path = getattr(args, name, None)
        if path is not None and "://" not in str(path).removeprefix("file://"):
            # The demonstration writes next to the images that it draws.
            own = Path(path, "run") if (args.verb, name) == ("demo", "out") else _path(path)
            yield f"{name}=", own
    if getattr(args, "cache", "") is None and os.environ.get(_VARIABLE):
        yield _VARIABLE, Path(os.environ[_VARIABLE]).expanduser()
