"""Adapts a bundle on labelled images: fits on one part of them and evaluates on the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from plainfilm import __version__
from plainfilm._text import plural
from plainfilm.adaptation.document import AdaptationDocument, LeftOutCounts, ParentModel
from plainfilm.adaptation.fit import Adapted, fit_adaptation
from plainfilm.adaptation.judge import compare_all, conclude, judge_labels
from plainfilm.adaptation.sample import (
    Sample,
    ScoreOptions,
    divide,
    explain_left_out,
    name_of,
    score_sample,
)
from plainfilm.adaptation.write import Replacement, write_adapted
from plainfilm.bundle import Adaptation, Bundle
from plainfilm.data import Manifest
from plainfilm.evaluation.scoring import align


def recalibrate(
    bundle: Bundle,
    data: Manifest,
    folder: Path,
    share: float,
    seed: int,
    n_bootstrap: int,
    options: ScoreOptions,
) -> tuple[Bundle, AdaptationDocument]:
    """Write the recalibrated bundle to a folder; return it and the results.

    The parameters and errors are those of `plainfilm.adaptation.adapt`.
    """
    aligned = align(data, bundle.task)
    sample, left_out = score_sample(bundle, aligned, labelled=True, options=options)
    progress = options["progress"]
    with explain_left_out(left_out):
        used, held_out = divide(sample, share, seed)
        progress("adapting", 0, 1)
        adapted = fit_adaptation(bundle, used, n_bootstrap=n_bootstrap)
    parts = used, held_out
    document = _document(bundle, adapted, parts, left_out, data.name, n_bootstrap)
    written = write_adapted(
        bundle,
        folder,
        _replacement(bundle, used, adapted, data.name),
        used,
        _record(bundle, adapted, used, held_out, data.name),
    )
    progress("adapting", 1, 1)
    return written, replace(document, bundle=written.id)


def _replacement(bundle: Bundle, used: Sample, adapted: Adapted, dataset: str) -> Replacement:
    parent = bundle.provenance
    shares: dict[str, float | None] = {}
    for column, label in enumerate(used.task.labels):
        shares[label] = float(np.nanmean(used.labels[:, column])) if label in adapted.fits else None
        if label in adapted.reasons:
            balanced = parent.assumed_prevalence == "balanced"
            shares[label] = 0.5 if balanced else parent.training_prevalence.get(label)
    patients = plural(len(set(used.patients)), "patient")
    where = f"{plural(len(used), 'image')} of {patients} of {dataset}"
    if adapted.reasons:
        where += f"; not changed: {', '.join(adapted.reasons)}"
    return Replacement(
        recalibration=adapted.recalibration,
        points=adapted.points,
        indeterminate=adapted.indeterminate,
        scores=adapted.scores,
        prevalence=shares,
        locked_on=where,
    )


def _record(
    bundle: Bundle, adapted: Adapted, used: Sample, held_out: Sample, dataset: str
) -> Adaptation:
    own, rest = used.summary(), held_out.summary()
    changed = [
        f"{label}: slope {fit.slope.value:.3g} and intercept {fit.intercept.value:+.3g} of the log "
        "odds; thresholds locked again"
        for label, fit in adapted.fits.items()
    ]
    changed += [f"{label}: unchanged, {reason}" for label, reason in adapted.reasons.items()]
    return Adaptation(
        parent=bundle.id,
        parent_name=name_of(bundle),
        method="recalibration",
        dataset=dataset,
        images=own.images,
        patients=own.patients,
        held_out_images=rest.images,
        held_out_patients=rest.patients,
        labels=tuple(adapted.fits),
        changed=tuple(changed),
    )


def _document(
    bundle: Bundle,
    adapted: Adapted,
    parts: tuple[Sample, Sample],
    left_out: LeftOutCounts,
    dataset: str,
    n_bootstrap: int,
) -> AdaptationDocument:
    used, held_out = parts
    brier = compare_all(held_out, adapted, n_bootstrap)
    rest = held_out.summary()
    return AdaptationDocument(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        parent=ParentModel(name_of(bundle), bundle.id),
        bundle="",  # known when it is written
        dataset=dataset,
        method="recalibration",
        conclusion=conclude(brier, rest),
        adaptation=used.summary(),
        held_out=rest,
        left_out=left_out,
        synthetic=used.synthetic or bool(bundle.provenance.synthetic_images),
        brier=brier,
        labels=judge_labels(bundle, used, held_out, adapted, n_bootstrap),
    )
