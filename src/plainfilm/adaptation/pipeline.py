"""Adapts a bundle to the images of another site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plainfilm import _files
from plainfilm._progress import Progress, silent
from plainfilm.adaptation.document import AdaptationDocument
from plainfilm.adaptation.labelled import recalibrate
from plainfilm.adaptation.sample import BUNDLE, ScoreOptions
from plainfilm.adaptation.unlabelled import correct_without_labels, load_without_labels
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import RunError, UsageError

DOCUMENT = "adaptation.json"


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
    label_shift: bool = False,
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

    Without labels, ``label_shift`` corrects the probabilities for other shares of the classes, if a
    test does not reject that only these differ. Thresholds move with the probabilities, so that the
    predicted classes stay the same; for a multi-class task thresholds are left out.

    Parameters
    ----------
    model
        A bundle, or the folder of a bundle or run.
    data
        A manifest, or what `plainfilm.load_dataset` takes. The official test set of a data set, if
        there is one, is the held-out part. Images that the bundle was trained or validated on, and
        all images of their patients, are left out.
    out
        Folder for the new bundle and ``adaptation.json``. An adaptation of the same model to the
        same data is replaced.
    share
        Share of the images to adapt on, between 0 and 1; the rest is held out.
    label_shift
        Whether to use no labels. ``data`` may then be a folder of images without classes.
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
        If a class has too few images, the model does not distinguish the classes at this site, or
        the test rejects label shift.
    UsageError
        If ``out`` holds other files or another adaptation, or all images are of an official test
        set.
    BundleError
        If the bundle cannot be verified or its graph cannot be recalibrated.
    """
    bundle = model if isinstance(model, Bundle) else read_bundle(model)
    folder = Path(out)
    _files.check_output_folder(folder, DOCUMENT)
    if not isinstance(data, Manifest):
        roots = [data] if isinstance(data, str | Path) else [*data]
        data = load_without_labels(roots, bundle.task) if label_shift else load_dataset(*roots)
    _check_folder(folder, bundle.id, data.hash)
    options: ScoreOptions = {"cache": cache, "workers": workers, "progress": progress}
    if label_shift:
        found = correct_without_labels(bundle, data, folder / BUNDLE, options)
    else:
        found = recalibrate(bundle, data, folder / BUNDLE, share, seed, n_bootstrap, options)
    adapted, document = found[0], replace(found[1], requested_hash=data.hash)
    document.write(folder / DOCUMENT)
    return AdaptedBundle(folder, adapted, document)


def _check_folder(folder: Path, parent: str, data: str) -> None:
    """Refuse a folder in which another adaptation would be overwritten."""
    path = folder / DOCUMENT
    if not path.is_file():
        return
    try:
        stored = AdaptationDocument.read(path)
    except RunError:
        other = f"an {DOCUMENT} that this version of plainfilm cannot read"
    else:
        same_parent = stored.parent.id == parent
        if same_parent and stored.requested_hash == data:
            return
        what = "to other images, labels or patients" if same_parent else "of another model"
        other = f"an adaptation {what} (the data set {stored.dataset})"
    raise UsageError(
        f"{folder} holds another adaptation, which would be lost",
        received=other,
        remedy="name another folder with out=, or remove this one",
    )
