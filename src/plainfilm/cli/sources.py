"""Defines the arguments that name the data, shared by several verbs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plainfilm.data import Manifest, SourceOptions


def options_of(parser: Any) -> Callable[..., None]:
    """Return a function that adds an option to a parser or group, written as its help shows it.

    ``add("--out FOLDER", "folder for the output")`` adds an option with a value, and
    ``add("--quick", "decode no image")`` a flag.
    """

    def add(usage: str, words: str, **more: Any) -> None:
        name, _, value = usage.partition(" ")
        kind = {"metavar": value} if value else {"action": "store_true"}
        parser.add_argument(name, help=words, **kind, **more)

    return add


def add_source_arguments(
    parser: argparse.ArgumentParser, nargs: str = "+", images: str = ""
) -> None:
    """Add DATA and the options that describe it; ``images`` adds to the help of --images."""
    words = "folder with class folders, or a table (CSV, Parquet, Excel)"
    parser.add_argument("data", nargs=nargs, metavar="DATA", help=words)
    add_source_options(parser, images)


def add_source_options(
    parser: argparse.ArgumentParser, images: str = "", labels: str = "--labels"
) -> None:
    """Add the options that describe DATA; ``labels`` is the option for label columns."""
    add = options_of(parser.add_argument_group("about the data"))
    words = "public data set: nih, chexpert, mimic-cxr, padchest, vindr, rsna, siim, covidx, openi"
    add("--layout NAME", f"{words} or kermany")
    add("--positive CLASS", "the positive one of two classes")
    words = "new names of classes, e.g. 0=NORMAL,*=ILL; repeatable"
    add("--map OLD=NEW[,...]", words, action="append", dest="class_map")
    words = "class in the paths of a folder without class folders, e.g. '_([01])[.]png$'"
    add("--label-pattern REGEX", words)
    add("--patient COLUMN|REGEX", "patient: a column, or a pattern of file names")
    words = (
        "folders that are patients: 1 (default) is the folder of a file, 2 the one above, 0 none"
    )
    add("--patient-folder LEVEL", words, nargs="?", const=1, type=folder_level)
    add(f"{labels} COLUMN[,COLUMN...]", "label columns of a table", dest="labels")
    add("--path-column COLUMN", "column with the paths, or a template: '{a}/{b}.png'")
    add("--split-column COLUMN", "column of a table with the splits")
    words = "label of an image with several rows: any or majority of them"
    add("--reduce RULE", words, choices=("any", "majority"))
    words = "list of the files of a split, e.g. test_list.txt; repeatable"
    add("--split-list FILE", words, action="append")
    words = "folder in which the files of a table are found"
    add("--images FOLDER", words + images)
    add("--join TABLE", "table with further columns; repeatable", action="append")
    words = 'rows of a table to use, e.g. \'view in ("PA", "AP") and age >= 18\''
    add("--where EXPR", words)
    add("--separator TEXT", "text between several labels in one cell (default: recognised)")
    words = "meaning of blank labels of 1 and 0 (default: unknown)"
    add("--blank negative|unknown", words, choices=("negative", "unknown"))
    words = "meaning of -1 and other uncertain labels (default: unknown)"
    choices = ("negative", "positive", "unknown", "drop")
    add("--uncertain negative|positive|unknown|drop", words, choices=choices)
    add("--delimiter CHARACTER", "character between the cells of a table (default: recognised)")
    add("--encoding NAME", "encoding of a table, such as cp1252 (default: utf-8)")
    add("--header NAME[,NAME...]", "columns of a table without a header line")


def add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the cache and the decoding processes."""
    add = options_of(parser)
    add("--cache FOLDER", "folder for decoded images (default: the user's cache folder)")
    add("--workers N", "decoding processes (default: one per core)", type=worker_count)


def day_count(text: str) -> float:
    """Read a number of days; an option's type."""
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of days, 0 or more, not {text!r}")
    return days


def worker_count(text: str) -> int:
    """Return a number of processes or threads: an integer, 0 or more.

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


def folder_level(text: str) -> int:
    """Return a level of folders: an integer, 0 or more.

    >>> folder_level("2")
    2
    """
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(
            f"must be a level of 0 or more, not {text!r}; give DATA before this option"
        )
    return int(text)


def load(args: argparse.Namespace, *, one_class: bool = False) -> Manifest:
    """Load all DATA arguments as one data set, which may have ``one_class`` only."""
    return _load(args, args.data, one_class)


def load_each(args: argparse.Namespace) -> list[Manifest]:
    """Load each DATA argument as a separate data set, which may have one class only.

    Data sets of one name are named after a folder above them, where that distinguishes them.
    """
    from dataclasses import replace

    from plainfilm.data.sources.root_names import name_roots, number_names

    found = [_load(args, [root], True) for root in args.data]
    if len({manifest.name for manifest in found}) == len(found):
        return found
    names = name_roots(args.data) if not args.layout else [own.name for own in found]
    return [
        replace(manifest, name=name)
        for manifest, name in zip(found, number_names(names), strict=True)
    ]


def _load(args: argparse.Namespace, roots: list[str], one_class: bool) -> Manifest:
    from plainfilm.data import load_dataset

    options = source_options(args)
    options["one_class"] = one_class
    return load_dataset(*roots, **options)


def source_options(args: argparse.Namespace) -> SourceOptions:
    """Return the options that describe the data."""
    from plainfilm.data.sources.classes.mapping import parse_class_map

    given: SourceOptions = {
        "positive": args.positive,
        "label_pattern": args.label_pattern,
        "patient": args.patient,
        "patient_folder": args.patient_folder,
        "path_column": args.path_column,
        "split_column": args.split_column,
        "reduce": args.reduce,
        "split_lists": args.split_list,
        "images": args.images,
        "join": args.join,
        "where": args.where,
        "separator": args.separator,
        "blank": args.blank,
        "uncertain": args.uncertain,
        "delimiter": args.delimiter,
        "encoding": args.encoding,
        "header": args.header,
        "layout": args.layout,
    }
    if args.class_map:
        given["class_map"] = parse_class_map(args.class_map)
    if args.labels:
        names = args.labels.split(",")
        given["labels"] = names[0] if len(names) == 1 else names
    return given
