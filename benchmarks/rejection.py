"""What does a bundle reject as not like what it was trained on?

    python benchmarks/rejection.py RUN [RUN ...]

RUN is a run on ``kermany224``
(``plainfilm train $PLAINFILM_DATA/kermany224 --recipe swift --out RUN``).
Needs the real images (``PLAINFILM_DATA``). For each group of images: how many are rejected at the
sealed threshold, the median novelty, and how well novelty tells the group from the official test
images (AUROC). Neither the score nor its threshold was chosen by any of these groups; the made
ones (turned, inverted, cut, noise) were looked at while the score was designed, on validation.

Last shown: docs/explanation/rejection.md.
"""

from __future__ import annotations

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
    """Return every file of a folder that becomes an image."""
    images = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".csv":
            try:
                images.append(read_image(path, spec).pixels)
            except ImageError:
                continue
    return np.stack(images)


def kinds(folder: Path) -> dict[str, int]:
    """Count what the folder of other images holds."""
    with open(folder / "index.csv", newline="", encoding="utf-8") as file:
        rows = [Path(row["file"]).parts[0] for row in csv.DictReader(file)]
    return {kind: rows.count(kind) for kind in sorted(set(rows))}


def made(held: Images, size: int) -> dict[str, Images]:
    """Return what could reach a model by mistake, made out of validation images."""
    rng = np.random.default_rng(0)
    some, half = held[:100], size // 2
    cut = some[:, half // 2 : half // 2 + half, half // 2 : half // 2 + half]
    return {
        "made: inverted": 255 - some,
        "made: lying on the side": np.rot90(some, 1, (1, 2)).copy(),
        "made: upside down": some[:, ::-1].copy(),
        "made: the middle quarter": np.kron(cut, np.ones((1, 2, 2))).astype(np.uint8),
        "made: noise": rng.integers(0, 256, (100, size, size)).astype(np.uint8),
        "made: one grey": np.repeat(rng.integers(0, 256, (100, 1, 1)), size, 1)
        .repeat(size, 2)
        .astype(np.uint8),
    }


def groups(run: Run) -> dict[str, Images]:
    """Return every group of images, as the network sees them."""
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


def main(folders: list[str]) -> int:
    if not folders or not DATA.is_dir():
        print(__doc__)
        return 2
    print("other holds: " + ", ".join(f"{n} {k}" for k, n in kinds(DATA / "other").items()))
    for folder in folders:
        run = open_run(folder)
        predictor, rejection = Predictor(run.bundle), run.bundle.rejection
        if rejection is None:
            print(f"{folder}: this bundle cannot tell")
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
    sys.exit(main(sys.argv[1:]))
