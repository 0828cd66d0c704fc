"""Do the whole job once: train a quick classifier, evaluate it, write the report.

Without DATA on radiographs that plainfilm draws itself, which need no download.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load
from plainfilm.cli.train import train_and_report

if TYPE_CHECKING:
    from plainfilm.records import Finding

EXAMPLE = "plainfilm demo --out demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm demo``."""
    add_source_arguments(parser, nargs="*")
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="FOLDER", help="default: demo"
    )
    parser.add_argument("--recipe", default="swift", metavar="NAME|FILE", help="default: swift")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``plainfilm demo``."""
    from plainfilm.config import load_recipe
    from plainfilm.training import choose_backend

    # Before anything is drawn: without them there is no demo.
    recipe = load_recipe(args.recipe)
    choose_backend()
    if args.data:
        name = "run"
    else:
        args.data, name = [str(_drawn(args))], "phantom-run"
    manifest = load(args)
    if name == "phantom-run":
        manifest = manifest.with_findings([_drawn_finding(len(manifest))])
    train_and_report(
        manifest,
        args.out / name,
        recipe=recipe,
        seed=args.seed,
        cache=args.cache,
        workers=args.workers,
    )
    return 0


def _drawn(args: argparse.Namespace) -> Path:
    """Draw the embedded data set, unless it is there already."""
    from plainfilm import _files
    from plainfilm.cli.terminal import show_progress
    from plainfilm.phantom import write_dataset

    folder: Path = args.out / "phantom"
    done = args.out / "phantom.json"
    if not done.exists():
        _remove(folder)  # what an interrupted call left
        with show_progress() as progress:
            drawn = write_dataset(folder, seed=0, workers=args.workers, progress=progress)
        _files.write_json(done, {"schema": 1, "images": len(drawn), "seed": 0})
    return folder


def _drawn_finding(count: int) -> Finding:
    from plainfilm.records import Finding

    return Finding(
        check="drawn-images",
        severity="warning",
        problem="The images are drawn by plainfilm, not taken of people",
        count=count,
        consequence="how well a model does on them says nothing about a hospital",
        remedy="use them to try things out; train and evaluate on radiographs for anything else",
    )


def _remove(folder: Path) -> None:
    import shutil

    if folder.exists():
        shutil.rmtree(folder)
