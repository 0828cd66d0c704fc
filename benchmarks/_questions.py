"""The questions by which the published recipes were compared, in the official training folder.

A question has one part or several. Each part trains a recipe on some images of that folder and
tests it on others, of other patients:

- ``validation``: images of the same sources, split by patient as `plainfilm.make_splits` does.
- ``series``: trained on one series of normals and the bacterial pneumonias and tested on the other
  series and the viral pneumonias, and vice versa.
- ``styles``: images are grouped by acquisition style (`plainfilm.audit.styles`), never by label;
  each style is tested with a model that was trained on the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import Recipe
from plainfilm.data import Cache, Manifest, fill_cache, make_splits
from plainfilm.evaluation.robustness import enlarged
from plainfilm.runtime import Predictor
from plainfilm.search.questions import Part, group_by_style, part_without
from plainfilm.search.scoring import ScoredImages, load_images, score

QUESTIONS = ("validation", "series", "styles")

Floats = NDArray[np.float64]


def parts_of(manifest: Manifest, question: str, styles: int) -> Iterator[Part]:
    """Yield the parts of a question about images of the official training folder."""
    if question == "validation":
        split = make_splits(manifest, test=0)
        yield Part(question, "patients", split, split.select("validation"))
    elif question == "series":
        later = np.array([_later(identity) for identity in manifest.ids.tolist()])
        yield part_without(manifest, question, "NORMAL2 and viral", later)
        yield part_without(manifest, question, "IM and bacterial", ~later)
    else:
        kept, members = group_by_style(manifest, styles)
        for style in np.unique(members):
            yield part_without(kept, question, f"style {style}", members == style)


def _later(identity: str) -> bool:
    """Return whether an image is of the second series of normals or a viral pneumonia."""
    name = identity.rsplit("/", 1)[-1]
    return name.startswith("NORMAL2-") or "_virus_" in name


def official_training(manifest: Manifest) -> Manifest:
    """Return the official training records, without splits."""
    records = manifest.records.take(manifest.records.order())
    own = records.where(records.officials == "train").replace(split="", official="")
    return replace(manifest, records=own)


def decode(manifest: Manifest, recipe: Recipe) -> list[Cache]:
    """Decode all images that a recipe needs, so that parallel trainings find them in the cache."""
    crop = replace(recipe.input, size=recipe.augment.crop_from or recipe.input.size)
    return [fill_cache(manifest, spec) for spec in (recipe.input, crop, enlarged(recipe.input))]


def answer(recipe: Recipe, part: Part, seed: int, threads: int) -> dict[str, Any]:
    """Train and seal a recipe, and return its scores on the test images."""
    from plainfilm.training import train

    began, effort = time.perf_counter(), time.process_time()
    with TemporaryDirectory() as folder:
        run = train(part.training, out=Path(folder) / "run", recipe=recipe, seed=seed)
        effort = time.process_time() - effort
        predictor = Predictor(run.bundle, threads=threads)
        provenance = run.bundle.provenance
        images = load_images(part.test, run.bundle.pixels)
        found = score(predictor, images)
        return {
            "pairs": part.pairs,
            "scores": {"clean": found.clean, "mixed": found.mixed, "by kind": found.by_kind},
            "accuracy": accuracies(predictor, part.training.select("validation"), images),
            "training_images": provenance.train_images,
            "training_seconds": provenance.training_seconds,
            "cpu_seconds": round(effort, 1),
            "seconds": round(time.perf_counter() - began, 1),
        }


def accuracies(
    predictor: Predictor, validation: Manifest, images: ScoredImages
) -> dict[str, float]:
    """Return balanced accuracies of test images at thresholds of several rules."""
    from locking import balanced

    y_true = images.labels[:, 0].astype(np.float64)
    thresholds = thresholds_of(predictor, validation)
    found: dict[str, float] = {}
    for name, own in (("clean", images.clean), ("mixed", images.mixed)):
        y_prob = predictor.probabilities(own)[:, 0].astype(np.float64)
        for rule, threshold in thresholds.items():
            found[f"{name}, {rule}"] = balanced(y_true, y_prob, threshold)
    return found


def thresholds_of(predictor: Predictor, validation: Manifest) -> dict[str, float]:
    """Return the locked threshold and those of other rules, by name."""
    from locking import platt

    from plainfilm.training.thresholds import DRAWS, disturbed_images

    cache = fill_cache(validation, predictor.bundle.pixels)
    images = disturbed_images(cache.gather(cache.positions(validation.records)))
    y_true = np.tile(validation.label_array()[:, 0].astype(np.float64), 1 + DRAWS)
    y_prob = predictor.probabilities(images)[:, 0].astype(np.float64)
    points = predictor.bundle.operating_points
    locked = next(own.threshold for own in points if own.name == "balanced")
    return {"locked": locked, "Platt": platt(y_true, y_prob), "0.5": 0.5}
