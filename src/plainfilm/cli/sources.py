"""The arguments that say what data are meant, shared by several verbs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plainfilm.data import Manifest

__all__ = ["add_cache_arguments", "add_source_arguments", "load", "load_each", "worker_count"]


def add_source_arguments(parser: argparse.ArgumentParser, nargs: str = "+") -> None:
    """Add DATA and what explains it."""
    parser.add_argument(
        "data",
        nargs=nargs,
        metavar="DATA",
        help="folder with class folders, or a CSV/Parquet table",
    )
    group = parser.add_argument_group("about the data")
    group.add_argument(
        "--positive", metavar="CLASS", help="which of two classes is the positive one"
    )
    group.add_argument(
        "--patient", metavar="COLUMN|REGEX", help="column, or pattern in file names, of the patient"
    )
    group.add_argument(
        "--labels", metavar="COLUMN[,COLUMN...]", help="of a table: the label column or columns"
    )
    group.add_argument("--path-column", metavar="COLUMN", help="of a table: the column of paths")
    group.add_argument("--split-column", metavar="COLUMN", help="of a table: the column of splits")
    group.add_argument(
        "--images", metavar="FOLDER", help="of a table: where its relative paths start"
    )


def add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where decoded images go and how many processes decode."""
    parser.add_argument(
        "--cache", metavar="FOLDER", help="folder of decoded images (default: the user's cache)"
    )
    parser.add_argument(
        "--workers",
        type=worker_count,
        metavar="N",
        help="decoding processes (default: one per core)",
    )


def worker_count(text: str) -> int:
    """Return how many processes or threads decode: a whole number, 0 or more.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is something else, which argparse tells as wrong use.

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
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {text!r}")
    return number


def load(args: argparse.Namespace) -> Manifest:
    """Load the data that the arguments mean, all roots together."""
    return _load(args, args.data)


def load_each(args: argparse.Namespace) -> list[Manifest]:
    """Load each DATA as a data set of its own."""
    return [_load(args, [root]) for root in args.data]


def _load(args: argparse.Namespace, roots: list[str]) -> Manifest:
    from plainfilm.data import load_dataset

    labels = args.labels.split(",") if args.labels else None
    return load_dataset(
        *roots,
        labels=labels[0] if labels and len(labels) == 1 else labels,
        positive=args.positive,
        patient=args.patient,
        path_column=args.path_column,
        split_column=args.split_column,
        images=args.images,
    )
