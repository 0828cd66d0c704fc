"""Predict on an archive of any size, with several processes, into a Parquet data set.

An ARCHIVE is a folder, a prefix of an object store (s3://BUCKET/PREFIX), or a list of paths or
URIs (CSV, TSV, Parquet). The same command continues after an interruption, also on several
machines that share the output at the same time. `plainfilm score status OUT` shows how far it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import options_of, worker_count
from plainfilm.errors import UsageError

if TYPE_CHECKING:
    from plainfilm.cluster.score import Scores

EXAMPLE = "plainfilm score hospital_a --bundle runs/first --out scores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = "folder, prefix of an object store, or list of URIs"
    parser.add_argument("sources", nargs="+", metavar="ARCHIVE", help=words)
    add = options_of(parser)
    add("--bundle RUN_OR_BUNDLE", "folder of the model", type=Path)
    add("--out OUT", "folder or prefix of an object store for the output")
    add(
        "--on ENGINE",
        "what runs the workers: local (default), ray, or ray=HOST:PORT",
        default="local",
    )
    add("--workers N", "worker processes (default: one per core)", type=worker_count)
    add("--share K/N", "work on one of N equal shares, as in a job array, such as 3/16")
    words = "predict again on images that were missing or changed, or not reached, read or decoded"
    add("--retry-errors", words)
    forms = ["text", "json"]
    words = "format of score status (default: text)"
    parser.add_argument("--format", choices=forms, default="text", help=words)
    add("--column NAME", "column of a list with the URIs (default: uri, file or path)")


def run(args: argparse.Namespace) -> int:
    if args.sources[0] == "status" and args.bundle is None and args.out is None:
        return _show_status(args.sources[1:], args.format)
    if args.format != "text":
        raise UsageError(
            "--format is for score status",
            received=f"--format {args.format}",
            remedy="leave it out, or as in: plainfilm score status OUT --format json",
        )
    from plainfilm.cli.terminal import show_progress
    from plainfilm.cluster.score import score

    if missing := [name for name in ("bundle", "out") if getattr(args, name) is None]:
        raise UsageError(
            f"score needs {' and '.join(f'--{name}' for name in missing)}",
            remedy=f"as in: {EXAMPLE}",
        )
    with show_progress() as progress:
        scores = score(
            args.sources,
            args.bundle,
            args.out,
            on=args.on,
            workers=args.workers,
            share=args.share,
            retry_errors=args.retry_errors,
            column=args.column,
            progress=progress,
        )
    return _report(scores)


def _show_status(outputs: list[str], form: str) -> int:
    """Print how far the jobs of outputs are."""
    import json

    from plainfilm.cluster.status import describe_status, read_status

    if not outputs:
        raise UsageError("score status needs an output", remedy="as in: plainfilm score status OUT")
    for out in outputs:
        status = read_status(out)
        if form == "json":
            print(json.dumps(status.to_json()))
        else:
            print(*describe_status(status), sep="\n")
    return 0


def _report(scores: Scores) -> int:
    """Print what was done, and return the exit status."""
    import sys

    from plainfilm._text import plural

    rows = scores.planned if scores.finished else scores.rows
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(scores.counts.items()))
    print(f"{plural(rows, 'image')}" + (f", no predicted class: {reasons}" if reasons else ""))
    if scores.finished:
        print(f"finished: {scores.out}")
    usual = ("not an image", "repeated", "blank")
    others = {why: count for why, count in scores.left_out.items() if why not in usual}
    if others:
        shown = ", ".join(f"{count} {why}" for why, count in others.items())
        print(
            f"plainfilm: warning: not planned: {shown}; to add them, score the archive into "
            "another output",
            file=sys.stderr,
        )
    for name, problem in scores.failed.items():
        print(f"plainfilm: the chunk {name} failed: {problem}", file=sys.stderr)
    if scores.failed:
        print(
            f"plainfilm: {plural(len(scores.failed), 'chunk')} failed; the same command tries "
            f"{'it' if len(scores.failed) == 1 else 'them'} again",
            file=sys.stderr,
        )
        return 1
    if not scores.finished:
        print(f"not finished: other shares of {plural(scores.planned, 'image')} are not done")
    without = sum(scores.counts.values()) - scores.counts.get("rejected", 0)
    return 1 if rows and without == rows else 0
