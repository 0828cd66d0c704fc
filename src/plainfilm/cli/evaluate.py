"""Evaluate a run on its test split, or a bundle on other data, and write the report.

Each DATA is a data set of its own, laid beside the run's internal validation and test.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load_each

EXAMPLE = "plainfilm evaluate runs/first hospital_a hospital_b --out runs/first-elsewhere"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm evaluate``."""
    parser.add_argument("model", type=Path, metavar="RUN_OR_BUNDLE", help="folder")
    add_source_arguments(parser, nargs="*")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="new, or of this very evaluation (default: evaluation, in the run's folder)",
    )
    parser.add_argument(
        "--no-robustness",
        action="store_true",
        help="do not score the images under disturbances as well",
    )
    parser.add_argument(
        "--prevalence",
        type=float,
        metavar="SHARE",
        help="tell PPV, NPV and calibration for this share of positives as well, e.g. 0.05",
    )
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``plainfilm evaluate``."""
    from plainfilm.bundle import read_bundle

    read_bundle(args.model)  # before the images are listed, which may take long
    return _on_others(args) if args.data else _on_its_test(args)


def _on_its_test(args: argparse.Namespace) -> int:
    from plainfilm.cli.describe import describe_evaluation, print_findings
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.evaluation import evaluate
    from plainfilm.report import write_report
    from plainfilm.training import open_run

    with show_progress() as progress:
        evaluation = evaluate(
            args.model,
            out=args.out,
            robustness=not args.no_robustness,
            prevalence=args.prevalence,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    print_findings(evaluation.manifest)
    print(describe_evaluation(evaluation.values))
    run = open_run(args.model)
    print(f"report: {shown(write_report(evaluation, model=args.model, run=run))}")
    return 0


def _on_others(args: argparse.Namespace) -> int:
    from plainfilm.cli.describe import describe_evaluation, describe_external, print_findings
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.evaluation import validate
    from plainfilm.evaluation.run import find_run
    from plainfilm.evaluation.scoring import official_test
    from plainfilm.report import write_external_page, write_report
    from plainfilm.training import open_run

    manifests = [official_test(manifest) for manifest in load_each(args)]
    with show_progress() as progress:
        found = validate(
            args.model,
            manifests,
            out=args.out,
            robustness=not args.no_robustness,
            prevalence=args.prevalence,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    home = find_run(args.model)
    run = open_run(home) if home is not None else None
    for evaluation in found.evaluations:
        print_findings(evaluation.manifest)
        print(describe_evaluation(evaluation.values))
        page = write_report(evaluation, model=args.model, run=run, external=found.values)
        print(f"report: {shown(page)}")
    if len(found.values["rows"]) > 1:
        print(describe_external(found.values))
    if len(found.evaluations) > 1:
        print(f"side by side: {shown(write_external_page(found))}")
    return 0
