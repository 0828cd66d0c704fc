"""Check a data set for duplicates, leaks, shortcuts, shift and unsuitable files.

Nothing is changed. With --strict, a serious finding gives exit status 3.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load, options_of
from plainfilm.errors import UsageError

EXAMPLE = "plainfilm audit chest_xray --html audit.html --exclude leave_out.csv"

_SERIOUS = 3
_ENDINGS = {"--html": ".html", "--json": ".json", "--exclude": ".csv"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = options_of(parser)
    add("--html FILE", "write a page with thumbnails", type=Path)
    add("--json FILE", "write the results as JSON", type=Path)
    words = "write the records to exclude as CSV, for plainfilm train --exclude"
    add("--exclude FILE.csv", words, type=Path)
    add("--strict", "exit with status 3 if a finding is serious")
    add("--quick", "decode no image: check only names, labels, patients and equal files")
    words = "read the images in parts: with processes (local), on Ray (ray, ray=HOST:PORT)"
    add("--on ENGINE", words)
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from plainfilm._text import plural
    from plainfilm.audit import audit_dataset
    from plainfilm.cli.describe import describe_manifest
    from plainfilm.cli.main import stop_writing
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.report import audit_lines, write_audit_page

    if args.quick and args.on is not None:
        raise UsageError(
            "--on and --quick exclude each other",
            received=f"--on {args.on}",
            remedy="leave out --on: with --quick no image is decoded",
        )
    if args.on is not None:
        from plainfilm.cluster.run_job import check_engine

        check_engine(args.on, args.workers)
    _check_outputs({"--html": args.html, "--json": args.json, "--exclude": args.exclude})
    manifest = load(args, one_class=True)
    with show_progress() as progress:
        if args.on is not None:
            from plainfilm.cluster.audit import audit_on

            audit = audit_on(
                manifest, args.on, cache=args.cache, workers=args.workers, progress=progress
            )
        else:
            audit = audit_dataset(
                manifest,
                quick=args.quick,
                cache=args.cache,
                workers=args.workers,
                progress=progress,
            )
    lines = [describe_manifest(manifest), *audit_lines(audit)]
    # All files are written before the output, since the reader of the output may close the pipe.
    if args.json:
        audit.write(args.json)
        lines.append(f"json: {shown(args.json)}")
    if args.html:
        lines.append(f"page: {shown(write_audit_page(audit, args.html))}")
    if args.exclude:
        records = plural(audit.write_exclusions(args.exclude), "record")
        lines.append(f"to exclude: {records}, listed in {shown(args.exclude)}")
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        stop_writing()
    return _SERIOUS if args.strict and audit.serious else 0


def _check_outputs(outputs: Mapping[str, Path | None]) -> None:
    """Refuse to overwrite a file that is not the page or the JSON of an earlier audit.

    A list of records to exclude is never overwritten, since it may contain manual changes.
    """
    for option, path in outputs.items():
        if path is None:
            continue
        if path.suffix.lower() != _ENDINGS[option]:
            raise UsageError(f"the file of {option} must end in {_ENDINGS[option]}", received=path)
        if path.is_dir() or (path.exists() and not _is_output(option, path)):
            raise UsageError(
                f"{option} would overwrite an existing file",
                received=path,
                remedy="name a new file, or remove this one",
            )


def _is_output(option: str, path: Path) -> bool:
    """Return whether a file is the page or the JSON of an audit."""
    from plainfilm._files import open_regular

    try:
        with open_regular(path) as file:
            start = file.read(1024).lower()
    except OSError:
        return False
    if option == "--html":
        return start.lstrip().startswith(b"<!doctype html>") and b"plainfilm audit" in start
    return option == "--json" and b'"plainfilm"' in start and b'"quick"' in start
