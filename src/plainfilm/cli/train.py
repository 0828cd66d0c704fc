"""Train a classifier, seal it, evaluate it on the test set and write the report.

The same command continues an interrupted training and repeats nothing that is finished.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainfilm.cli.several_trainings import check_numbers, check_ranks
from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load, options_of

if TYPE_CHECKING:
    from plainfilm.config import Recipe
    from plainfilm.data import Manifest
    from plainfilm.evaluation import EvaluationDocument
    from plainfilm.training import Run

EXAMPLE = "plainfilm train chest_xray --recipe standard --out runs/first"
RECIPES = ("tutorial", "swift", "standard", "probe", "finetune", "distil")
"""What `plainfilm.config.recipe_names` returns, without its imports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = options_of(parser)
    words = f"{', '.join(RECIPES)} or a TOML file (default: standard)"
    add("--recipe NAME|FILE", words, default="standard")
    add("--out RUN", "folder of the run", type=Path, required=True)
    words = "seed for initialisation, shuffling and augmentation (default: 0)"
    add("--seed SEED", words, type=int, default=0)
    words = "train with K seeds, starting at --seed, and report the variation"
    add("--seeds K", words, type=int, default=1)
    words = "cross-validate with K folds by patient, or those of a column 'fold'"
    add("--folds K", words, type=int)
    add("--ensemble", "with --seeds or --folds: also seal an ensemble of all runs")
    words = "override a setting of the recipe, e.g. epochs=5 or limit=600; repeatable"
    add("--set KEY=VALUE", words, dest="settings", action="append", default=[])
    words = "bundle or run that the network also learns from, as with the recipe distil"
    add("--teacher BUNDLE", words, type=Path)
    add("--backend BACKEND", "tensorflow, jax or torch (default: KERAS_BACKEND)")
    words = "train on N processes together, with --backend jax (default: 1)"
    add("--ranks N", words, type=int, default=1)
    words = "address of rank 0 if the ranks are on several machines"
    add("--coordinator HOST:PORT", words)
    words = "with --coordinator: the rank of this machine, from 0 to N - 1; rank 0 writes the run"
    add("--rank K", words, type=int)
    words = "leave out the records in this list, such as plainfilm audit --exclude writes"
    add("--exclude FILE.csv", words, type=Path)
    add("--no-evaluation", "stop after sealing the bundle")
    add("--no-robustness", "skip the evaluation on disturbed images")
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from plainfilm.config import load_recipe
    from plainfilm.data import leave_out, require_positive

    settings = [*args.settings]
    if args.teacher is not None:
        settings.append(f"distil.teacher={json.dumps(str(args.teacher), ensure_ascii=False)}")
    recipe = load_recipe(args.recipe, settings)  # a wrong setting is reported at once
    check_numbers(args)
    check_ranks(args)
    lost = [path for path in args.data if not Path(path).exists()]
    if lost and (args.out / "plan.json").is_file():
        return _report_lost(args.out, lost[0])
    manifest = load(args)
    require_positive(manifest)
    if args.exclude:
        manifest = leave_out(manifest, args.exclude)
    if args.rank:
        _join(manifest, recipe, args)
    elif args.folds is not None:
        _train_folds(manifest, recipe, args)
    elif args.seeds > 1:
        _train_seeds(manifest, recipe, args)
    else:
        train_and_report(manifest, args.out, recipe, args)
    return 0


def _join(manifest: Manifest, recipe: Recipe, args: argparse.Namespace) -> None:
    """Train one rank; that of another machine writes the run."""
    from plainfilm.training import join_training

    if (args.out / "bundle" / "SHA256SUMS").exists():
        print("the run is finished")
        return
    with _training(manifest, recipe, args) as options:
        del options["on_audit"]
        join_training(manifest, rank=args.rank, **options)
    print(f"rank {args.rank} is finished; rank 0 seals the bundle and writes the run")


def _report_lost(folder: Path, data: str) -> int:
    """Report that the images of a run are gone: a finished run does not need them."""
    from plainfilm.cli.terminal import shown
    from plainfilm.errors import SourceError
    from plainfilm.training import open_run

    if not (folder / "bundle" / "SHA256SUMS").exists():
        raise SourceError(
            f"the images of the unfinished run {folder} are not where they were",
            received=data,
            remedy="give the folder or table where they are now; the run continues if they are "
            "the same",
        )
    print(f"the run is finished; its images are no longer at {data} and are not needed")
    print(_sealed(open_run(folder)))
    page = folder / "evaluation" / "report.html"
    if page.exists():
        print(f"report: {shown(page)}")
    else:
        print(f"to evaluate it: plainfilm evaluate {folder} --images FOLDER")
    return 0


def train_and_report(
    manifest: Manifest, out: Path, recipe: Recipe, args: argparse.Namespace
) -> None:
    """Train, evaluate, write the report and print where the results are."""
    from plainfilm.cli.describe import describe_evaluation, print_findings
    from plainfilm.cli.terminal import shown
    from plainfilm.training import train

    with _training(manifest, recipe, args) as options:
        made = train(manifest, out=out, **options)
    print_findings(made.manifest, args.given, before=manifest)
    print(_sealed(made))
    if args.no_evaluation:
        return
    document = _evaluate(made, args)
    if document is None:
        print("there is no test set, so there is no evaluation")
        return
    print(describe_evaluation(document))
    print(f"report: {shown(made.folder / 'evaluation' / 'report.html')}")


