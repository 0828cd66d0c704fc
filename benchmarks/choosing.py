"""Compares recipes within the official training folder, without the official test set.

    python benchmarks/choosing.py --seeds 3 swift \
        "swift network.options.channels=[48,96] network.options.stem=2"

A candidate is the name of a recipe, followed by settings. A validation set from the training folder
is too easy (AUROC 0.998), so each candidate is tested twice on harder images of that folder: it is
trained on one series of normals and the bacterial pneumonias and tested on the other series and the
viral pneumonias, and vice versa. Test images are used unchanged and with disturbances that keep the
diagnosis (the third step of each kind of `plainfilm.evaluation.disturbances` except inversion). The
table also has the speed of the training.

Results are in docs/reference/performance.md. Needs the images of PLAINFILM_DATA (with
``kermany224``) and the extra ``train``.
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
STEP = 2  # clearly visible, but keeps the diagnosis


def main() -> int:
    """Train each candidate in both directions, and print its row."""
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
    print("| candidate | AUROC on the other series | with disturbances | images/s | CPU ms/image |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for candidate in args.candidates:
        name, *settings = candidate.split()
        recipe = load_recipe(name, settings)
        rows = [
            measure(recipe, manifest, seed, swapped, backend)
            for seed in range(args.seeds)
            for swapped in (False, True)
        ]
        clean, disturbed, speed, effort = map(list, zip(*rows, strict=True))
        print(
            f"| {candidate} | {spread(clean, args.seeds)} | {spread(disturbed, args.seeds)} "
            f"| {max(speed):.0f} | {min(effort):.2f} |",
            flush=True,
        )
    return 0


def spread(values: list[float], seeds: int) -> str:
    """Return the mean over seeds and directions, and its standard deviation over seeds."""
    each = [mean(values[at : at + 2]) for at in range(0, len(values), 2)]
    return f"{mean(each):.4f}" + (f" (sd {stdev(each):.4f})" if seeds > 1 else "")


def measure(
    recipe: Recipe, manifest: Manifest, seed: int, swapped: bool, backend: str
) -> tuple[float, float, float, float]:
    """Return AUROC on the other series, its mean under disturbances, images/s and CPU ms/image."""
    from plainfilm.training.feed import Feed
    from plainfilm.training.fit import fit
    from plainfilm.training.training_images import ValidationSet

    training, test = (series(manifest, one) for one in (swapped, not swapped))
    images, y_true = load_images(training, recipe)
    others, labels = load_images(test, recipe)
    feed = Feed(
        lambda rows: images[rows], y_true, recipe.augment, recipe.input.size, recipe.fit.batch, seed
    )
    epochs = max(recipe.fit.epochs, -(-recipe.fit.minimum_steps // feed.steps))
    few = np.arange(0, len(others), 20)  # fit needs a validation set; nothing is selected on it
    with tempfile.TemporaryDirectory() as folder:
        effort = time.process_time()
        fitted = fit(
            recipe,
            manifest.task,
            feed,
            ValidationSet(others[few], labels[few], ["p"] * len(few)),
            Path(folder),
            precision=choose_precision(recipe.fit.precision, backend),
        )
        effort = time.process_time() - effort
    network = rebuild(recipe, manifest, fitted.weights)
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


def series(manifest: Manifest, swapped: bool) -> Manifest:
    """Return one series of normals and one kind of pneumonia from the official training folder."""
    marks = ("NORMAL2-", "_virus_") if swapped else ("IM-", "_bacteria_")
    chosen = [
        record
        for record in manifest.records
        if record.official == "train"
        and (record.id.rsplit("/", 1)[-1].startswith(marks[0]) or marks[1] in record.id)
    ]
    return replace(manifest, records=tuple(chosen))


def load_images(
    manifest: Manifest, recipe: Recipe
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return images (n, size, size) and labels (n, 1)."""
    cache = fill_cache(manifest, recipe.input)
    return cache.gather(cache.positions(manifest.ids)), manifest.label_array()


def rebuild(recipe: Recipe, manifest: Manifest, weights: bytes) -> Any:
    """Return the trained network in float32."""
    from plainfilm.models import build_network
    from plainfilm.training.networks import head_of, outputs_of
    from plainfilm.training.state import read_weights

    outputs = outputs_of(manifest.task, head_of(manifest.task, recipe.fit.loss))
    network = build_network(recipe.network.name, recipe.input.size, outputs, recipe.network.options)
    read_weights(weights, network.variables, "the weights")
    return network


def auroc(network: Any, images: NDArray[np.uint8], labels: NDArray[np.float32]) -> float:
    """Return the AUROC of the last logit of the network."""
    from plainfilm.training.networks import predict_logits

    logits = predict_logits(network, images)
    return float(roc_auc_score(labels[:, 0], logits[:, -1]))


if __name__ == "__main__":
    sys.exit(main())
