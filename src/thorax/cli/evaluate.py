"""Evaluate a run on its test partition, or a bundle on other data, and write the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from thorax.cli.sources import add_cache_arguments, add_source_arguments, load

EXAMPLE = "thorax evaluate runs/first/bundle other_hospital --out evaluation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``thorax evaluate``."""
    parser.add_argument("model", type=Path, metavar="RUN_OR_BUNDLE", help="folder")
    add_source_arguments(parser, nargs="*")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="new, or of this very evaluation (default: evaluation, in the run's folder)",
    )
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``thorax evaluate``."""
    from thorax.bundle import read_bundle
    from thorax.cli.describe import describe_evaluation, print_findings
    from thorax.cli.terminal import show_progress, shown
    from thorax.evaluation import evaluate
    from thorax.evaluation.run import official_test
    from thorax.report import write_report
    from thorax.training import open_run

    read_bundle(args.model)  # before the images are listed, which may take long
    data = official_test(load(args)) if args.data else None
    with show_progress() as progress:
        evaluation = evaluate(
            args.model,
            data,
            out=args.out,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    made = open_run(args.model) if (args.model / "plan.json").is_file() else None
    print_findings(evaluation.manifest)
    print(describe_evaluation(evaluation.values))
    print(f"report: {shown(write_report(evaluation, model=args.model, run=made))}")
    return 0
