"""Find what would fool the evaluation: copies, leaks, shortcuts, shift, files that are wrong.

Nothing is changed. Exit status 3 with --strict where something serious was found.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from thorax.cli.sources import add_cache_arguments, add_source_arguments, load

EXAMPLE = "thorax audit chest_xray --html audit.html --exclude leave_out.csv"

_SERIOUS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``thorax audit``."""
    add_source_arguments(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it for machines")
    parser.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE.csv",
        help="write a list of what is better left out; thorax train --exclude takes it",
    )
    parser.add_argument(
        "--strict", action="store_true", help="end with status 3 where a finding is serious"
    )
    parser.add_argument(
        "--quick", action="store_true", help="open no image: names, labels, patients, exact copies"
    )
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``thorax audit``."""
    from thorax.cli.describe import describe_manifest
    from thorax.cli.terminal import counted, show_progress, shown
    from thorax.data.audit import audit
    from thorax.report import audit_lines, write_audit_page

    manifest = load(args)
    print(describe_manifest(manifest))
    with show_progress() as progress:
        found = audit(
            manifest,
            quick=args.quick,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    print("\n".join(audit_lines(found)))
    if args.json:
        found.write(args.json)
        print(f"json: {shown(args.json)}")
    if args.html:
        print(f"page: {shown(write_audit_page(found, args.html))}")
    if args.exclude:
        count = found.write_exclusions(args.exclude)
        print(f"to leave out: {counted(count, 'record')}, listed in {shown(args.exclude)}")
    return _SERIOUS if args.strict and found.serious else 0
