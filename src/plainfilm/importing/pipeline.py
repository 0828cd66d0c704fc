"""Imports an ONNX classifier as a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from plainfilm import __version__, _files
from plainfilm._machine import versions
from plainfilm._progress import Progress, silent
from plainfilm._text import printable
from plainfilm.bundle import (
    Bundle,
    BundleMetadata,
    Determination,
    ImportedFrom,
    Provenance,
    write_bundle,
)
from plainfilm.bundle.imported import OutputKind
from plainfilm.encoders.images import combine
from plainfilm.encoders.presets import ImageOptions, find_preset
from plainfilm.encoders.source import read_source
from plainfilm.errors import BundleError
from plainfilm.importing.candidate import Candidate, find_candidate
from plainfilm.importing.equality import tolerance
from plainfilm.importing.outputs import choose_meaning, to_logits
from plainfilm.importing.points import given_points
from plainfilm.importing.samples import check_samples
from plainfilm.importing.validation import (
    Data,
    Validated,
    load_validation,
    validate_network,
)
from plainfilm.metrics import apply_temperature
from plainfilm.network_session import NetworkSession
from plainfilm.records import TaskKind
from plainfilm.runtime import Predictor
from plainfilm.trial import try_bundle

__all__ = ["import_model"]


def import_model(
    model: str | Path,
    *,
    out: str | Path,
    labels: Sequence[str],
    negative: str | None = None,
    task: TaskKind | None = None,
    preset: str | None = None,
    images: ImageOptions | None = None,
    input: str | None = None,
    output: str | None = None,
    output_kind: OutputKind | None = None,
    columns: Sequence[int] | None = None,
    validation: Data | None = None,
    thresholds: float | Mapping[str, float] | None = None,
    check: str | Path | None = None,
    licence: str | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Bundle:
    """Make a bundle of an ONNX classifier, with which all commands work as with a trained one.

    The graph is checked, and put between the image input and the outputs of a bundle. Drawn images
    must give the same outputs in the original graph, which NumPy prepares them for. Whether the
    declared preprocessing is that of the network, only ``check`` can show.

    Parameters
    ----------
    model
        The ONNX file.
    out
        New folder for the bundle.
    labels
        Names of the columns of the output: the labels, or the classes if they exclude each other.
    negative
        Name of the negative class of a binary task.
    task
        ``binary``, ``multiclass`` or ``multilabel``; None derives it where that is clear.
    preset
        A preset of `plainfilm.importing.PRESETS`.
    images
        How the network expects images; its options replace those of the preset.
    input, output
        Input and output of the graph; None takes the only one.
    output_kind
        ``logits`` or ``probabilities``; None takes probabilities if the graph ends in a sigmoid or
        softmax.
    columns
        Columns of the output to use, counted from 0; None uses all.
    validation
        A manifest, or what `plainfilm.load_dataset` takes: labelled images on which temperature and
        thresholds are locked. Its validation split is used, or all of it but a test split. None
        locks nothing: probabilities are not changed.
    thresholds
        A probability for all labels, or one for each label, from which on a label is positive.
    check
        Sample images with outputs of the original network: a .npz file with ``images`` (uint8,
        n x size x size) and ``outputs``, or a table with file names and one column of probabilities
        for each label. They must be equal to 1e-4.
    licence
        Licence of the network, for the model card.
    cache, workers
        Folder of decoded images and number of decoding processes, see `plainfilm.train`.
    progress
        Called with the progress.

    Returns
    -------
    Bundle
        Verified, in ``out``.

    Raises
    ------
    UsageError
        If an argument is wrong or needed.
    SourceError, LabelError
        If the validation images cannot be used.
    BundleError
        If the graph is refused, or does not return what the original returns.
    """
    folder = Path(out)
    _files.check_output_folder(folder)
    progress("importing", 0, 1)
    given = images or ImageOptions()
    source = read_source(Path(model), input, output)
    candidate = find_candidate(
        source,
        given if preset is None else combine(given, find_preset(preset)),
        lambda total: choose_meaning(
            source,
            labels,
            negative=negative,
            task=task,
            kind=output_kind,
            columns=columns,
            total=total,
        ),
    )
    graph, meaning = candidate.to_graph(), candidate.meaning
    checked = "the ONNX file on drawn images"
    if check is not None:
        samples = check_samples(Path(check), NetworkSession(graph), candidate.spec, meaning)
        checked = f"{samples}; {checked}"
    metadata = BundleMetadata(
        task=meaning.task,
        pixels=candidate.spec,
        temperature=1.0,
        points=given_points(meaning.task, thresholds),
        has_activation_map=False,
        provenance=_provenance(candidate, checked, licence),
    )
    known = None
    if validation is not None:
        validated = validate_network(
            graph,
            candidate.spec,
            load_validation(validation, meaning.task),
            cache=cache,
            workers=workers,
            progress=progress,
        )
        metadata, known = _with_locked(metadata, validated), validated.known
        graph = candidate.to_graph(metadata.temperature)
    bundle = write_bundle(folder, metadata, graph=graph, weights=None, training_images=known)
    try:
        try_bundle(bundle)
        _verify(bundle, candidate)
    except BundleError:
        (bundle.folder / "SHA256SUMS").unlink()  # without it the folder is not a bundle
        raise
    progress("importing", 1, 1)
    return bundle


def _verify(bundle: Bundle, candidate: Candidate) -> None:
    """Check that the bundle predicts like the original on drawn images."""
    images, outputs = candidate.reference
    meaning = candidate.meaning
    logits = to_logits(outputs[:, list(meaning.columns)], meaning)
    expected = apply_temperature(logits, bundle.temperature, kind=bundle.task.kind)
    gap = float(np.abs(Predictor(bundle).probabilities(images) - expected).max())
    allowed = tolerance(candidate.source.dtype)
    if not gap <= allowed:
        raise BundleError(
            "the bundle does not predict like the ONNX file that it was made from",
            received=f"probabilities differ by up to {gap:.2g} (allowed {allowed:.0e})",
            remedy="report this as a defect, with the file if possible",
        )


def _with_locked(metadata: BundleMetadata, validated: Validated) -> BundleMetadata:
    """Return the metadata with what was locked on validation, before the points that were given."""
    locked, temperature = validated.locked, validated.locked.temperature
    return replace(
        metadata,
        temperature=temperature.value,
        points=(*locked.points, *metadata.points),
        indeterminate=locked.indeterminate,
        validation_scores=locked.scores,
        provenance=replace(
            metadata.provenance,
            temperature=Determination(temperature.determined, temperature.note),
            locked_on=validated.words,
            validation_images=len(validated.manifest),
        ),
    )


def _provenance(candidate: Candidate, checked: str, licence: str | None) -> Provenance:
    source, meaning = candidate.source, candidate.meaning
    weights = (math.prod(one.dims) for one in source.model.graph.initializer)
    return Provenance(
        plainfilm=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions("onnx", "onnxruntime", "numpy", "pillow"),
        parameters=sum(weights),
        imported_from=ImportedFrom(
            file=printable(source.file),
            sha256=source.sha256,
            producer=source.producer,
            opset=source.opset,
            input=printable(source.input),
            output=printable(source.output),
            output_kind=meaning.kind,
            columns=meaning.columns,
            names=meaning.names,
            preprocessing=candidate.preprocessing,
            batch=candidate.batch,
            licence=licence,
            checked=checked,
        ),
    )
