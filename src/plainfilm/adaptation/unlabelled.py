"""Adapts a bundle on images without labels, by a correction for label shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from plainfilm import __version__
from plainfilm._text import plural
from plainfilm.adaptation.document import AdaptationDocument, ParentModel
from plainfilm.adaptation.label_shift import conclude_shift, correct_label_shift
from plainfilm.adaptation.sample import (
    ScoreOptions,
    explain_left_out,
    name_of,
    score_sample,
)
from plainfilm.adaptation.write import write_adapted
from plainfilm.bundle import Adaptation, Bundle
from plainfilm.data import Manifest, SourceOptions, load_dataset
from plainfilm.data.sources.unlabelled import list_unlabelled, without_labels
from plainfilm.errors import SourceError, UsageError
from plainfilm.records import Task


def correct_without_labels(
    bundle: Bundle,
    data: Manifest,
    folder: Path,
    options: ScoreOptions,
) -> tuple[Bundle, AdaptationDocument]:
    """Write the corrected bundle to a folder; return it and the results.

    The parameters and errors are those of `plainfilm.adaptation.adapt`.
    """
    records = data.records.where(data.records.officials != "test")
    if data.records and not records:
        raise UsageError(
            "a model is not adapted to an official test set",
            received=f"{plural(len(data.records), 'image')}, all in the official test set",
            remedy="give other images of this site",
        )
    manifest = without_labels(replace(data, records=records), bundle.task)
    sample, left_out = score_sample(bundle, manifest, labelled=False, options=options)
    with explain_left_out(left_out):
        new, results = correct_label_shift(bundle, sample)
    several = sample.task.kind == "multiclass"
    own = sample.summary()
    conclusion = conclude_shift(results, several)
    changed = f"corrected for the estimated {'shares' if several else 'prevalence'}; " + (
        "operating points left out" if several else "thresholds moved with the probabilities"
    )
    record = Adaptation(
        parent=bundle.id,
        parent_name=name_of(bundle),
        method="label shift",
        dataset=data.name,
        images=own.images,
        patients=own.patients,
        held_out_images=0,
        held_out_patients=0,
        labels=sample.task.labels,
        changed=(changed, results.assumption),
    )
    written = write_adapted(bundle, folder, new, sample, record)
    document = AdaptationDocument(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        parent=ParentModel(name_of(bundle), bundle.id),
        bundle=written.id,
        dataset=data.name,
        method="label shift",
        conclusion=conclusion,
        adaptation=own,
        held_out=None,
        left_out=left_out,
        synthetic=sample.synthetic or bool(bundle.provenance.synthetic_images),
        label_shift=results,
    )
    return written, document


def load_without_labels(
    data: str | Path | Sequence[str | Path],
    task: Task,
    *,
    patient: str | None = None,
    patient_folder: int | None = None,
) -> Manifest:
    """List the images of a folder without classes, or of a data set whose labels are ignored."""
    roots = [data] if isinstance(data, str | Path) else [*data]
    given: SourceOptions = {"one_class": True, "patient": patient, "patient_folder": patient_folder}
    try:
        return load_dataset(*roots, **given)
    except SourceError:
        if len(roots) != 1 or not Path(roots[0]).is_dir():
            raise
    return list_unlabelled(roots[0], task, patient=patient, patient_folder=patient_folder)
