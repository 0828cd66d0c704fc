"""Train a classifier, seal it, evaluate it on the test set and write the report.

The same command continues an interrupted training and repeats nothing that is finished.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm import __version__
from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load

if TYPE_CHECKING:
    from plainfilm.config import Recipe
    from plainfilm.data import Manifest
    from plainfilm.evaluation import EvaluationDocument
    from plainfilm.training import Run

EXAMPLE = "plainfilm train chest_xray --recipe standard --out runs/first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm train``."""
    add_source_arguments(parser)
    parser.add_argument(
        "--recipe",
        default="standard",
        metavar="NAME|FILE",
        help="tutorial, swift, standard or a TOML file (default: standard)",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed for initialisation, shuffling and augmentation (default: 0)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="K",
        help="train with K seeds, starting at --seed, and report the variation",
    )
    parser.add_argument(
        "--ensemble", action="store_true", help="with --seeds: also seal an ensemble of all runs"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting of the recipe, e.g. epochs=5 or limit=600; repeatable",
    )
    parser.add_argument("--backend", help="tensorflow, jax or torch (default: KERAS_BACKEND)")
    parser.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE.csv",
        help="leave out the records in this list, such as plainfilm audit --exclude writes",
    )
    parser.add_argument(
        "--no-evaluation", action="store_true", help="stop after sealing the bundle"
    )
    parser.add_argument(
        "--no-robustness", action="store_true", help="skip the evaluation on disturbed images"
    )
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``plainfilm train``."""
    from plainfilm.config import load_recipe
    from plainfilm.data import leave_out
    from plainfilm.errors import UsageError

    recipe = load_recipe(args.recipe, args.settings)  # a wrong setting is reported at once
    if args.seeds < 1 or (args.ensemble and args.seeds < 2):
        raise UsageError(
            "an ensemble needs at least 2 seeds" if args.ensemble else "--seeds must be at least 1",
            received=f"--seeds {args.seeds}",
            remedy="give --seeds 2 or more",
        )
    manifest = load(args)
    if args.exclude:
        manifest = leave_out(manifest, args.exclude)
    if args.seeds == 1:
        train_and_report(
            manifest,
            args.out,
            recipe=recipe,
            seed=args.seed,
            backend=args.backend,
            cache=args.cache,
            workers=args.workers,
            with_evaluation=not args.no_evaluation,
            robustness=not args.no_robustness,
            given=args.given,
        )
    else:
        _train_several(manifest, recipe, args)
    return 0


def train_and_report(
    manifest: Manifest,
    out: Path,
    *,
    recipe: Recipe,
    seed: int,
    backend: str | None = None,
    cache: str | None = None,
    workers: int | None = None,
    with_evaluation: bool = True,
    robustness: bool = True,
    given: frozenset[str] = frozenset(),
) -> None:
    """Train, evaluate, write the report and print where the results are."""
    from plainfilm.cli.describe import describe_evaluation, print_audit, print_findings
    from plainfilm.cli.terminal import show_progress, shown, silence_libraries
    from plainfilm.training import train as train_run

    _begin(manifest, backend)
    with silence_libraries() as until, show_progress() as progress:
        made = train_run(
            manifest,
            out=out,
            recipe=recipe,
            seed=seed,
            backend=backend,
            cache=cache,
            workers=workers,
            on_audit=partial(print_audit, given=given),
            progress=until("training", progress),
        )
    print_findings(made.manifest, given)
    print(_sealed(made))
    if not with_evaluation:
        return
    document = _evaluate(made, cache, workers, robustness)
    if document is None:
        print("there is no test set, so there is no evaluation")
        return
    print(describe_evaluation(document))
    print(f"report: {shown(made.folder / 'evaluation' / 'report.html')}")


def _train_several(manifest: Manifest, recipe: Recipe, args: argparse.Namespace) -> None:
    """Train with several seeds, report the variation, and seal the ensemble if requested."""
    from plainfilm.cli.describe import describe_variation, print_audit, print_findings
    from plainfilm.cli.terminal import show_progress, shown, silence_libraries
    from plainfilm.evaluation import write_seed_variation
    from plainfilm.report import rewrite_report
    from plainfilm.training import train_seeds

    _begin(manifest, args.backend)
    with silence_libraries() as until, show_progress() as progress:
        runs = train_seeds(
            manifest,
            out=args.out,
            seeds=args.seeds,
            recipe=recipe,
            seed=args.seed,
            backend=args.backend,
            cache=args.cache,
            workers=args.workers,
            on_audit=partial(print_audit, given=args.given),
            on_run=lambda made: print(f"seed {made.plan.identity.seed}: {_sealed(made)}"),
            progress=until("training", progress),
        )
    print_findings(runs[0].manifest, args.given)
    together = _ensemble(runs, args) if args.ensemble else None
    if args.no_evaluation:
        return
    found = [
        (made, _evaluate(made, args.cache, args.workers, not args.no_robustness)) for made in runs
    ]
    known = [(made, document) for made, document in found if document is not None]
    if not known:
        print("there is no test set, so there is no evaluation")
        return
    own = (
        None
        if together is None
        else _evaluate(together, args.cache, args.workers, not args.no_robustness)
    )
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
            runs,
            args.out / "ensemble",
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    print(f"ensemble: {_sealed(together)}")
    return together


def _begin(manifest: Manifest, backend: str | None) -> None:
    """Print the counts of the data set, once a backend is known to exist."""
    from plainfilm.cli.describe import describe_manifest
    from plainfilm.training import choose_backend
    from plainfilm.training.startup import skip_when_importing

    skip_when_importing("matplotlib")
    choose_backend(backend)
    print(describe_manifest(manifest))


def _sealed(made: Run) -> str:
    from plainfilm.cli.terminal import shown

    return f"bundle: {shown(made.bundle.folder)}  ({made.bundle.id[:12]})"


def _evaluate(
    made: Run, cache: str | None, workers: int | None, robustness: bool
) -> EvaluationDocument | None:
    """Evaluate a run and write its report unless both exist; None without a test set."""
    from plainfilm.cli.terminal import show_progress
    from plainfilm.evaluation import evaluate
    from plainfilm.report import write_report

    if not any(record.split == "test" for record in made.manifest.records):
        return None
    done = _evaluated(made.folder / "evaluation", made.bundle.id)
    if done is not None:
        return done
    with show_progress() as progress:
        evaluation = evaluate(
            made.folder, robustness=robustness, cache=cache, workers=workers, progress=progress
        )
    write_report(evaluation, model=made.folder, run=made)
    return evaluation.document


def _evaluated(folder: Path, bundle: str) -> EvaluationDocument | None:
    """Return the evaluation of an earlier call for this bundle, if it also wrote the report."""
    from plainfilm.errors import RunError
    from plainfilm.evaluation import EvaluationDocument

    try:
        document = EvaluationDocument.read(folder / "evaluation.json")
    except RunError:
        return None
    same = document.bundle.id == bundle and document.version == __version__
    return document if same and (folder / "report.html").is_file() else None
