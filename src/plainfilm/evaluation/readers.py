"""Judges human readers, and compares the model with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm import metrics
from plainfilm.errors import MetricError
from plainfilm.evaluation.document.readers import (
    LabelReaders,
    ModalityDifference,
    ModalityResults,
    ReaderAgreement,
    ReaderResults,
    Readers,
    ReadersMean,
)
from plainfilm.evaluation.one_reader import ReadImages, judge_reader
from plainfilm.evaluation.reads import Reads
from plainfilm.evaluation.view import Floats, repeated
from plainfilm.records import Task

_NO_RATING_THRESHOLD = (
    "ratings have no sensitivity and specificity without a threshold, which must be given"
)
_NO_POINT = "no operating point is locked or given, so the model makes no calls"
_TOP = "the call of the model is its most probable class, as that of a reader is one class"


def describe_readers(
    task: Task,
    labels: NDArray[np.floating[Any]],
    probabilities: NDArray[np.floating[Any]],
    patients: Sequence[str],
    thresholds: Mapping[str, float],
    reads: Mapping[str, Reads],
    *,
    source: Sequence[str],
    unmatched: int = 0,
    reader_threshold: float | None = None,
    n_bootstrap: int = 2000,
) -> Readers:
    """Return the results of readers on the images of an evaluation.

    Parameters
    ----------
    labels, probabilities
        (n, labels); labels are 1, 0 or NaN.
    patients
        Patient keys (n,).
    thresholds
        Threshold of the model for each label that has one, see `EvaluationDocument.thresholds`.
        For a multi-class task, the calls of the model are its most probable class instead.
    reads, unmatched
        See `plainfilm.evaluation.reads.load_reads`.
    source
        Names of the tables.
    reader_threshold
        Lowest rating that counts as a positive call.
    n_bootstrap
        Number of resamples of each bootstrap.
    """
    found = {}
    top = task.kind == "multiclass"
    for column, label in enumerate(task.labels):
        if label in reads:
            own = reads[label]
            y_true = np.asarray(labels[:, column], np.float64)
            rows = ~np.isnan(y_true) & ~np.isnan(own.values).all(axis=(0, 1))
            if not rows.any():
                continue
            threshold = None if top else thresholds.get(label)
            calls = _model_calls(probabilities[rows], column, threshold, top)
            images = ReadImages(
                y_true=y_true[rows],
                y_score=np.asarray(probabilities[rows, column], np.float64),
                patients=repeated(np.asarray(patients)[rows]),
                threshold=threshold,
                calls=calls,
                n_bootstrap=n_bootstrap,
            )
            values = own.values[:, :, rows]
            one = _describe_label(images, replace(own, values=values), reader_threshold)
            found[label] = replace(one, notes=(_TOP, *one.notes)) if top else one
    return Readers(tuple(source), unmatched, found)


def _model_calls(
    probabilities: NDArray[np.floating[Any]], column: int, threshold: float | None, top: bool
) -> Floats | None:
    """Return the calls of the model for one label, or None without a threshold."""
    if top:
        return np.asarray(probabilities.argmax(axis=1) == column, np.float64)
    if threshold is None:
        return None
    return np.asarray(np.asarray(probabilities[:, column], np.float64) >= threshold, np.float64)


def _describe_label(
    images: ReadImages, reads: Reads, reader_threshold: float | None
) -> LabelReaders:
    """Return the results of all readers of one label."""
    notes = [] if images.calls is not None else [_NO_POINT]
    ratings = reads.values if reads.kind == "ratings" else None
    calls: Floats | None = reads.values
    if ratings is not None:
        calls = None
        if reader_threshold is not None:
            calls = np.where(np.isnan(ratings), np.nan, ratings >= reader_threshold)
        else:
            notes.append(_NO_RATING_THRESHOLD)
    readers = [
        judge_reader(
            images, name, modality,
            None if calls is None else calls[place], None if ratings is None else ratings[place],
        )
        for place, modality, name in _places(reads)
    ]  # fmt: skip
    by_metric: dict[str, Floats] = {}
    if calls is not None:
        by_metric |= {"sensitivity": calls, "specificity": calls}
    if ratings is not None:
        by_metric["auroc"] = ratings
    modalities = [
        _describe_modality(images, number, modality, by_metric, calls, notes)
        for number, modality in enumerate(reads.modalities)
    ]
    adjusted, tests = _adjust(readers)
    every = np.ones(len(images.y_true), bool)
    return LabelReaders(
        kind=reads.kind,
        threshold=reader_threshold if ratings is not None else None,
        model_threshold=images.threshold,
        images=len(images.y_true),
        patients=images.count,
        readers=adjusted,
        modalities=tuple(modalities),
        differences=tuple(_compare_modalities(images, reads, by_metric)),
        tests=tests,
        roc=images.curve(images.y_score, every),
        auroc=images.area(images.y_score, every),
        notes=tuple(dict.fromkeys(notes)),
    )


def _places(reads: Reads) -> list[tuple[tuple[int, int], str, str]]:
    """Return modality and reader of each combination that has a read: numbers and names."""
    return [
        ((m, r), modality, reader)
        for m, modality in enumerate(reads.modalities)
        for r, reader in enumerate(reads.readers)
        if not np.isnan(reads.values[m, r]).all()
    ]


def _adjust(readers: Sequence[ReaderResults]) -> tuple[tuple[ReaderResults, ...], int]:
    """Return the results with p-values adjusted over all of them, and the number of tests."""
    tests = [test.p for own in readers for test in own.against.values() if test.p is not None]
    adjusted = iter(metrics.holm(tests))
    done = tuple(
        replace(
            own,
            against={
                name: test if test.p is None else replace(test, p_adjusted=next(adjusted))
                for name, test in own.against.items()
            },
        )
        for own in readers
    )
    return done, len(tests)


def _describe_modality(
    images: ReadImages,
    number: int,
    modality: str,
    by_metric: Mapping[str, Floats],
    calls: Floats | None,
    notes: list[str],
) -> ModalityResults:
    """Return the mean of the readers with a modality, and their agreement."""
    mean: dict[str, ReadersMean] = {}
    for name, values in by_metric.items():
        own = values[number][~np.isnan(values[number]).all(axis=1)]
        if len(own) < 2:
            notes.append("the mean of readers and their agreement need two readers")
        elif name != "auroc" and images.calls is None:
            continue
        elif (found := _mean(images, name, own)) is not None:
            mean[name] = found
        else:
            notes.append(f"the mean {name} needs two patients of each class for every reader")
    agreement = None
    if calls is not None:
        own = calls[number][~np.isnan(calls[number]).all(axis=1)]
        agreement = _agreement(images, own) if len(own) > 1 else None
    return ModalityResults(modality, mean, agreement)


def _mean(images: ReadImages, name: str, own: Floats) -> ReadersMean | None:
    """Return the mean of readers (r, n) in a metric, and the model less it."""
    scores = images.y_score if name == "auroc" else images.calls
    if scores is None:
        return None
    model = np.where(np.isnan(own), np.nan, scores)
    values, covariance = metrics.reader_covariance(
        name, images.y_true, np.vstack([own, model]), images.patients
    )
    r = len(own)
    try:
        mean = metrics.reader_mean(values[:r], covariance[:r, :r], median_unbiased=True)
        found = metrics.compare_with_model(values[:r], values[r:], covariance, median_unbiased=True)
    except MetricError:
        return None
    p = None if np.isnan(found.p) else found.p
    return ReadersMean(mean, float(values[r:].mean()), found.difference, p, found.freedom)


def _agreement(images: ReadImages, own: Floats) -> ReaderAgreement | None:
    """Return the agreement of readers (r, n) on their calls."""
    try:
        return ReaderAgreement(
            percent=metrics.percent_agreement(own, images.patients),
            kappa=metrics.cohens_kappa(own[0], own[1], images.patients)
            if len(own) == 2
            else metrics.fleiss_kappa(own, images.patients),
            ac1=metrics.gwet_ac1(own, images.patients, n_classes=2),
        )
    except MetricError:  # no image has two reads
        return None


def _compare_modalities(
    images: ReadImages, reads: Reads, by_metric: Mapping[str, Floats]
) -> list[ModalityDifference]:
    """Return the difference of each pair of modalities, for readers who used both."""
    found = []
    for first, second in combinations(range(len(reads.modalities)), 2):
        for name, values in by_metric.items():
            pair = values[[first, second]]
            pair = np.where(np.isnan(pair).any(axis=0), np.nan, pair)
            pair = pair[:, ~np.isnan(pair[0]).all(axis=1)]
            r = pair.shape[1]
            try:
                own, covariance = metrics.reader_covariance(
                    name, images.y_true, pair.reshape(2 * r, -1), images.patients
                )
                [test] = metrics.compare_modalities(
                    own.reshape(2, r), covariance, median_unbiased=True
                ).differences
            except MetricError:  # fewer than two readers, or a class without patients
                continue
            names = reads.modalities[first], reads.modalities[second]
            p = None if np.isnan(test.p) else test.p
            found.append(ModalityDifference(*names, name, test.difference, p, test.freedom))
    return found
