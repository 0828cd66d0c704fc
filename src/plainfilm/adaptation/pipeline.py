"""Adapts a bundle to the images of another site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from plainfilm import __version__, _files
from plainfilm._progress import Progress, silent
from plainfilm._text import plural
from plainfilm.adaptation.document import AdaptationDocument, LeftOutCounts, ParentModel
from plainfilm.adaptation.fit import Adapted, fit_adaptation
from plainfilm.adaptation.judge import compare_all, conclude, judge_labels
from plainfilm.adaptation.sample import Sample, divide, score_sample
from plainfilm.adaptation.write import Replacement, write_adapted
from plainfilm.bundle import Adaptation, Bundle, read_bundle
from plainfilm.data import Manifest, load_dataset
from plainfilm.evaluation.scoring import align

DOCUMENT, BUNDLE = "adaptation.json", "bundle"


@dataclass(frozen=True, slots=True)
class AdaptedBundle:
    """The result of `adapt`.

    Attributes
    ----------
    folder
        Folder of ``adaptation.json`` and of the folder ``bundle``. Functions that take a bundle
        take this folder, too.
    bundle
        The new bundle.
    document
        The content of ``adaptation.json``.
    """

    folder: Path
    bundle: Bundle
    document: AdaptationDocument


def adapt(
    model: Bundle | str | Path,
    data: Manifest | str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    share: float = 0.5,
    seed: int = 0,
    cache: str | Path | None = None,
    workers: int | None = None,
    n_bootstrap: int = 2000,
    progress: Progress = silent,
) -> AdaptedBundle:
    """Recalibrate a bundle on labelled images of a site, and lock its thresholds there.

    The images are divided by patient. On one part, a slope (the inverse of a temperature) and an
    intercept of each label are fitted on the log odds, and the thresholds are locked. The other
    part shows whether that helps. The network does not change, and so neither does the AUROC.

    Parameters
    ----------
    model
        A bundle, or the folder of a bundle or run.
    data
        A manifest, or what `plainfilm.load_dataset` takes. The official test set of a data set, if
        there is one, is the held-out part. Images that the bundle was trained or validated on, and
        all images of their patients, are left out.
    out
        Folder for the new bundle and ``adaptation.json``.
    share
        Share of the images to adapt on, between 0 and 1; the rest is held out.
    seed
        Seed of the division.
    cache, workers
        Folder of decoded images and number of decoding processes, see `plainfilm.train`.
    n_bootstrap
        Number of resamples of each bootstrap.
    progress
        Called with the progress.

    Raises
    ------
    DataError
        If a class has too few images, or the model does not distinguish the classes at this site.
    UsageError
        If ``out`` holds other files, or all images are of an official test set.
    BundleError
        If the bundle cannot be verified or its graph cannot be recalibrated.
    """
    bundle = model if isinstance(model, Bundle) else read_bundle(model)
    folder = Path(out)
    _files.check_output_folder(folder, DOCUMENT)
    if not isinstance(data, Manifest):
        roots = [data] if isinstance(data, str | Path) else [*data]
        data = load_dataset(*roots)
    sample, left_out = score_sample(
        bundle,
        align(data, bundle.task),
        labelled=True,
        cache=cache,
        workers=workers,
        progress=progress,
    )
    used, held_out = divide(sample, share, seed)
    progress("adapting", 0, 1)
    adapted = fit_adaptation(bundle, used, n_bootstrap=n_bootstrap)
    written = write_adapted(
        bundle,
        folder / BUNDLE,
        _replacement(bundle, used, adapted, data.name),
        used,
        _record(bundle, adapted, used, held_out, data.name),
    )
    document = _document(
        bundle, written, adapted, (used, held_out), left_out, data.name, n_bootstrap
    )
    document.write(folder / DOCUMENT)
    progress("adapting", 1, 1)
    return AdaptedBundle(folder, written, document)


def name_of(bundle: Bundle) -> str:
    """Return the name of the folder of a bundle, or of the run that it is in."""
    folder = bundle.folder.resolve()
    return folder.parent.name if folder.name == BUNDLE else folder.name


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
    written: Bundle,
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
        bundle=written.id,
        dataset=dataset,
        method="recalibration",
        conclusion=conclude(brier, rest),
        adaptation=used.summary(),
        held_out=rest,
        left_out=left_out,
        brier=brier,
        labels=judge_labels(bundle, used, held_out, adapted, n_bootstrap),
    )
