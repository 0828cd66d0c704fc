"""Audits a data set and decodes its training and validation images."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._progress import Progress
from plainfilm._text import plural
from plainfilm.audit.pipeline import audit_dataset
from plainfilm.config import Recipe
from plainfilm.data import Cache, Manifest, fill_cache
from plainfilm.errors import LabelError
from plainfilm.records import PixelSpec, Split


@dataclass(frozen=True, slots=True, eq=False)
class SplitImages:
    """The records of a split whose files could be decoded, and their images in the same order."""

    records: Manifest
    images: Cache

    def to_validation_set(self, rows: slice = slice(None)) -> ValidationSet:
        """Load all images, or only those of some rows, into memory."""
        patients = [str(patient) for patient in self.records.patients]
        whole = rows == slice(None)
        images = self.images.all() if whole else self.gather(np.arange(len(self.records))[rows])
        return ValidationSet(images, self.records.label_array(), patients)

    def gather(self, rows: Sequence[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
        """Load the images of some records, (n, size, size)."""
        return self.images.gather(rows)

    def check_classes(self, split: Split) -> None:
        """Raise a LabelError unless both classes of each label are present."""
        task, labels = self.records.task, self.records.label_array()
        for column, label in enumerate(task.labels):
            values = {float(v) for v in labels[:, column] if not np.isnan(v)}
            if task.kind != "multilabel" and values != {0.0, 1.0}:
                raise LabelError(
                    f"the {split} images have only one class of {label}",
                    received=plural(len(self.records), "image"),
                    remedy="check why files were left out, raise the limit, or add images",
                )


@dataclass(frozen=True, slots=True, eq=False)
class ValidationSet:
    """The images on which epochs are compared, and temperature and thresholds selected."""

    images: NDArray[np.uint8]  # (n, size, size)
    labels: NDArray[np.float32]  # (n, labels)
    patients: Sequence[str]  # (n,) keys

    def __len__(self) -> int:
        return len(self.images)


def audit_and_decode(
    manifest: Manifest,
    recipe: Recipe,
    cache: str | Path | None,
    workers: int | None,
    *,
    progress: Progress,
) -> Generator[Any, None, None]:
    """Yield the quick audit, the training and the validation `SplitImages`, and the manifest.

    The manifest comes as the bytes of its Parquet file, without the records that could not be
    decoded.
    """
    yield audit_dataset(manifest, quick=True, cache=cache, progress=progress)
    splits = decode(manifest, recipe, cache, workers, progress=progress)
    yield from splits
    yield manifest.drop(item for split in splits for item in split.images.left_out).to_parquet()


def decode(
    manifest: Manifest,
    recipe: Recipe,
    cache: str | Path | None,
    workers: int | None,
    *,
    progress: Progress,
) -> tuple[SplitImages, SplitImages]:
    """Return the images of the training and the validation set."""
    fill = partial(_fill, cache=cache, workers=workers, progress=progress)
    # Random crops are taken from larger images than those that are validated on.
    spec = replace(recipe.input, size=recipe.augment.crop_from or recipe.input.size)
    training, validation = manifest.select("train"), manifest.select("validation")
    if spec == recipe.input:  # both at once, so that the decoding processes start only once
        images = fill(replace(manifest, records=training.records + validation.records), spec).images
        return _select(images, training), _select(images, validation)
    return fill(training, spec), fill(validation, recipe.input)


def sample_images(
    training: Manifest, spec: PixelSpec, cache: str | Path | None, workers: int | None, most: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return images (n, size, size) and labels of at most ``most`` evenly spaced records."""
    rows = np.unique(np.linspace(0, len(training) - 1, min(len(training), most)).astype(int))
    chosen = replace(training, records=training.records.take(rows))
    decoded = fill_cache(chosen, spec, folder=cache, workers=workers)
    kept = chosen.drop(decoded.left_out)
    return decoded.gather(decoded.positions(kept.records)), kept.label_array()


def _fill(manifest: Manifest, spec: PixelSpec, **options: Any) -> SplitImages:
    options["folder"] = options.pop("cache")
    images = fill_cache(manifest, spec, **options)
    return SplitImages(manifest.drop(images.left_out), images)


def _select(images: Cache, split: Manifest) -> SplitImages:
    own = images.select(split.records)
    return SplitImages(split.drop(own.left_out), own)
