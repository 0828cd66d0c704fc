"""Which of several recipes learns most that holds for other children? The test stays closed.

    python benchmarks/choosing.py --seeds 3 swift \
        "swift network.options.channels=[48,96] network.options.stem=2"

Each candidate is a recipe's name followed by settings. Validation that is drawn from the training
folder is saturated on the public set (AUROC 0.998), so candidates are asked two harder questions,
both within the official training folder: train on one series of normals and the bacterial
pneumonias and score the other series and the viral ones, and the other way round. Every image is
scored as it is, and under disturbances that leave the diagnosis alone (the third step of each kind
of `plainfilm.evaluation.disturbances`, inversion left out). Beside it, the speed of the training.

What it last showed is in docs/reference/performance.md. Needs the images of PLAINFILM_DATA
(``kermany224`` in it) and the extra ``train``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import Recipe, load_recipe
from plainfilm.data import Manifest, fill_cache, load_dataset
from plainfilm.evaluation.disturbances import DISTURBANCES
from plainfilm.metrics import roc_auc_score
from plainfilm.training import use_backend
from plainfilm.training.backend import choose_precision

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("inversion",)
STEP = 2  # plain to see, and leaves the diagnosis alone


def main() -> int:
    """Train each candidate on both questions, and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("candidates", nargs="+", metavar="'RECIPE [KEY=VALUE ...]'")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backend", default=None)
    args = parser.parse_args()
    data = Path(os.environ.get("PLAINFILM_DATA", ROOT.parent / "shared" / "data")) / "kermany224"
    if not data.is_dir():
        print(f"there are no images at {data}; set PLAINFILM_DATA", file=sys.stderr)
        return 1
    backend = use_backend(args.backend)
    manifest = load_dataset(data)
    print("| candidate | other series | disturbed | images/s | CPU ms an image |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for candidate in args.candidates:
        name, *settings = candidate.split()
        recipe = load_recipe(name, settings)
        rows = [
            ask(recipe, manifest, seed, turned, backend)
            for seed in range(args.seeds)
            for turned in (False, True)
        ]
        clean, disturbed, speed, effort = map(list, zip(*rows, strict=True))
        print(
            f"| {candidate} | {spread(clean, args.seeds)} | {spread(disturbed, args.seeds)} "
            f"| {max(speed):.0f} | {min(effort):.2f} |",
            flush=True,
        )
    return 0


def spread(values: list[float], seeds: int) -> str:
    """Return the mean over seeds and questions, with the sd over seeds of the two's mean."""
    each = [mean(values[at : at + 2]) for at in range(0, len(values), 2)]
    return f"{mean(each):.4f}" + (f" (sd {stdev(each):.4f})" if seeds > 1 else "")


def ask(
    recipe: Recipe, manifest: Manifest, seed: int, turned: bool, backend: str
) -> tuple[float, float, float, float]:
    """Return AUROC on the other series, the mean of it disturbed, images/s and CPU ms an image."""
    from plainfilm.training.feed import Feed
    from plainfilm.training.fit import fit
    from plainfilm.training.images import ValidationSet

    learnt, asked = (series(manifest, one) for one in (turned, not turned))
    images, truth = pictures(learnt, recipe)
    others, labels = pictures(asked, recipe)
    feed = Feed(
        lambda rows: images[rows], truth, recipe.augment, recipe.input.size, recipe.fit.batch, seed
    )
    epochs = max(recipe.fit.epochs, -(-recipe.fit.minimum_steps // feed.steps))
    few = np.arange(0, len(others), 20)  # what fit asks to watch; nothing is chosen by it
    with tempfile.TemporaryDirectory() as folder:
        effort = time.process_time()
        fitted = fit(
            recipe,
            manifest.task,
            feed,
            ValidationSet(others[few], labels[few], ["p"] * len(few)),
            Path(folder),
            precision=choose_precision(recipe.fit.precision, backend),
            seed=seed,
        )
        effort = time.process_time() - effort
    network = rebuilt(recipe, manifest, fitted.weights)
    rng = np.random.default_rng(0)
    kinds = [kind for kind in DISTURBANCES if kind.name not in LEFT_OUT]
    disturbed = [
        auroc(network, np.stack([k.apply(one, k.strengths[STEP], rng) for one in others]), labels)
        for k in kinds
    ]
    seen = epochs * feed.steps * feed.batch
    return (
        auroc(network, others, labels),
        mean(disturbed),
        seen / fitted.state.seconds,
        1000 * effort / seen,
    )


def series(manifest: Manifest, turned: bool) -> Manifest:
    """Return one series of normals with one kind of pneumonia, of the official training folder."""
    marks = ("NORMAL2-", "_virus_") if turned else ("IM-", "_bacteria_")
    chosen = [
        record
        for record in manifest.records
        if record.official == "train"
        and (record.id.rsplit("/", 1)[-1].startswith(marks[0]) or marks[1] in record.id)
    ]
    return replace(manifest, records=tuple(chosen))


def pictures(manifest: Manifest, recipe: Recipe) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return images (n, size, size) and labels (n, 1)."""
    cache = fill_cache(manifest, recipe.input)
    return cache.gather(cache.positions(manifest.ids)), manifest.label_array()


def rebuilt(recipe: Recipe, manifest: Manifest, weights: bytes) -> Any:
    """Return the trained network, in float32."""
    from plainfilm.models import build_network
    from plainfilm.training.networks import head_of, outputs_of
    from plainfilm.training.state import read_weights

    outputs = outputs_of(manifest.task, head_of(manifest.task, recipe.fit.loss))
    network = build_network(recipe.network.name, recipe.input.size, outputs, recipe.network.options)
    read_weights(weights, network.variables, "the weights")
    return network


def auroc(network: Any, images: NDArray[np.uint8], labels: NDArray[np.float32]) -> float:
    """Return the AUROC of the network's last logit."""
    from plainfilm.training.networks import predict_logits

    logits = predict_logits(network, images)
    return float(roc_auc_score(labels[:, 0], logits[:, -1]))


if __name__ == "__main__":
    sys.exit(main())
