"""Find what would fool the evaluation: copies, leaks, shortcuts, shift, files that are wrong.

Nothing is changed. Exit status 3 with --strict where something serious was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load

EXAMPLE = "plainfilm audit chest_xray --html audit.html --exclude leave_out.csv"

_SERIOUS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm audit``."""
    add_source_arguments(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it for machines")
    parser.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE.csv",
        help="write a list of what is better left out; plainfilm train --exclude takes it",
    )
    parser.add_argument(
        "--strict", action="store_true", help="end with status 3 where a finding is serious"
    )
    parser.add_argument(
        "--quick", action="store_true", help="open no image: names, labels, patients, exact copies"
    )
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``plainfilm audit``."""
    from plainfilm._text import plural
    from plainfilm.audit.run import audit_dataset
    from plainfilm.cli.describe import describe_manifest
    from plainfilm.cli.main import stop_writing
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.report import audit_lines, write_audit_page

    check_outputs({"--html": args.html, "--json": args.json, "--exclude": args.exclude})
    manifest = load(args)
    lines = [describe_manifest(manifest)]
    with show_progress() as progress:
        found = audit_dataset(
            manifest,
            quick=args.quick,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    lines += audit_lines(found)
    # Written before a word is said: whoever reads our output may stop listening.
    if args.json:
        found.write(args.json)
        lines.append(f"json: {shown(args.json)}")
    if args.html:
        lines.append(f"page: {shown(write_audit_page(found, args.html))}")
    if args.exclude:
        count = found.write_exclusions(args.exclude)
        lines.append(f"to leave out: {plural(count, 'record')}, listed in {shown(args.exclude)}")
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        stop_writing()
    return _SERIOUS if args.strict and found.serious else 0


def check_outputs(outputs: Mapping[str, Path | None]) -> None:
    """Refuse to write over what no audit has written, before any work is done.

    Raises
    ------
    UsageError
        If two outputs are one file, or one is there and is not an audit's own. A list of what to
        leave out is never written over: somebody may have looked it through.
    """
    from plainfilm.errors import UsageError

    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in seen:
            raise UsageError(f"{seen[place]} and {option} name the same file", received=path)
        seen[place] = option
        if path.is_dir() or (path.exists() and not _is_ours(option, path)):
            raise UsageError(
                f"{option} would write over what is there",
                received=path,
                remedy="name a new file, or remove this one",
            )


def _is_ours(option: str, path: Path) -> bool:
    """Tell whether a file is the page or the JSON of an earlier audit."""
    try:
        with open(path, "rb") as file:
            start = file.read(1024).lower()
    except OSError:
        return False
    if option == "--html":
        return start.lstrip().startswith(b"<!doctype html>") and b"plainfilm audit" in start
    return option == "--json" and b'"plainfilm"' in start and b'"quick"' in start
