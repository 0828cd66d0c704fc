"""Collects what a bundle keeps of its training and validation images, to recognise them later."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.recognition import Basis, fit_basis, in_chunks
from plainfilm.bundle.training_images import TrainingImages, short_hashes, short_keys
from plainfilm.data.pseudonyms import check_key, is_key
from plainfilm.training.training_images import SplitImages


def collect_known_images(*splits: SplitImages) -> TrainingImages:
    """Return hashes of the files, the images and the patients of some splits."""
    patients = (split.records.records.table["patient"].unique() for split in splits)
    keys = {key for own in patients for key in own.to_pylist()}
    known = sorted(key for key in keys if is_key(key))
    files = np.concatenate([split.images.hashes for split in splits])
    count = sum(len(split.images) for split in splits)
    fitted = fit_basis((images for split in splits for images in _read(split)), count)
    basis, hashes = (Basis.none(), np.empty((0, 0), np.uint8)) if fitted is None else fitted
    return TrainingImages(
        contents=np.unique(short_hashes(files)),
        patients=np.sort(short_keys(known)),
        salt=check_key() if known else "",
        views=np.unique(hashes, axis=0),
        mean=basis.mean,
        components=basis.components,
        medians=basis.medians,
    )


def _read(split: SplitImages) -> Iterator[NDArray[np.uint8]]:
    for rows in in_chunks(len(split.images)):
        yield split.images.gather(np.arange(rows.start, rows.stop))
