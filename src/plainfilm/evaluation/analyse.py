"""Turns predictions into the document of an evaluation, without images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime

from plainfilm import __version__
from plainfilm.data import LeftOut
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.evaluation.document.evaluation import DatasetSummary, LeftOutImage
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.prevalence import describe_prevalence
from plainfilm.evaluation.rejection import describe_rejection
from plainfilm.evaluation.subgroups import describe_subgroups
from plainfilm.evaluation.summary import summarise
from plainfilm.records import Finding


def analyse(
    model: JudgedModel,
    predictions: Predictions,
    dataset: DatasetSummary,
    *,
    left_out: Sequence[LeftOut] = (),
    findings: Sequence[Finding] = (),
    prevalence: float | None = None,
    n_bootstrap: int = 2000,
) -> EvaluationDocument:
    """Return all results that take no pixels.

    Parameters
    ----------
    left_out, findings
        What was found about the data before; both are only passed on.
    prevalence
        See `plainfilm.evaluate`.
    """
    summary = summarise(
        predictions.labels,
        predictions.probabilities,
        model.task,
        predictions.patients,
        model.operating_points,
        validation=model.validation,
        thresholds=predictions.thresholds,
        n_bootstrap=n_bootstrap,
    )
    rejection = at_prevalence = None
    if model.rejection is not None or model.indeterminate or any(predictions.reasons):
        rejection = describe_rejection(model, predictions, n_bootstrap=n_bootstrap)
    if prevalence is not None:
        at_prevalence = describe_prevalence(
            model,
            predictions.labels,
            predictions.probabilities,
            predictions.patients,
            prevalence,
            n_bootstrap=n_bootstrap,
        )
    return EvaluationDocument(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        model=model.summary,
        task=model.task,
        dataset=dataset,
        **{one.name: getattr(summary, one.name) for one in fields(summary)},
        subgroups=describe_subgroups(predictions, model.operating_points, n_bootstrap=n_bootstrap),
        left_out=tuple(LeftOutImage(one.id, one.reason, one.problem) for one in left_out),
        findings=tuple(findings),
        rejection=rejection,
        at_prevalence=at_prevalence,
    )
