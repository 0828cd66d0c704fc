"""Scores the images of a manifest with the predictor of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle
from plainfilm.data import LeftOut, Manifest, fill_cache
from plainfilm.errors import LabelError, SourceError
from plainfilm.records import Task
from plainfilm.runtime import Predictor

_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The records whose files could be read, and the predictions for them in the same order."""

    manifest: Manifest
    probabilities: NDArray[np.float32]  # (n, labels)
    novelty: NDArray[np.float32] | None  # (n,); None where the bundle does not compute it
    metadata: tuple[Mapping[str, str | float], ...]
    hashes: tuple[str, ...]  # SHA-256 of each file
    left_out: tuple[LeftOut, ...]


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
    if not len(manifest):
        raise SourceError(
            f"none of the images of {manifest.name} could be read",
            received=left_out[0].problem,
            remedy="see why with: plainfilm predict FOLDER",
        )
    predictor = Predictor(bundle)
    order = images.positions(manifest.ids)
    parts = []
    for start in range(0, len(order), _CHUNK):
        progress("scoring", start, len(order))
        pixels = images.gather(order[start : start + _CHUNK])
        parts.append(predictor.probabilities_and_novelty(pixels))
    progress("scoring", len(order), len(order))
    novelty = [one for _, one in parts if one is not None]
    return Scored(
        manifest,
        np.concatenate([probabilities for probabilities, _ in parts]),
        np.concatenate(novelty) if novelty else None,
        tuple(images.metadata[position] for position in order),
        tuple(images.hashes[position] for position in order),
        left_out,
    )


def align(manifest: Manifest, task: Task) -> Manifest:
    """Return the manifest with its label columns in the bundle's order, names and direction.

    Raises a `LabelError` if the labels of the data set are not those of the bundle.
    """
    theirs = {label.casefold(): column for column, label in enumerate(manifest.task.labels)}
    missing = [label for label in task.labels if label.casefold() not in theirs]
    own, given = ({c.casefold() for c in one.classes} for one in (task, manifest.task))
    same_classes = own == given
    # The bundle defines which of two classes is the positive one.
    swapped = bool(missing) and same_classes and task.kind == manifest.task.kind == "binary"
    if (missing and not swapped) or (task.kind != "multilabel" and not same_classes):
        raise LabelError(
            f"the labels of {manifest.name} are not those of the bundle",
            received=f"{', '.join(manifest.task.classes)}; the bundle: {', '.join(task.classes)}",
            remedy="rename the class folders or the label columns",
        )
    columns = [theirs.get(label.casefold(), 0) for label in task.labels]

    def reorder(labels: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(1.0 - labels[c] if swapped else labels[c] for c in columns)

    records = tuple(replace(one, labels=reorder(one.labels)) for one in manifest.records)
    return replace(manifest, task=task, records=records)


def official_test(manifest: Manifest) -> Manifest:
    """Return the official test split of a data set, or all of it where there is none.

    Models are trained on the other splits, and results on those would be too optimistic.
    """
    test = tuple(record for record in manifest.records if record.official == "test")
    return replace(manifest, records=test) if test else manifest


def name_split(manifest: Manifest) -> str:
    """Return the name of the split of all records, or ``all`` where there are several or none.

    Of official splits only the test split counts: the training folder of another data set is not
    the training split of this bundle.
    """
    names = {r.split or ("test" if r.official == "test" else "all") for r in manifest.records}
    return names.pop() if len(names) == 1 else "all"