def _train_folds(manifest: Manifest, recipe: Recipe, args: argparse.Namespace) -> None:
    """Train and evaluate the model of each fold, and seal the ensemble if requested."""
    from plainfilm.cli.describe import print_findings
    from plainfilm.cli.describe_several import describe_folds
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.evaluation import evaluate_folds
    from plainfilm.report import write_report
    from plainfilm.training import train_folds
    from plainfilm.training.ensemble import seal_fold_ensemble

    def on_run(made: Run) -> None:
        print(f"{made.folder.name}: {_sealed(made)}")

    with _training(manifest, recipe, args) as options:
        trained = train_folds(manifest, out=args.out, folds=args.folds, on_run=on_run, **options)
    print_findings(trained.folds.manifest, args.given, before=manifest)
    shared = {"cache": args.cache, "workers": args.workers}
    if args.ensemble:
        with show_progress() as progress:
            together = seal_fold_ensemble(
                trained, args.out / "ensemble", progress=progress, **shared
            )
        print(f"ensemble: {_sealed(together)}")
    if args.no_evaluation:
        return
    with show_progress() as progress:
        found = evaluate_folds(trained, progress=progress, **shared)
    print(describe_folds(found.document))
    page = found.evaluation.folder / "report.html"
    print(f"report: {shown(page if page.is_file() else write_report(found.evaluation))}")


def _train_seeds(manifest: Manifest, recipe: Recipe, args: argparse.Namespace) -> None:
    """Train with several seeds, report the variation, and seal the ensemble if requested."""
    from plainfilm.cli.describe import print_findings
    from plainfilm.cli.describe_several import describe_variation
    from plainfilm.cli.terminal import shown
    from plainfilm.evaluation import write_seed_variation
    from plainfilm.report import rewrite_report
    from plainfilm.training import train_seeds

    def on_run(made: Run) -> None:
        print(f"seed {made.plan.identity.seed}: {_sealed(made)}")

    with _training(manifest, recipe, args) as options:
        runs = train_seeds(manifest, out=args.out, seeds=args.seeds, on_run=on_run, **options)
    print_findings(runs[0].manifest, args.given, before=manifest)
    together = _ensemble(runs, args) if args.ensemble else None
    if args.no_evaluation:
        return
    found = [(made, _evaluate(made, args)) for made in runs]
    known = [(made, document) for made, document in found if document is not None]
    if not known:
        print("there is no test set, so there is no evaluation")
        return
    own = None if together is None else _evaluate(together, args)
    several = None if together is None or own is None else (together, own)
    print(describe_variation(write_seed_variation(args.out, known, several)))
    for made in (*runs, *([together] if together is not None else [])):
        # Each report shows the variation across seeds, which is known only now.
        print(f"report: {shown(rewrite_report(made.folder))}")


def _ensemble(runs: tuple[Run, ...], args: argparse.Namespace) -> Run:
    from plainfilm.cli.terminal import show_progress
    from plainfilm.training.ensemble import seal_ensemble

    with show_progress() as progress:
        together = seal_ensemble(
            runs, args.out / "ensemble", cache=args.cache, workers=args.workers, progress=progress
        )
    print(f"ensemble: {_sealed(together)}")
    return together


@contextlib.contextmanager
def _training(
    manifest: Manifest, recipe: Recipe, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Print the counts of the data set, and yield the arguments of a training with progress."""
    from plainfilm.cli.describe import describe_manifest, print_audit, print_findings
    from plainfilm.cli.terminal import show_progress, silence_libraries
    from plainfilm.training import choose_trainer
    from plainfilm.training.startup import skip_when_importing

    skip_when_importing("matplotlib")
    with silence_libraries():  # weights of Keras are loaded, which imports the backend
        # An error is reported before anything is printed.
        here = None if args.rank else args.coordinator  # where only rank 0 listens
        choose_trainer(recipe, args.backend, args.ranks, here)
    print(describe_manifest(manifest))
    print_findings(manifest, args.given)
    with silence_libraries() as until, show_progress() as progress:
        yield {
            "recipe": recipe,
            "seed": args.seed,
            "backend": args.backend,
            "ranks": args.ranks,
            **({} if args.coordinator is None else {"coordinator": args.coordinator}),
            "cache": args.cache,
            "workers": args.workers,
            "on_audit": partial(print_audit, given=args.given),
            "progress": until("training", progress),
        }


def _sealed(made: Run) -> str:
    from plainfilm.cli.terminal import shown

    return f"bundle: {shown(made.bundle.folder)}  ({made.bundle.id[:12]})"


def _evaluate(made: Run, args: argparse.Namespace) -> EvaluationDocument | None:
    """Evaluate a run and write its report unless both exist; None without a test set."""
    from plainfilm.cli.terminal import show_progress
    from plainfilm.evaluation import evaluate
    from plainfilm.evaluation.external import stored_evaluation
    from plainfilm.report import write_report

    if "test" not in made.manifest.splits:
        return None
    folder = made.folder / "evaluation"
    done = stored_evaluation(folder / "evaluation.json", made.bundle)
    if done is not None and (folder / "report.html").is_file():
        return done
    with show_progress() as progress:
        evaluation = evaluate(
            made.folder,
            robustness=not args.no_robustness,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    write_report(evaluation, model=made.folder, run=made)
    return evaluation.document
