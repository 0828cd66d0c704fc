"""Evaluates a bundle: scores images through the predictor, analyses and writes the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from plainfilm import _files
from plainfilm._progress import Progress, silent
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.data import Manifest, load_dataset, relocate
from plainfilm.errors import RunError, SourceError, UsageError
from plainfilm.evaluation.analyse import analyse
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.evaluation.document.evaluation import DatasetSummary
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.overlap import describe_overlap, find_overlap, report_overlap
from plainfilm.evaluation.pretraining import report_pretraining
from plainfilm.evaluation.prevalence import check_prevalence
from plainfilm.evaluation.result import DOCUMENT, Evaluation
from plainfilm.evaluation.robustness import measure_robustness
from plainfilm.evaluation.scoring import align, name_split, official_test, score
from plainfilm.runtime import Predictor
from plainfilm.training import open_run


def evaluate(
    model: Bundle | str | Path,
    data: Manifest | str | Path | Sequence[str | Path] | None = None,
    *,
    images: str | Path | None = None,
    out: str | Path | None = None,
    robustness: bool = True,
    prevalence: float | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    n_bootstrap: int = 2000,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate a bundle on images that it was not trained on.

    Images and patients that the bundle was trained or validated on are recognised. They stay in the
    results, with a serious finding, and ``document.overlap`` has the metrics without them.

    Parameters
    ----------
    model
        A bundle, or the folder of a bundle or run.
    data
        A manifest, which is scored whole. Or what `plainfilm.load_dataset` takes: then its
        official test split is scored, or all of it where there is none. None takes the test split
        of the run.
    images
        Folder where the images of the run are now, if they were moved; only without ``data``.
    out
        Folder for the files; None takes the folder ``evaluation`` of the run. A folder that holds
        an evaluation is overwritten only by one of the same bundle and data.
    robustness
        Whether to score disturbed images too, which takes about as long as everything else.
    prevalence
        Share of positives, 0 to 1, to correct the probabilities for and to compute PPV and NPV at;
        None leaves this out.
    cache, workers
        Folder of decoded images and number of decoding processes, see `plainfilm.train`.
    n_bootstrap
        Number of resamples of each bootstrap.
    progress
        Called with the progress.

    Returns
    -------
    Evaluation
        Also written as ``evaluation.json``, ``predictions.parquet`` and ``manifest.parquet``.

    Raises
    ------
    UsageError
        If ``data`` or ``out`` is needed and missing, or ``out`` holds another evaluation.
    SourceError, LabelError
        If there is no image to score, or the labels are not those of the bundle.
    BundleError
        If the bundle cannot be verified.
    """
    path = model.folder if isinstance(model, Bundle) else Path(model)
    bundle = model if isinstance(model, Bundle) else read_bundle(path)
    judged = JudgedModel.of(bundle)
    if prevalence is not None:
        check_prevalence(judged, prevalence)
    manifest, split = _load(path, data)
    if images is not None:
        if data is not None:
            raise UsageError("images= is for the images of the run", received="data and images=")
        manifest = relocate(manifest, images)
    name = "evaluation" if data is None else f"evaluation-{plain_name(manifest.name)}"
    folder = choose_folder(path, out, name)
    if not len(manifest):
        raise SourceError(
            f"{manifest.name} has no {split} images to evaluate on",
            remedy="give a data set with labelled images",
        )
    manifest = align(manifest, bundle.task)
    if out is not None or data is not None:  # the folder within a run follows the run's bundle
        check_folder(folder, bundle.id, manifest.hash)
    _files.make_folder(folder)
    scored = score(bundle, manifest, cache=cache, workers=workers, progress=progress)
    overlap = find_overlap(bundle, scored)
    found = scored.manifest.with_findings(
        [
            *report_overlap(overlap, scored, own=data is None),
            *report_pretraining(bundle.provenance.all_pretrained, scored.manifest),
        ]
    )
    progress("computing intervals", 0, 1)
    document = replace(
        analyse(
            judged,
            scored.predictions,
            DatasetSummary(
                manifest.name, split, found.hash, manifest.hash, scored.synthetic_images
            ),
            left_out=scored.left_out,
            findings=found.findings,
            prevalence=prevalence,
            n_bootstrap=n_bootstrap,
        ),
        overlap=describe_overlap(overlap, scored, bundle, n_bootstrap=n_bootstrap),
    )
    progress("computing intervals", 1, 1)
    if robustness:
        disturbed = measure_robustness(
            Predictor(bundle), found, cache=cache, workers=workers, progress=progress
        )
        document = replace(document, robustness=disturbed)
    evaluation = Evaluation(folder, document, scored.predictions, found)
    evaluation.write()
    return evaluation


def find_run(path: Path) -> Path | None:
    """Return the folder of the run that a bundle or run folder belongs to, or None."""
    found = (one for one in (path, path.parent) if (one / "plan.json").is_file())
    return next((one for one in found if (one / "bundle").is_dir()), None)


def choose_folder(path: Path, out: str | Path | None, name: str) -> Path:
    """Return ``out`` or, where it is None, the folder ``name`` of the run at ``path``."""
    if out is not None:
        return Path(out)
    if not (path / "plan.json").is_file():
        raise UsageError(
            "a bundle alone has no folder for its evaluation", remedy="name a folder with out="
        )
    return path / name


def plain_name(name: str) -> str:
    """Return a name that is safe as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "data"


def _load(
    path: Path, data: Manifest | str | Path | Sequence[str | Path] | None
) -> tuple[Manifest, str]:
    """Return the records to score, and the name of their split."""
    if data is None:
        if not (path / "plan.json").is_file():
            raise UsageError(
                "a bundle alone has no images to be evaluated on",
                remedy="give a data set, or the run folder that the bundle came from",
            )
        return open_run(path).manifest.select("test"), "test"
    if not isinstance(data, Manifest):
        roots = [data] if isinstance(data, str | Path) else [*data]
        data = official_test(load_dataset(*roots, one_class=True))
    return data, name_split(data)


def check_folder(folder: Path, model: str, data: str) -> None:
    """Refuse a folder in which another evaluation would be overwritten.

    ``model`` is the id of the model, and ``data`` the hash of the data.
    """
    path = folder / DOCUMENT
    if not path.is_file():
        _files.check_output_folder(folder)
        return
    try:
        stored = EvaluationDocument.read(path)
    except RunError:
        other = f"an {DOCUMENT} that this version of plainfilm cannot read"
    else:
        same_model = stored.model.id == model
        if same_model and stored.dataset.requested_hash == data:
            return
        what = "other images, labels or patients" if same_model else "another model"
        other = f"an evaluation of {what} (the data set {stored.dataset.name})"
    raise UsageError(
        f"{folder} holds another evaluation, which would be lost",
        received=other,
        remedy="name another folder with out=, or remove this one",
    )
