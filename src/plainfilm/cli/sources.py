"""Defines the arguments that name the data, shared by several verbs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plainfilm.data import Manifest, SourceOptions


def add_source_arguments(parser: argparse.ArgumentParser, nargs: str = "+") -> None:
    """Add DATA and the options that describe it."""
    parser.add_argument(
        "data",
        nargs=nargs,
        metavar="DATA",
        help="folder with class folders, or a CSV/Parquet table",
    )
    group = parser.add_argument_group("about the data")
    group.add_argument("--positive", metavar="CLASS", help="the positive one of two classes")
    group.add_argument(
        "--patient", metavar="COLUMN|REGEX", help="patient: a column, or a pattern of file names"
    )
    group.add_argument("--labels", metavar="COLUMN[,COLUMN...]", help="label columns of a table")
    group.add_argument("--path-column", metavar="COLUMN", help="column of a table with the paths")
    group.add_argument("--split-column", metavar="COLUMN", help="column of a table with the splits")
    group.add_argument(
        "--images", metavar="FOLDER", help="folder that the relative paths of a table start from"
    )
    group.add_argument(
        "--where",
        metavar="EXPR",
        help='rows of a table to use, e.g. \'view in ("PA", "AP") and age >= 18\'',
    )


def add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the cache and the decoding processes."""
    parser.add_argument(
        "--cache",
        metavar="FOLDER",
        help="folder for decoded images (default: the user's cache folder)",
    )
    parser.add_argument(
        "--workers",
        type=worker_count,
        metavar="N",
        help="decoding processes (default: one per core)",
    )


def worker_count(text: str) -> int:
    """Return a number of processes or threads: an integer, 0 or more.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is anything else; argparse reports it as wrong use.

    Examples
    --------
    >>> worker_count("4")
    4
    """
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be an integer, 0 or more, not {text!r}")
    return number


def load(args: argparse.Namespace) -> Manifest:
    """Load all DATA arguments as one data set."""
    return _load(args, args.data)


def load_each(args: argparse.Namespace) -> list[Manifest]:
    """Load each DATA argument as a separate data set."""
    return [_load(args, [root]) for root in args.data]


def _load(args: argparse.Namespace, roots: list[str]) -> Manifest:
    from plainfilm.data import load_dataset

    given: SourceOptions = {
        "positive": args.positive,
        "patient": args.patient,
        "path_column": args.path_column,
        "split_column": args.split_column,
        "images": args.images,
        "where": args.where,
    }
    if args.labels:
        names = args.labels.split(",")
        given["labels"] = names[0] if len(names) == 1 else names
    return load_dataset(*roots, **given)
