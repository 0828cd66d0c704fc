"""Scores the images of a manifest with a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle
from plainfilm.data import Cache, LeftOut, Manifest, fill_cache
from plainfilm.data.counts import class_names
from plainfilm.data.sources.classes.names import fold_class
from plainfilm.errors import BundleError, LabelError, SourceError
from plainfilm.evaluation.columns import collect_columns
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.style_column import COLUMN as STYLE
from plainfilm.evaluation.style_column import group_by_style
from plainfilm.pixels.metadata import count_synthetic
from plainfilm.records import UNKNOWN, Task
from plainfilm.runtime import Predictor

_CHUNK = 4096
_DECISIONS = ("predicted", "rejected", "indeterminate", "reason", "problem")


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The records whose files could be read, with all that their files say, in the same order."""

    manifest: Manifest
    predictions: Predictions
    hashes: NDArray[np.uint8]  # SHA-256 of each file, (n, 32)
    synthetic_images: int  # number of images that plainfilm drew
    left_out: tuple[LeftOut, ...]
    images: Cache


def score(
    bundle: Bundle,
    manifest: Manifest,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Scored:
    """Score every record; raise a `SourceError` if none of the files could be read."""
    images = fill_cache(manifest, bundle.pixels, folder=cache, workers=workers, progress=progress)
    left_out = (*manifest.left_out, *images.left_out)
    manifest = manifest.drop(images.left_out)
    if not len(manifest) and {image.reason for image in images.left_out} == {"missing"}:
        raise SourceError(
            f"the images of {manifest.name} are not where they were",
            received=images.left_out[0].path,
            remedy="name the folder where they are now with images=",
        )
    if not len(manifest):
        raise SourceError(
            f"none of the images of {manifest.name} could be read",
            received=left_out[0].problem,
            remedy="see why with: plainfilm predict FOLDER",
        )
    predictor = Predictor(bundle)
    order = images.positions(manifest.records)
    metadata = images.metadata.take(order)
    values: list[tuple[Any, ...]] = []
    for start in range(0, len(order), _CHUNK):
        progress("scoring", start, len(order))
        part = slice(start, start + _CHUNK)
        for one in predictor.predict_pixels(images.gather(order[part]), metadata[part]):
            row = one.to_row(())
            if not one.probabilities:
                raise BundleError(
                    f"the bundle cannot be evaluated on {manifest.name}: {one.problem}",
                    received=manifest.ids[len(values)],
                    remedy="check the network, or evaluate it without such images",
                )
            scores = [one.probabilities[label] for label in predictor.labels]
            values.append((scores, one.novelty, *(row[name] for name in _DECISIONS)))
    progress("scoring", len(order), len(order))
    probabilities, novelty, *decisions = zip(*values, strict=True)
    columns = collect_columns(manifest, metadata)
    if style := group_by_style(images, order, metadata):
        columns.setdefault(STYLE, style)
    predictions = Predictions(
        bundle.task,
        manifest.ids.tolist(),
        manifest.patients.tolist(),
        manifest.label_array(),
        np.array(probabilities, np.float32),
        columns,
        dict(zip(_DECISIONS, decisions, strict=True)),
        None if novelty[0] is None else np.array(novelty, np.float32),
    )
    drawn = count_synthetic(metadata.values("manufacturer"))
    return Scored(manifest, predictions, images.hashes[order], drawn, left_out, images)


def align(manifest: Manifest, task: Task) -> Manifest:
    """Return the manifest with its label columns in the bundle's order, names and direction.

    A data set may lack classes of the bundle. Raises a `LabelError` if its labels or classes are
    not among those of the bundle.
    """
    labels = manifest.records.labels
    if task.kind == "multilabel":
        theirs = {label.casefold(): column for column, label in enumerate(manifest.task.labels)}
        if any(label.casefold() not in theirs for label in task.labels):
            raise _misfit(manifest, manifest.task.classes, task)
        aligned = labels[:, [theirs[label.casefold()] for label in task.labels]]
    else:
        # By name: the bundle defines which class is the positive one.
        own = {fold_class(name): name for name in task.classes}
        names = class_names(manifest.task, labels)
        known = {*names[~np.isnan(labels).any(axis=1)].tolist()}
        if manifest.task.kind == "multilabel" or any(fold_class(one) not in own for one in known):
            raise _misfit(manifest, sorted(known), task)
        aligned = np.full((len(manifest), len(task.labels)), UNKNOWN, np.float32)
        for name in known:
            aligned[names == name] = [own[fold_class(name)] == label for label in task.labels]
    return replace(manifest, task=task, records=manifest.records.replace(labels=aligned))


def _misfit(manifest: Manifest, received: Sequence[str], task: Task) -> LabelError:
    return LabelError(
        f"the labels of {manifest.name} are not those of the bundle",
        received=f"{', '.join(received)}; the bundle: {', '.join(task.classes)}",
        remedy="give class_map= with the names of the bundle",
    )


def official_test(manifest: Manifest) -> Manifest:
    """Return the official test split of a data set, or all of it where there is none.

    Models are trained on the other splits, and results on those would be too optimistic.
    """
    test = manifest.records.where(manifest.records.officials == "test")
    return replace(manifest, records=test) if test else manifest


def name_split(manifest: Manifest) -> str:
    """Return the name of the split of all records, or ``all`` where there are several or none.

    Of official splits only the test split counts: the training folder of another data set is not
    the training split of this bundle.
    """
    splits, is_test = manifest.splits, manifest.records.officials == "test"
    names = np.unique(np.where(splits != "", splits, np.where(is_test, "test", "all"))).tolist()
    return names[0] if len(names) == 1 else "all"
