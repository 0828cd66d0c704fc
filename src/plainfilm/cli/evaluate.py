"""Evaluate a run on its test set, a model on other data, or a table of predictions.

Each DATA is a separate data set; the report compares it with the run's validation and test sets.
With --predictions there is no model: a table has the scores, and it or DATA the ground truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.readers import (
    add_reader_arguments,
    check_readers,
    describe_readers,
    with_readers,
)
from plainfilm.cli.sources import (
    add_cache_arguments,
    add_source_arguments,
    load_each,
    options_of,
    source_options,
)

if TYPE_CHECKING:
    from plainfilm.evaluation import Evaluation

EXAMPLE = "plainfilm evaluate runs/first hospital_a hospital_b --out runs/first-external"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="RUN_OR_BUNDLE", nargs="?", help="folder of the model"
    )
    add_source_arguments(parser, "*", "; without DATA, where the images of the run are now")
    add = options_of(parser.add_argument_group("without a model"))
    words = "table with the scores of any classifier: id, label, score, patient, ..."
    add("--predictions TABLE", words, type=Path)
    add("--id-column COLUMN", "column of the table with the ids or file names")
    add("--scores COLUMN[,COLUMN...]", "columns of the scores, in the order of the labels")
    words = "predictions on validation images, to lock thresholds and temperature on"
    add("--validation TABLE", words, type=Path)
    words = "threshold, of one label or of all; repeatable"
    add("--threshold [LABEL=]X", words, action="append", default=[])
    add = options_of(parser)
    words = (
        "new folder, or that of the same evaluation (default: evaluation, in the run; of a table "
    )
    words += "evaluation-NAME, here)"
    add("--out FOLDER", words, type=Path)
    add("--no-robustness", "skip the evaluation on disturbed images")
    words = "also report PPV, NPV and calibration at this prevalence, e.g. 0.05"
    add("--prevalence SHARE", words, type=float)
    add_reader_arguments(parser)
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return _evaluate_model(args) if args.predictions is None else _evaluate_table(args)


def _evaluate_model(args: argparse.Namespace) -> int:
    from plainfilm.bundle import read_bundle
    from plainfilm.cli.describe import describe_external
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.errors import UsageError
    from plainfilm.evaluation import Evaluation, evaluate, validate
    from plainfilm.evaluation.pipeline import find_run
    from plainfilm.evaluation.scoring import official_test
    from plainfilm.report import write_external_page, write_report
    from plainfilm.training import open_run

    if args.model is None:
        raise UsageError(
            "there is nothing to evaluate",
            remedy="name a run or bundle, or give a table with --predictions",
        )
    if given := [
        name for name in ("id_column", "scores", "validation", "threshold") if getattr(args, name)
    ]:
        raise UsageError(
            "the thresholds of a bundle are locked in it",
            received=", ".join(f"--{name.replace('_', '-')}" for name in given),
            remedy="leave this out, or give a table with --predictions",
        )
    read_bundle(args.model)  # before the images are listed, which may take a while
    data = [official_test(manifest) for manifest in load_each(args)]
    check_readers(args, len(data))
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
    for evaluation in [with_readers(args, one) for one in evaluations]:
        _print(evaluation, args)
        page = write_report(evaluation, model=args.model, run=run, external=document)
        print(f"report: {shown(page)}")
    if document is not None and len(document.rows) > 1:
        print(describe_external(document))
    if external is not None and len(evaluations) > 1:
        print(f"side by side: {shown(write_external_page(external))}")
    return 0


def _evaluate_table(args: argparse.Namespace) -> int:
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.errors import UsageError
    from plainfilm.evaluation import evaluate_predictions
    from plainfilm.report import write_report

    if args.model and any((args.model / name).is_file() for name in ("plan.json", "bundle.json")):
        raise UsageError(
            "--predictions takes no model: the table has its scores",
            received=args.model,
            remedy="leave one of them out",
        )
    roots = [*([args.model] if args.model else []), *args.data]
    check_readers(args, 1)
    with show_progress() as progress:
        found = evaluate_predictions(
            args.predictions,
            roots or None,
            validation=args.validation,
            thresholds=_thresholds(args.threshold),
            id_column=args.id_column,
            scores=args.scores.split(",") if args.scores else None,
            out=args.out,
            prevalence=args.prevalence,
            progress=progress,
            **source_options(args),
        )
    found = with_readers(args, found)
    _print(found, args)
    print(f"report: {shown(write_report(found))}")
    return 0


def _print(evaluation: Evaluation, args: argparse.Namespace) -> None:
    from plainfilm.cli.describe import describe_evaluation, print_findings

    print_findings(evaluation.document, args.given)
    print(describe_evaluation(evaluation.document))
    if evaluation.document.readers is not None:
        print("\n".join(describe_readers(evaluation.document.readers)))


def _thresholds(texts: Sequence[str]) -> dict[str, float]:
    from plainfilm.errors import UsageError

    found: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        name = name.strip() if equals else "*"
        if name in found:
            raise UsageError("two thresholds are given for one label", received=", ".join(texts))
        try:
            found[name] = float(number)
        except ValueError:
            raise UsageError(
                "a threshold has the form LABEL=NUMBER", received=text, remedy="e.g. 0.5"
            ) from None
    return found
