"""Locks the temperature and thresholds of an imported network on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from plainfilm._progress import Progress, silent
from plainfilm._text import plural
from plainfilm.bundle import TrainingImages
from plainfilm.bundle.locking import LockedThresholds, lock_thresholds
from plainfilm.data import Manifest, fill_cache, load_dataset
from plainfilm.errors import BundleError, LabelError, SourceError
from plainfilm.evaluation.scoring import align
from plainfilm.network_session import NetworkSession
from plainfilm.records import PixelSpec, Task
from plainfilm.training.known_images import collect_known_images
from plainfilm.training.training_images import SplitImages

__all__ = ["Validated", "load_validation", "validate_network"]

Data = Manifest | str | Path | Sequence[str | Path]

_CHUNK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """What was locked on the records of a manifest, and how their images are recognised later."""

    manifest: Manifest
    locked: LockedThresholds
    known: TrainingImages

    @property
    def words(self) -> str:
        """The images that were used, in words."""
        patients = len(set(self.manifest.patients))
        return (
            f"{plural(len(self.manifest), 'image')} of {plural(patients, 'patient')} of "
            f"{self.manifest.name}, without disturbed copies"
        )


def load_validation(data: Data, task: Task) -> Manifest:
    """Return the records to lock thresholds on.

    These are the validation split of a data set, or all of its images but those of a test split.

    Raises
    ------
    SourceError
        If there are only test images.
    LabelError
        If the labels are not those of the network.
    """
    if not isinstance(data, Manifest):
        roots = [data] if isinstance(data, str | Path) else [*data]
        data = load_dataset(*roots, one_class=True)
    splits = data.records.known_splits
    usable = ["validation"] if "validation" in splits else ["train", ""]
    chosen = data.records.where(np.isin(splits, usable))
    if not chosen:
        raise SourceError(
            f"{data.name} has no images to lock thresholds on",
            received=f"{plural(len(data), 'image')} of the test split",
            remedy="give other images: thresholds are never locked on a test split",
        )
    return align(replace(data, records=chosen), task)


def validate_network(
    graph: bytes,
    spec: PixelSpec,
    manifest: Manifest,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Validated:
    """Lock temperature and thresholds on the images of a manifest.

    ``graph`` is that of a bundle, with a temperature of 1.

    Raises
    ------
    SourceError
        If none of the images can be read.
    LabelError
        If no label is known.
    BundleError
        If the network returns values that are not finite.
    """
    images = fill_cache(manifest, spec, folder=cache, workers=workers, progress=progress)
    manifest = manifest.drop(images.left_out)
    if not len(manifest):
        raise SourceError(
            f"none of the images of {manifest.name} could be read",
            received=images.left_out[0].problem,
            remedy="see why with: plainfilm predict FOLDER",
        )
    labels = manifest.label_array()
    if np.isnan(labels).all():
        raise LabelError(f"no label of the images of {manifest.name} is known")
    session, order = NetworkSession(graph), images.positions(manifest.records)
    parts = []
    for start in range(0, len(order), _CHUNK):
        progress("scoring", start, len(order))
        parts += session.run(["logits"], images.gather(order[start : start + _CHUNK]))
    progress("scoring", len(order), len(order))
    logits = np.concatenate(parts).astype(np.float64)
    if not np.isfinite(logits).all():
        rows = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        raise BundleError(
            "the network returns values that are not finite, or not probabilities",
            received=f"{plural(len(rows), 'image')}, such as {manifest.ids[rows[0]]}",
            remedy="check the declared range and output; such images must be left out",
        )
    patients = [str(patient) for patient in manifest.patients]
    locked = lock_thresholds(logits, labels, patients, manifest.task)
    return Validated(manifest, locked, collect_known_images(SplitImages(manifest, images)))
