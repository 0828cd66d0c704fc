"""Writes the adapted bundle, and checks that its graph predicts as expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from plainfilm import __version__
from plainfilm.adaptation.graph import recalibrate_graph
from plainfilm.adaptation.sample import Floats, Sample
from plainfilm.audit.recognition import Basis
from plainfilm.bundle import (
    Adaptation,
    Bundle,
    BundleMetadata,
    IndeterminateRange,
    TrainingImages,
    write_bundle,
)
from plainfilm.bundle.training_images import short_hashes, short_keys
from plainfilm.data.pseudonyms import check_key, is_key
from plainfilm.errors import RunError
from plainfilm.metrics import apply_recalibration, apply_temperature
from plainfilm.records import LockedPoint, Recalibration, ScoreCounts
from plainfilm.runtime import Predictor
from plainfilm.training.known_images import collect_known_images
from plainfilm.training.training_images import SplitImages

_CHECKED = 256  # images
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """What replaces that of the parent in an adapted bundle."""

    recalibration: Recalibration
    points: tuple[LockedPoint, ...]
    indeterminate: Mapping[str, IndeterminateRange]
    scores: Mapping[str, ScoreCounts]
    prevalence: Mapping[str, float | None]
    locked_on: str | None


def write_adapted(
    bundle: Bundle, folder: Path, new: Replacement, used: Sample, adaptation: Adaptation
) -> Bundle:
    """Write the adapted bundle to a folder and return it.

    The images that it was adapted on are added to those that an evaluation recognises.

    Raises
    ------
    RunError
        If the new graph does not predict as expected on the images that it was adapted on.
    """
    own = replace(
        bundle.provenance,
        plainfilm=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        locked_on=new.locked_on,
        assumed_prevalence="adaptation",
        training_prevalence=new.prevalence,
        adaptation=adaptation,
    )
    values = {one.name: getattr(bundle, one.name) for one in fields(BundleMetadata)}
    values |= {
        "points": new.points,
        "indeterminate": new.indeterminate,
        "validation_scores": new.scores,
        "recalibration": new.recalibration.after(bundle.recalibration),
        "provenance": own,
    }
    written = write_bundle(
        folder,
        BundleMetadata(**values),
        graph=recalibrate_graph(bundle.read_graph(), new.recalibration),
        weights=bundle.read_weights(),
        training_images=_known_images(bundle.read_training_images(), used),
    )
    _check(written, new.recalibration, used)
    return written


def _check(bundle: Bundle, recalibration: Recalibration, used: Sample) -> None:
    rows = np.arange(len(used)) < _CHECKED
    some = used.rows(rows)
    odds = apply_recalibration(some.log_odds, recalibration)
    expected: Floats = apply_temperature(odds, 1.0, kind=bundle.task.kind)
    gap = np.abs(Predictor(bundle).probabilities(some.pixels) - expected)
    if not float(gap.max(initial=0.0)) <= _TOLERANCE:
        (bundle.folder / "SHA256SUMS").unlink()  # without it the folder is not a bundle
        raise RunError(
            "the adapted graph does not predict as expected",
            received=f"probabilities differ by up to {float(gap.max()):.2g} "
            f"(allowed {_TOLERANCE:.0e})",
        )


def _known_images(known: TrainingImages | None, used: Sample) -> TrainingImages:
    """Return the training images of the parent and the images that it was adapted on."""
    if known is None:
        images = used.images.select(used.manifest.records)
        return collect_known_images(SplitImages(used.manifest, images))
    keys = sorted({key for key in used.patients if is_key(key)})
    salt, patients = known.salt, known.patients
    if keys and (not salt or salt == check_key()):  # keys of two salts cannot be compared
        salt = check_key()
        patients = np.union1d(patients, short_keys(keys))
    views = known.views
    if len(known.medians):
        basis = Basis(known.mean, known.components, known.medians)
        hashes, visible = basis.hash(used.pixels)
        views = np.unique(np.concatenate([views, hashes[visible]]), axis=0)
    return replace(
        known,
        contents=np.union1d(known.contents, short_hashes(used.hashes)),
        patients=patients,
        salt=salt,
        views=views,
    )
