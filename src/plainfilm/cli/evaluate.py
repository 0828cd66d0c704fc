"""Evaluate a run on its test set, or a model on other data, and write the report.

Each DATA is a separate data set; the report compares it with the run's validation and test sets.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load_each, options_of

EXAMPLE = "plainfilm evaluate runs/first hospital_a hospital_b --out runs/first-external"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="RUN_OR_BUNDLE", help="folder of the model")
    add_source_arguments(parser, "*", "; without DATA, where the images of the run are now")
    add = options_of(parser)
    words = "new folder, or the folder of the same evaluation (default: evaluation, in the run)"
    add("--out FOLDER", words, type=Path)
    add("--no-robustness", "skip the evaluation on disturbed images")
    words = "also report PPV, NPV and calibration at this prevalence, e.g. 0.05"
    add("--prevalence SHARE", words, type=float)
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from plainfilm.bundle import read_bundle
    from plainfilm.cli.describe import describe_evaluation, describe_external, print_findings
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.evaluation import Evaluation, evaluate, validate
    from plainfilm.evaluation.pipeline import find_run
    from plainfilm.evaluation.scoring import official_test
    from plainfilm.report import write_external_page, write_report
    from plainfilm.training import open_run

    read_bundle(args.model)  # before the images are listed, which may take a while
    data = [official_test(manifest) for manifest in load_each(args)]
    score = (
        partial(validate, args.model, data)
        if data
        else partial(evaluate, args.model, images=args.images)
    )
    with show_progress() as progress:
        found = score(
            out=args.out,
            robustness=not args.no_robustness,
            prevalence=args.prevalence,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    external = None if isinstance(found, Evaluation) else found
    evaluations = (found,) if isinstance(found, Evaluation) else found.evaluations
    document = None if external is None else external.document
    home = find_run(args.model)
    run = open_run(home) if home is not None else None
    for evaluation in evaluations:
        print_findings(evaluation.document, args.given)
        print(describe_evaluation(evaluation.document))
        page = write_report(evaluation, model=args.model, run=run, external=document)
        print(f"report: {shown(page)}")
    if document is not None and len(document.rows) > 1:
        print(describe_external(document))
    if external is not None and len(evaluations) > 1:
        print(f"side by side: {shown(write_external_page(external))}")
    return 0
