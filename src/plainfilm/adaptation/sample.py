"""Scores the images of a site and divides them into an adaptation and a held-out part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from plainfilm._progress import Progress
from plainfilm._text import plural
from plainfilm.adaptation.document import LeftOutCounts, SampleSummary
from plainfilm.bundle import Bundle
from plainfilm.data import Cache, Manifest
from plainfilm.data.split import divide_patients
from plainfilm.data.stratify import apportion
from plainfilm.errors import BundleError, ConfigError, DataError, SourceError, UsageError
from plainfilm.evaluation.overlap import find_overlap
from plainfilm.evaluation.scoring import score
from plainfilm.metrics import apply_temperature
from plainfilm.records import Task
from plainfilm.runtime import Predictor

_CHUNK = 1024
_TOLERANCE = 1e-4

Floats = NDArray[np.float64]


BUNDLE = "bundle"
"""Name of the folder of the new bundle."""


class ScoreOptions(TypedDict):
    """The options of `plainfilm.evaluation.scoring.score`."""

    cache: str | Path | None
    workers: int | None
    progress: Progress


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Images of a site, with the log odds of the bundle.

    ``log_odds`` (n, labels) are those of the present probabilities; for a multi-class task the
    logits of the softmax. ``synthetic`` is whether plainfilm drew some of the site's images.
    """

    manifest: Manifest
    images: Cache
    log_odds: Floats
    synthetic: bool

    @property
    def task(self) -> Task:
        """Return the task of the bundle."""
        return self.manifest.task

    @property
    def labels(self) -> NDArray[np.float32]:
        """Return the labels (n, labels), 1, 0 or NaN."""
        return self.manifest.label_array()

    @property
    def patients(self) -> list[str]:
        """Return the patient keys (n,)."""
        return [str(patient) for patient in self.manifest.patients]

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Return the prepared images (n, size, size)."""
        return self.images.gather(self.images.positions(self.manifest.records))

    @property
    def hashes(self) -> NDArray[np.uint8]:
        """Return the SHA-256 of each file, (n, 32)."""
        return self.images.hashes[self.images.positions(self.manifest.records)]

    @property
    def probabilities(self) -> Floats:
        """Return the present probabilities (n, labels)."""
        return apply_temperature(self.log_odds, 1.0, kind=self.task.kind)

    def __len__(self) -> int:
        return len(self.manifest)

    def rows(self, chosen: NDArray[np.bool_]) -> Sample:
        """Return the images of a mask (n,)."""
        manifest = replace(self.manifest, records=self.manifest.records.where(chosen))
        return Sample(manifest, self.images, self.log_odds[chosen], self.synthetic)

    def summary(self) -> SampleSummary:
        """Return the counts for the document."""
        labels = self.labels
        counts = (labels == 1).sum(axis=0).tolist() if np.isfinite(labels).any() else []
        positives = dict(zip(self.task.labels, counts, strict=False))
        return SampleSummary(len(self), len(set(self.patients)), positives)


def score_sample(
    bundle: Bundle,
    manifest: Manifest,
    *,
    labelled: bool,
    options: ScoreOptions,
) -> tuple[Sample, LeftOutCounts]:
    """Score the images of an aligned manifest that may be used for an adaptation.

    Images of the training or validation set, rejected images and, if ``labelled``, images without
    a known label are left out.
    """
    scored = score(bundle, manifest, **options)
    found = find_overlap(bundle, scored)
    overlap = found.images
    rejected = scored.predictions.rejected & ~overlap
    known = np.isfinite(scored.manifest.label_array()).any(axis=1)
    unlabelled = ~known & ~overlap & ~rejected & labelled
    keep = ~(overlap | rejected | unlabelled)
    counts = LeftOutCounts(
        overlapping=int(overlap.sum()),
        rejected=int(rejected.sum()),
        unreadable=len(scored.left_out),
        unlabelled=int(unlabelled.sum()),
        unchecked=found.unchecked,
    )
    if not keep.any():
        raise SourceError(
            f"{manifest.name} has no image that the model can be adapted to",
            received=f"{plural(len(keep), 'image')}: {counts.overlapping} of training or "
            f"validation, {counts.rejected} rejected, {counts.unlabelled} without a label",
            remedy="give images of other patients",
        )
    own = replace(scored.manifest, records=scored.manifest.records.where(keep))
    rows = scored.images.positions(own.records)
    given = scored.predictions.probabilities[keep]
    log_odds = _log_odds(Predictor(bundle), scored.images, rows, given)
    return Sample(own, scored.images, log_odds, scored.synthetic_images > 0), counts


@contextlib.contextmanager
def explain_left_out(counts: LeftOutCounts) -> Iterator[None]:
    """Add to a `DataError` how many images were left out as known to the bundle."""
    try:
        yield
    except DataError as error:
        if counts.overlapping:
            left = plural(counts.overlapping, "image was", "images were")
            error.received = (
                f"{error.received}; {left} left out, because the model was trained or validated on "
                f"{'it' if counts.overlapping == 1 else 'them'} or on images of the same patient"
            )
        raise


def _log_odds(
    predictor: Predictor, images: Cache, rows: NDArray[np.intp], expected: NDArray[np.float32]
) -> Floats:
    """Return the log odds of images, after comparing them with the expected probabilities."""
    parts = [
        predictor.log_odds(images.gather(rows[start : start + _CHUNK]))
        for start in range(0, len(rows), _CHUNK)
    ]
    logits = np.concatenate(parts)
    gap = np.abs(apply_temperature(logits, 1.0, kind=predictor.bundle.task.kind) - expected)
    if not float(gap.max(initial=0.0)) <= _TOLERANCE:
        raise BundleError(
            "the probabilities of the bundle are not those of its logits and temperature",
            received=f"a difference of up to {float(gap.max()):.2g}",
            remedy="train or import the model again with this version",
        )
    return logits


def divide(sample: Sample, share: float, seed: int) -> tuple[Sample, Sample]:
    """Divide a sample by patient and stratified into an adaptation part and a held-out part.

    If some images have the official split ``test``, they are the held-out part.
    """
    if not 0 < share < 1:
        raise ConfigError("share= must be above 0 and below 1", received=share)
    records = sample.manifest.records
    test = records.officials == "test"
    if test.all():
        raise UsageError(
            "a model is not adapted to an official test set",
            received=f"{plural(len(records), 'image')}, all in the official test set",
            remedy="give images of the training or validation set of this data set",
        )
    if test.any():
        other = ~np.isin(records.groups, records.groups[test])
        return sample.rows(other), sample.rows(test)
    order = records.order()
    shares, rng = np.array([share, 1 - share]), np.random.default_rng(seed)
    parts = divide_patients(
        records.take(order),
        sample.task,
        ("adaptation", "held-out"),
        lambda counts: apportion(counts, shares, rng),
        "another share=",
    )
    mask = np.zeros(len(records), bool)
    mask[order[parts == 0]] = True
    return sample.rows(mask), sample.rows(~mask)


def name_of(bundle: Bundle) -> str:
    """Return the name of the folder of a bundle, or of the run that it is in."""
    folder = bundle.folder.resolve()
    return folder.parent.name if folder.name == BUNDLE else folder.name
