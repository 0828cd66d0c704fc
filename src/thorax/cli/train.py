"""Train a classifier, seal it, evaluate it on the test partition and write the report.

The same command continues an interrupted training, and does nothing twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax import __version__
from thorax.cli.sources import add_cache_arguments, add_source_arguments, load

if TYPE_CHECKING:
    from thorax.config import Recipe
    from thorax.data import Manifest

EXAMPLE = "thorax train chest_xray --recipe standard --out runs/first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``thorax train``."""
    add_source_arguments(parser)
    parser.add_argument(
        "--recipe",
        default="standard",
        metavar="NAME|FILE",
        help="tutorial, swift, standard, or a TOML file",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override the recipe, e.g. epochs=5 or limit=600; may be repeated",
    )
    parser.add_argument("--backend", help="tensorflow, jax or torch (default: KERAS_BACKEND)")
    parser.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE.csv",
        help="leave out the records that it lists (thorax audit writes one)",
    )
    parser.add_argument(
        "--no-evaluation", action="store_true", help="stop when the bundle is sealed"
    )
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``thorax train``."""
    from thorax.config import load_recipe
    from thorax.data import leave_out

    recipe = load_recipe(args.recipe, args.settings)  # a wrong setting is told at once
    manifest = load(args)
    if args.exclude:
        manifest = leave_out(manifest, args.exclude)
    train_and_report(
        manifest,
        args.out,
        recipe=recipe,
        seed=args.seed,
        backend=args.backend,
        cache=args.cache,
        workers=args.workers,
        with_evaluation=not args.no_evaluation,
    )
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
) -> None:
    """Do the main job and say where everything is."""
    from thorax.cli.describe import (
        describe_evaluation,
        describe_manifest,
        print_audit,
        print_findings,
    )
    from thorax.cli.terminal import quiet_stderr, show_progress, shown
    from thorax.training import choose_backend, use_backend
    from thorax.training import train as train_run

    choose_backend(backend)
    print(describe_manifest(manifest))
    with quiet_stderr():
        use_backend(backend)
        _wake_backend()
    with show_progress() as progress:
        made = train_run(
            manifest,
            out=out,
            recipe=recipe,
            seed=seed,
            backend=backend,
            cache=cache,
            workers=workers,
            on_audit=print_audit,
            progress=progress,
        )
    print_findings(made.manifest)
    print(f"bundle: {shown(made.bundle.folder)}  ({made.bundle.id[:12]})")
    if not with_evaluation:
        return
    if not any(record.partition == "test" for record in made.manifest.records):
        print("no test partition, so no evaluation")
        return
    from thorax.evaluation import evaluate
    from thorax.report import write_report

    done = _evaluated(made.folder / "evaluation", made.bundle.id)
    if done is not None:
        print(describe_evaluation(done))
        print(f"report: {shown(made.folder / 'evaluation' / 'report.html')}")
        return
    with show_progress() as progress:
        evaluation = evaluate(made.folder, cache=cache, workers=workers, progress=progress)
    print(describe_evaluation(evaluation.values))
    print(f"report: {shown(write_report(evaluation, model=made.folder, run=made))}")


def _evaluated(folder: Path, bundle: str) -> Mapping[str, Any] | None:
    """Return what an earlier call found for this bundle, if it also wrote the report."""
    from thorax import _files

    try:
        values: Mapping[str, Any] = _files.read_json(folder / "evaluation.json")
        same = values["bundle"]["id"] == bundle and values["thorax"] == __version__
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values if same and (folder / "report.html").is_file() else None


def _wake_backend() -> None:
    """Let the backend say what it has to say about this machine now."""
    import keras

    keras.ops.convert_to_numpy(keras.ops.zeros((1,)))
