"""Evaluate a run on its test set, or a model on other data, and write the report.

Each DATA is a separate data set; the report compares it with the run's validation and test sets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load_each

EXAMPLE = "plainfilm evaluate runs/first hospital_a hospital_b --out runs/first-external"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm evaluate``."""
    parser.add_argument("model", type=Path, metavar="RUN_OR_BUNDLE", help="folder of the model")
    add_source_arguments(parser, nargs="*")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="new folder, or the folder of the same evaluation (default: evaluation, in the run)",
    )
    parser.add_argument(
        "--no-robustness",
        action="store_true",
        help="skip the evaluation on disturbed images",
    )
    parser.add_argument(
        "--prevalence",
        type=float,
        metavar="SHARE",
        help="also report PPV, NPV and calibration at this prevalence, e.g. 0.05",
    )
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``plainfilm evaluate``."""
    from plainfilm.bundle import read_bundle

    read_bundle(args.model)  # before the images are listed, which may take a while
    return _on_others(args) if args.data else _on_test_set(args)


def _on_test_set(args: argparse.Namespace) -> int:
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
    print_findings(evaluation.manifest, args.given)
    print(describe_evaluation(evaluation.document))
    run = open_run(args.model)
    print(f"report: {shown(write_report(evaluation, model=args.model, run=run))}")
    return 0


def _on_others(args: argparse.Namespace) -> int:
    from plainfilm.cli.describe import describe_evaluation, describe_external, print_findings
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.evaluation import validate
    from plainfilm.evaluation.pipeline import find_run
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
        print_findings(evaluation.manifest, args.given)
        print(describe_evaluation(evaluation.document))
        page = write_report(evaluation, model=args.model, run=run, external=found.document)
        print(f"report: {shown(page)}")
    if len(found.document.rows) > 1:
        print(describe_external(found.document))
    if len(found.evaluations) > 1:
        print(f"side by side: {shown(write_external_page(found))}")
    return 0
