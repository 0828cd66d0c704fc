"""Show or empty the cache of decoded images and of the features of encoders.

size prints the total, list the entries. prune removes what this version cannot use and, with
--days, what was not used recently; clear removes everything. Nothing is lost: images are decoded
and encoded again when they are needed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from plainfilm.cli.sources import day_count, options_of

EXAMPLE = "plainfilm cache prune --days 30"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = ("size", "list", "prune", "clear")
    parser.add_argument("action", nargs="?", default="list", choices=actions)
    add = options_of(parser)
    add("--days N", "with prune: also what was not used for N days", type=day_count)
    add("--cache FOLDER", "the cache (default: the user's cache folder)", type=Path)


def run(args: argparse.Namespace) -> int:
    from plainfilm._text import plural
    from plainfilm.cli.terminal import table
    from plainfilm.data import default_folder
    from plainfilm.data.housekeeping import clear_cache, list_cache, prune_cache
    from plainfilm.errors import UsageError

    if args.days is not None and args.action != "prune":
        raise UsageError("--days is for prune", received=f"{args.action} --days")
    folder = args.cache or default_folder()
    if args.action == "clear":
        print(f"removed {_size(clear_cache(folder))} from {folder}")
    elif args.action == "prune":
        print(f"removed {_size(prune_cache(folder, days=args.days))} from {folder}")
    else:
        entries = list_cache(folder)
        print(f"{folder}: {_size(sum(entry.bytes for entry in entries))}")
        rows = [
            (
                f"  {entry.folder.relative_to(folder).as_posix()}",
                _size(entry.bytes),
                plural(entry.images, "image") if entry.images else "",
                f"used {time.strftime('%Y-%m-%d', time.localtime(entry.used))}",
                "of another version" if entry.outdated else "",
            )
            for entry in entries
        ]
        if rows and args.action == "list":
            print(table(rows, right=(1, 2)))
    return 0


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
