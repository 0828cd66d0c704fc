"""Search for the best settings of one or more recipes, without the test set.

Each trial is trained with several seeds and tested on images of other patients, unchanged and
disturbed. The three best are trained again with fresh seeds, and of those that do not differ
by more than the spread over seeds, the cheapest is chosen. The same command continues an
interrupted search; several processes may run it at once. More --trials extend it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import (
    add_cache_arguments,
    add_source_arguments,
    load,
    options_of,
    worker_count,
)

if TYPE_CHECKING:
    from plainfilm.search.document import SearchDocument, Stage, TrialResult

EXAMPLE = (
    "plainfilm search chest_xray --recipe swift --over fit.learning_rate=1e-3..3e-2 --out search"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = options_of(parser)
    words = "recipe or TOML file to begin with (default: standard); repeatable"
    add("--recipe NAME|FILE", words, action="append", dest="recipes")
    words = (
        "setting that varies, e.g. fit.learning_rate=1e-3..3e-2 or fit.epochs=3,6,9; with RECIPE: "
        "in front for one recipe only; repeatable"
    )
    add("--over KEY=VALUES", words, action="append", default=[])
    words = "setting of all trials, e.g. fit.epochs=5; repeatable"
    add("--set KEY=VALUE", words, dest="settings", action="append", default=[])
    add("--out FOLDER", "folder of the search", type=Path, required=True)
    add("--trials N", "number of trials (default: 20)", type=int, default=20)
    add("--seeds K", "trainings of a trial, each on another fold (default: 2)", type=int, default=2)
    add("--folds K", "number of folds by patient (default: 5)", type=int, default=5)
    words = (
        "test on one group and train on the others, for each group of a column or of "
        "acquisition styles"
    )
    add("--shift COLUMN|styles", words)
    words = "seed of the proposals, and first seed of the trainings (default: 0)"
    add("--seed SEED", words, type=int, default=0)
    words = "processes that run trials (default: 1; with --on ray=HOST:PORT one on each node)"
    add("--parallel N", words, type=worker_count)
    add("--on ENGINE", "where trials run: local (default), ray, or ray=HOST:PORT", default="local")
    add("--backend BACKEND", "tensorflow, jax or torch (default: KERAS_BACKEND)")
    add("--exclude FILE.csv", "leave out the records in this list", type=Path)
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from plainfilm.cli.describe import describe_manifest, print_findings
    from plainfilm.cli.terminal import show_progress, shown, silence_libraries
    from plainfilm.data import leave_out, require_positive
    from plainfilm.search import search, write_search_page
    from plainfilm.search.pipeline import BEST_RECIPE
    from plainfilm.search.space import make_space

    recipes = args.recipes or ["standard"]
    make_space(recipes, args.settings, args.over)  # a wrong setting is reported at once
    manifest = load(args)
    require_positive(manifest)
    if args.exclude:
        manifest = leave_out(manifest, args.exclude)
    print(describe_manifest(manifest))
    print_findings(manifest, args.given)

    def on_trial(stage: Stage, result: TrialResult) -> None:
        print(describe_trial(stage, result), flush=True)

    with silence_libraries() as until, show_progress() as progress:
        document = search(
            manifest,
            out=args.out,
            recipe=recipes,
            over=args.over,
            settings=args.settings,
            trials=args.trials,
            seeds=args.seeds,
            folds=args.folds,
            shift=args.shift,
            seed=args.seed,
            parallel=args.parallel,
            on=args.on,
            backend=args.backend,
            cache=args.cache,
            workers=args.workers,
            on_trial=on_trial,
            progress=until("training", progress),
        )
    print("\n".join(describe_search(document)))
    print(f"recipe: {shown(args.out / BEST_RECIPE)}")
    print(f"report: {shown(write_search_page(document, args.out))}")
    return 0


def describe_trial(stage: Stage, result: TrialResult) -> str:
    """Return the line about a trial that has finished."""
    what = f"{'again: ' if stage == 'confirmation' else ''}trial {result.number}"
    if result.problem:
        return f"{what} failed: {result.problem}  ({result.name})"
    scores = f"clean {result.mean('clean'):.4f}, mixed {result.mean('mixed'):.4f}, "
    scores += f"by kind {result.mean('by_kind'):.4f}"
    return f"{what}: {scores}; {result.seconds:.1f} s a training  ({result.name})"


def describe_search(document: SearchDocument) -> list[str]:
    """Return the lines about a search, the conclusion first."""
    from plainfilm.search.choose import optimistic_words
    from plainfilm.search.document import SCORE_NAMES, held_out_words

    choice, plan = document.choice, document.plan
    assert choice is not None
    chosen = document.trial(choice.trial)
    score = SCORE_NAMES[plan.objective]
    return [
        f"chosen: trial {choice.trial} of {len(document.trials)}  ({chosen.name})",
        f"why: {choice.reason}",
        f"AUROC ({score}) with fresh seeds: {choice.fresh_score:.4f} (sd "
        f"{choice.fresh_spread:.4f}); in the search: {choice.search_score:.4f}"
        f"{optimistic_words(document)}",
        held_out_words(plan),
    ]
