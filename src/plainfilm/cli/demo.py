"""Run the whole workflow once: train a quick classifier, evaluate it, write the report.

Without DATA, it uses synthetic radiographs, which need no download.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load, options_of
from plainfilm.cli.train import train_and_report

if TYPE_CHECKING:
    from plainfilm.records import Finding

EXAMPLE = "plainfilm demo --out demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, nargs="*")
    add = options_of(parser)
    add("--out FOLDER", "folder for the output (default: demo)", type=Path, default=Path("demo"))
    add("--recipe NAME|FILE", "recipe (default: swift)", default="swift")
    add("--seed SEED", "seed of the training (default: 0)", type=int, default=0)
    add_cache_arguments(parser)
    parser.set_defaults(
        backend=None, ranks=1, rank=0, coordinator=None, no_evaluation=False, no_robustness=False
    )


def run(args: argparse.Namespace) -> int:
    from plainfilm.config import load_recipe
    from plainfilm.training import choose_backend

    # Before images are drawn: a wrong recipe or a missing backend is reported at once.
    recipe = load_recipe(args.recipe)
    choose_backend()
    if args.data:
        train_and_report(load(args), args.out / "run", recipe, args)
        return 0
    args.data = [str(_draw(args))]
    manifest = load(args)
    manifest = manifest.with_findings([_synthetic_finding(len(manifest))])
    train_and_report(manifest, args.out / "phantom-run", recipe, args)
    return 0


def _draw(args: argparse.Namespace) -> Path:
    """Draw the synthetic data set, unless it exists already."""
    import shutil

    from plainfilm import _files
    from plainfilm.cli.terminal import show_progress
    from plainfilm.phantom import write_dataset

    folder: Path = args.out / "phantom"
    done = args.out / "phantom.json"
    if not done.exists():
        if folder.exists():  # left by an interrupted call
            shutil.rmtree(folder)
        with show_progress() as progress:
            drawn = write_dataset(folder, seed=0, workers=args.workers, progress=progress)
        _files.write_json(done, {"schema": 1, "images": len(drawn), "seed": 0})
    return folder


def _synthetic_finding(count: int) -> Finding:
    from plainfilm.records import Finding

    return Finding(
        check="synthetic-images",
        severity="warning",
        problem="The images are synthetic: plainfilm drew them",
        count=count,
        consequence="performance on them says nothing about patients",
        remedy="use them to try the software; train and evaluate on radiographs for anything else",
    )
