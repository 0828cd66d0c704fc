"""Measures which images a bundle rejects as unlike its training images.

    python benchmarks/rejection.py RUN [RUN ...]

RUN is a run on ``kermany224``
(``plainfilm train $PLAINFILM_DATA/kermany224 --recipe swift --out RUN``).
Needs the real images (``PLAINFILM_DATA``). For each group of images the table has the proportion
rejected at the sealed threshold, the median novelty, and the AUROC of novelty between the group and
the official test images. Neither the novelty score nor its threshold was selected on these groups;
the artificial groups (rotated, inverted, cropped, noise) were used during its design, made from
validation images.

Results are in docs/explanation/rejection.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import Manifest, fill_cache, load_dataset
from plainfilm.errors import ImageError
from plainfilm.metrics import roc_auc_score
from plainfilm.phantom import draw
from plainfilm.pixels import read_image
from plainfilm.records import PixelSpec
from plainfilm.runtime import Predictor
from plainfilm.training import Run, open_run

DATA = Path(os.environ.get("PLAINFILM_DATA", "../shared/data"))
Images = NDArray[np.uint8]


def decoded(manifest: Manifest, spec: PixelSpec) -> Images:
    """Return the images of a manifest."""
    return fill_cache(manifest, spec).all()


def listed(folder: Path, spec: PixelSpec) -> Images:
    """Return the images of all files in a folder that can be decoded."""
    images = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".csv":
            try:
                images.append(read_image(path, spec).pixels)
            except ImageError:
                continue
    return np.stack(images)


def kinds(folder: Path) -> dict[str, int]:
    """Count the kinds of images in the folder of other images."""
    with open(folder / "index.csv", newline="", encoding="utf-8") as file:
        rows = [Path(row["file"]).parts[0] for row in csv.DictReader(file)]
    return {kind: rows.count(kind) for kind in sorted(set(rows))}


def made(held: Images, size: int) -> dict[str, Images]:
    """Return images that could reach a model by mistake, made from validation images."""
    rng = np.random.default_rng(0)
    some, half = held[:100], size // 2
    cut = some[:, half // 2 : half // 2 + half, half // 2 : half // 2 + half]
    return {
        "artificial: inverted": 255 - some,
        "artificial: rotated by 90°": np.rot90(some, 1, (1, 2)).copy(),
        "artificial: upside down": some[:, ::-1].copy(),
        "artificial: middle quarter": np.kron(cut, np.ones((1, 2, 2))).astype(np.uint8),
        "artificial: noise": rng.integers(0, 256, (100, size, size)).astype(np.uint8),
        "artificial: uniform grey": np.repeat(rng.integers(0, 256, (100, 1, 1)), size, 1)
        .repeat(size, 2)
        .astype(np.uint8),
    }


def groups(run: Run) -> dict[str, Images]:
    """Return all groups of images, in the input size of the network."""
    spec = run.bundle.pixels
    held = decoded(run.manifest.select("validation"), spec)
    phantoms = [draw(np.random.default_rng([7, n]), size=spec.size) for n in range(100)]
    return {
        "kermany224, official test": decoded(run.manifest.select("test"), spec),
        "kermany224, validation": held,
        "external_dev (adults)": decoded(load_dataset(DATA / "external_dev"), spec),
        "dicom/chest": listed(DATA / "dicom" / "chest", spec),
        "other (photographs, documents, other body parts)": listed(DATA / "other", spec),
        "dicom/nonchest": listed(DATA / "dicom" / "nonchest", spec),
        "phantoms": np.stack(phantoms),
        **made(held, spec.size),
    }


def main() -> int:
    """Print a table for each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="+", metavar="RUN")
    folders: list[str] = parser.parse_args().folders
    if not DATA.is_dir():
        sys.exit(f"there are no images at {DATA}; set PLAINFILM_DATA")
    print(
        "kinds of other images: " + ", ".join(f"{n} {k}" for k, n in kinds(DATA / "other").items())
    )
    for folder in folders:
        run = open_run(folder)
        predictor, rejection = Predictor(run.bundle), run.bundle.rejection
        if rejection is None:
            print(f"{folder}: this bundle has no rejection threshold")
            continue
        found = groups(run)
        scores = {
            name: predictor.probabilities_and_novelty(images)[1] for name, images in found.items()
        }
        base = scores["kermany224, official test"]
        recipe = run.plan.identity.recipe.name
        print(f"\n{recipe}, seed {run.plan.identity.seed}: threshold {rejection.threshold:.3f}")
        print(f"{'group':50}{'images':>8}{'rejected':>10}{'median':>8}{'AUROC':>8}")
        for name, score in scores.items():
            assert score is not None and base is not None
            labels = np.r_[np.zeros(len(base)), np.ones(len(score))]
            area = roc_auc_score(labels, np.r_[base, score])
            share = float(np.mean(score >= rejection.threshold))
            median = float(np.median(score))
            print(f"{name:50}{len(score):8}{share:10.1%}{median:8.2f}{area:8.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
