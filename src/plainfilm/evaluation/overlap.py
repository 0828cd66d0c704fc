"""Finds the evaluated images that a bundle was trained or validated on, and their patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm._text import plural
from plainfilm.audit.recognition import MIN_IMAGES, Basis, find_copies, in_chunks
from plainfilm.bundle import Bundle, TrainingImages
from plainfilm.bundle.training_images import short_hashes, short_keys
from plainfilm.data.pseudonyms import check_key, is_key
from plainfilm.evaluation.document.overlap import Overlap
from plainfilm.evaluation.scoring import Scored
from plainfilm.evaluation.summary import summarise
from plainfilm.records import Finding

Bools = NDArray[np.bool_]

CHECK = "training-overlap"
_LISTED = 200
_UNKNOWN = "the bundle has no list of its training images"


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The images (n,) that overlap with the training and validation images, by how."""

    exact: Bools
    copies: Bools  # altered copies
    patients: Bools  # of a known patient
    unchecked: tuple[str, ...]  # what could not be compared, and why

    @property
    def images(self) -> Bools:
        """Return the images that overlap in any way."""
        return self.exact | self.copies | self.patients


def find_overlap(bundle: Bundle, scored: Scored) -> Found:
    """Compare the scored images with those that the bundle was trained and validated on."""
    count = len(scored.manifest)
    known, none = bundle.read_training_images(), np.zeros(count, bool)
    if known is None:
        return Found(none, none, none, (_UNKNOWN,))
    exact = np.isin(short_hashes(scored.hashes), known.contents)
    unchecked = []
    copies = none
    if len(known.medians):
        copies = _find_copies(known, scored) & ~exact
    else:
        unchecked.append(
            f"altered copies were not searched for, since that takes {MIN_IMAGES} training images"
        )
    patients, reason = _find_patients(known, [str(key) for key in scored.manifest.patients])
    return Found(exact, copies, patients, (*unchecked, *reason))


def _find_copies(known: TrainingImages, scored: Scored) -> Bools:
    basis = Basis(known.mean, known.components, known.medians)
    rows = scored.images.positions(scored.manifest.records)
    parts = [
        find_copies(basis, known.views, scored.images.gather(rows[chunk]))
        for chunk in in_chunks(len(rows))
    ]
    return np.concatenate(parts)


def _find_patients(known: TrainingImages, keys: Sequence[str]) -> tuple[Bools, list[str]]:
    """Return the images of known patients, and why patients could not be compared."""
    own = [is_key(key) for key in keys]
    found = np.zeros(len(keys), bool)
    if not len(known.patients):
        return found, ["patients were not compared, since those of the training are unknown"]
    if not any(own):
        return found, ["patients were not compared, since those of this data set are unknown"]
    if known.salt != check_key():
        return found, ["patients were not compared, since the bundle was made with another salt"]
    found[own] = np.isin(
        short_keys(key for key, is_own in zip(keys, own, strict=True) if is_own), known.patients
    )
    return found, []


def report_overlap(found: Found, scored: Scored, *, own: bool) -> list[Finding]:
    """Return the findings about an overlap and, unless the test set is the run's ``own``, on doubt.

    The audit before training has compared the run's own splits.
    """
    findings = []
    if count := int(found.images.sum()):
        shared = scored.manifest.patients[found.patients]
        common = f"; {plural(len(set(shared)), 'patient')} in common" if len(shared) else ""
        others = "; evaluation.json has the metrics without the overlap"
        findings.append(
            Finding(
                check=CHECK,
                severity="serious",
                problem=f"{count:,} of {plural(len(found.images), 'image')} "
                f"{'overlaps' if count == 1 else 'overlap'} with the training and validation "
                f"images of the model: {_describe(found)}{common}",
                count=count,
                files=tuple(scored.manifest.records.ids_where(found.images)[:_LISTED]),
                consequence="the results are too optimistic, and this is no external validation: "
                "the model was fitted to these images or patients",
                remedy="evaluate on other images of other patients"
                + others * (count < len(found.images)),
            )
        )
    if found.unchecked and not own:
        findings.append(
            Finding(
                check="overlap-unchecked",
                severity="note",
                problem=f"an overlap with the training images may be missed: "
                f"{'; '.join(found.unchecked)}",
                count=len(found.images),
            )
        )
    return findings


def _describe(found: Found) -> str:
    only = found.patients & ~found.exact & ~found.copies
    parts = [
        (found.exact, "identical file", "identical files"),
        (found.copies, "altered copy", "altered copies"),
        (only, "further image of the same patients", "further images of the same patients"),
    ]
    return ", ".join(plural(int(mask.sum()), one, many) for mask, one, many in parts if mask.any())


def describe_overlap(
    found: Found, scored: Scored, bundle: Bundle, *, n_bootstrap: int = 2000
) -> Overlap:
    """Return the counts of an overlap, and the metrics of the other images."""
    rest = np.flatnonzero(~found.images)
    keys = scored.manifest.patients
    metrics = {}
    if found.images.any() and len(rest):
        metrics = dict(
            summarise(
                scored.predictions.labels[rest],
                scored.predictions.probabilities[rest],
                bundle.task,
                [str(key) for key in keys[rest]],
                bundle.operating_points,
                n_bootstrap=n_bootstrap,
            ).main
        )
    return Overlap(
        images=int(found.images.sum()),
        identical=int(found.exact.sum()),
        altered=int(found.copies.sum()),
        same_patient=int(found.patients.sum()),
        patients=len(np.unique(keys[found.patients])),
        others=len(rest),
        metrics=metrics,
        unchecked=found.unchecked,
    )
