"""The questions by which recipes are compared, all within the official training folder.

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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.styles import cluster_styles, describe_styles
from plainfilm.config import Recipe
from plainfilm.data import Cache, Manifest, fill_cache, make_splits
from plainfilm.evaluation.disturbances import DISTURBANCES
from plainfilm.evaluation.robustness import _disturb, _enlarged
from plainfilm.metrics import roc_auc_score, stratified_auroc
from plainfilm.records import PixelSpec, Record
from plainfilm.runtime import Predictor

QUESTIONS = ("validation", "series", "styles")
STEP = 2  # clearly visible, but keeps the diagnosis
KINDS = tuple(kind for kind in DISTURBANCES if kind.name != "inversion")
_STYLE_SIDE = 128
_LEAST = 0.005  # of all images; a style with fewer images of a class joins the nearest

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a question: images with splits to train on, and images to test on."""

    question: str
    name: str
    training: Manifest
    test: Manifest

    @property
    def pairs(self) -> int:
        """Return the number of pairs of a positive and a negative test image."""
        positive = self.test.label_array()[:, 0] == 1
        return int(positive.sum() * (~positive).sum())


def parts_of(manifest: Manifest, question: str, styles: int) -> Iterator[Part]:
    """Yield the parts of a question about images of the official training folder."""
    records = manifest.records
    if question == "validation":
        split = make_splits(manifest, test=0)
        yield Part(question, "patients", split, split.select("validation"))
    elif question == "series":
        for name, swapped in (("NORMAL2 and viral", False), ("IM and bacterial", True)):
            yield _part(manifest, question, name, [r for r in records if _later(r) != swapped])
    else:
        members = group_by_style(manifest, styles)
        for style in np.unique(members):
            inside = [r for r, own in zip(records, members, strict=True) if own == style]
            yield _part(manifest, question, f"style {style}", inside)


def _part(manifest: Manifest, question: str, name: str, test: list[Record]) -> Part:
    """Return the part that tests on some records and trains on the other patients."""
    held = {record.patient for record in test}
    others = tuple(record for record in manifest.records if record.patient not in held)
    split = make_splits(replace(manifest, records=others), test=0)
    return Part(question, name, split, replace(manifest, records=tuple(test)))


def _later(record: Record) -> bool:
    """Return whether an image is of the second series of normals or a viral pneumonia."""
    name = record.id.rsplit("/", 1)[-1]
    return name.startswith("NORMAL2-") or "_virus_" in name


def official_training(manifest: Manifest) -> Manifest:
    """Return the official training records, without splits."""
    own = [
        replace(record, split=None, official=None)
        for record in sorted(manifest.records, key=lambda record: record.id)
        if record.official == "train"
    ]
    return replace(manifest, records=tuple(own))


def group_by_style(manifest: Manifest, count: int) -> NDArray[np.intp]:
    """Return the number of each image's style; small styles join the nearest one."""
    features = describe_styles(load_images(manifest, PixelSpec(_STYLE_SIDE, "squash")))
    styles = cluster_styles(features, count)
    members, centres = styles.members.copy(), styles.centres
    positive = manifest.label_array()[:, 0] == 1
    while len(np.unique(members)) > 1:
        numbers = np.unique(members)
        rarest = [
            min((members[positive] == n).sum(), (members[~positive] == n).sum()) for n in numbers
        ]
        if min(rarest) >= _LEAST * len(members):
            break
        small = numbers[np.argmin(rarest)]
        others = numbers[numbers != small]
        distances = ((centres[others] - centres[small]) ** 2).sum(axis=1)
        members[members == small] = others[distances.argmin()]
    return members


def load_images(manifest: Manifest, spec: PixelSpec) -> NDArray[np.uint8]:
    """Return images (n, size, size)."""
    cache = fill_cache(manifest, spec)
    return cache.gather(cache.positions(manifest.ids))


def decode(manifest: Manifest, recipe: Recipe) -> list[Cache]:
    """Decode all images that a recipe needs, so that parallel trainings find them in the cache."""
    crop = replace(recipe.input, size=recipe.augment.crop_from or recipe.input.size)
    return [fill_cache(manifest, spec) for spec in (recipe.input, crop, _enlarged(recipe.input))]


def answer(recipe: Recipe, part: Part, seed: int, threads: int) -> dict[str, Any]:
    """Train and seal a recipe, and return its scores on the test images."""
    from plainfilm.training import train

    began, effort = time.perf_counter(), time.process_time()
    with TemporaryDirectory() as folder:
        run = train(part.training, out=Path(folder) / "run", recipe=recipe, seed=seed)
        effort = time.process_time() - effort
        predictor = Predictor(run.bundle, threads=threads)
        provenance = run.bundle.provenance
        scores, accuracy = score(predictor, part.training.select("validation"), part.test)
        return {
            "pairs": part.pairs,
            "scores": scores,
            "accuracy": accuracy,
            "training_images": provenance.train_images,
            "training_seconds": provenance.training_seconds,
            "cpu_seconds": round(effort, 1),
            "seconds": round(time.perf_counter() - began, 1),
        }


def score(
    predictor: Predictor, validation: Manifest, test: Manifest
) -> tuple[dict[str, float], dict[str, float]]:
    """Return AUROCs of test images, and balanced accuracies at thresholds of several rules.

    ``mixed`` disturbs each image in one way, drawn by its number, and ranks all images together.
    ``by kind`` ranks only images that are disturbed in the same way.
    """
    from locking import balanced

    spec = predictor.bundle.pixels
    y_true = test.label_array()[:, 0].astype(np.float64)
    mixed, kinds = disturb(load_images(test, _enlarged(spec)), spec)
    thresholds = thresholds_of(predictor, validation)
    scores: dict[str, float] = {}
    accuracy: dict[str, float] = {}
    for name, images in (("clean", load_images(test, spec)), ("mixed", mixed)):
        logits = predictor.logits(images)[:, -1].astype(np.float64)
        scores[name] = float(roc_auc_score(y_true, logits))
        y_prob = predictor.probabilities(images)[:, 0].astype(np.float64)
        for rule, threshold in thresholds.items():
            accuracy[f"{name}, {rule}"] = balanced(y_true, y_prob, threshold)
    scores["by kind"] = stratified_auroc(y_true, logits, kinds).value
    return scores, accuracy


def thresholds_of(predictor: Predictor, validation: Manifest) -> dict[str, float]:
    """Return the locked threshold and those of other rules, by name."""
    from locking import platt

    from plainfilm.training.thresholds import DRAWS, disturbed_images

    images = disturbed_images(load_images(validation, predictor.bundle.pixels))
    y_true = np.tile(validation.label_array()[:, 0].astype(np.float64), 1 + DRAWS)
    y_prob = predictor.probabilities(images)[:, 0].astype(np.float64)
    points = predictor.bundle.operating_points
    locked = next(own.threshold for own in points if own.name == "balanced")
    return {"locked": locked, "Platt": platt(y_true, y_prob), "0.5": 0.5}


def disturb(
    images: NDArray[np.uint8], spec: PixelSpec
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return each image under one disturbance, as a spec reads it, and the kinds' numbers."""
    kinds = np.random.default_rng(0).integers(0, len(KINDS), len(images))
    result = np.empty((len(images), spec.size, spec.size), np.uint8)
    with ThreadPoolExecutor() as pool:
        for number in np.unique(kinds):
            chosen = kinds == number
            result[chosen] = _disturb(KINDS[number], STEP, images[chosen], spec, 0, pool)
    return result, kinds
