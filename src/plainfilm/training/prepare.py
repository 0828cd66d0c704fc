"""What a training needs of its images, made while the backend is imported."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from plainfilm._progress import Progress
from plainfilm.audit.run import audit_dataset
from plainfilm.config import Recipe
from plainfilm.data import Cache, Manifest, fill_cache
from plainfilm.records import PixelSpec
from plainfilm.training.apart import apart

__all__ = ["fill", "prepare"]

_MANY = 20_000  # records; to hand more of them to another process takes what it saves


def prepare(
    manifest: Manifest,
    recipe: Recipe,
    *,
    cache: str | Path | None,
    workers: int | None,
    elsewhere: bool,
    progress: Progress,
) -> Generator[Any, None, None]:
    """Yield the quick audit, records and images of training and of validation, and the manifest.

    The last without the records that became no image, as the bytes of its file.

    Parameters
    ----------
    manifest, recipe
        Which images, and what they become.
    cache, workers
        As of `plainfilm.data.fill_cache`.
    elsewhere
        Whether another process is to do it, because this one is busy with an import.
    """
    work = partial(apart, _prepared) if elsewhere and len(manifest) <= _MANY else _prepared
    return work(manifest, recipe, cache, workers, progress=progress)


def _prepared(
    manifest: Manifest,
    recipe: Recipe,
    cache: str | Path | None,
    workers: int | None,
    *,
    progress: Progress,
) -> Generator[Any, None, None]:
    filled = partial(fill, folder=cache, workers=workers, progress=progress)
    yield audit_dataset(manifest, quick=True, cache=cache, progress=progress)
    # Random crops are cut out of larger images than those that are answered for.
    before_crop = replace(recipe.input, size=recipe.augment.crop_from or recipe.input.size)
    training, validation = manifest.select("train"), manifest.select("validation")
    if before_crop != recipe.input:
        parts = [filled(training, before_crop), filled(validation, recipe.input)]
    else:  # both at once: the decoding processes are started once
        both = replace(manifest, records=training.records + validation.records)
        _, images = filled(both, recipe.input)
        parts = [_of(images, training), _of(images, validation)]
    yield from parts
    yield manifest.drop(gone for _, own in parts for gone in own.left_out).to_parquet()


def _of(images: Cache, split: Manifest) -> tuple[Manifest, Cache]:
    own = images.select(record.id for record in split.records)
    return split.drop(own.left_out), own


def fill(
    manifest: Manifest,
    spec: PixelSpec,
    *,
    folder: str | Path | None,
    workers: int | None,
    progress: Progress,
) -> tuple[Manifest, Cache]:
    """Decode a split; return its records that became images, with the cache."""
    cache = fill_cache(manifest, spec, folder=folder, workers=workers, progress=progress)
    return manifest.drop(cache.left_out), cache
