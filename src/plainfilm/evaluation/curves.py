"""The curves of one label: ROC, precision-recall, calibration, decision, distribution of scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from plainfilm import metrics
from plainfilm.evaluation.document.label import (
    Calibration,
    Curves,
    DecisionCurveValues,
    PrecisionRecallCurve,
    RocCurve,
    ScoreHistogram,
)
from plainfilm.evaluation.view import BINS, Floats, LabelView

_BAND = (
    "band and useful thresholds: sup-t band over all thresholds, 95 % together, with exact limits "
    "where few patients have an outcome"
)
_POINTS = 500
_SCORE_BINS = 40


def curves(
    view: LabelView,
    classes: tuple[str, str],
    error: metrics.Interval,
    benefit: Floats,
    benefits: Floats,
) -> Curves:
    """Return the curves of a label.

    Takes the names of the negative and positive class, the calibration error, and the net benefits
    (k,) with their replicates (k, R).
    """
    both = view.positive, view.probabilities
    fpr, tpr, threshold = thin(*metrics.roc_curve(*both))
    precision, recall = thin(*metrics.precision_recall_curve(*both)[:2])
    edges = np.linspace(0, 1, 1 + _SCORE_BINS)
    counts = {
        name: tuple(np.histogram(view.probabilities[rows], edges)[0].tolist())
        for name, rows in zip(classes, (~view.positive, view.positive), strict=True)
    }
    return Curves(
        RocCurve(fpr, tpr, threshold),
        PrecisionRecallCurve(recall, precision),
        _calibration(view, error),
        _decision(view, benefit, benefits) if view.positive.size else None,
        ScoreHistogram(tuple(edges.tolist()), counts),
    )


def _calibration(view: LabelView, error: metrics.Interval) -> Calibration:
    both = view.positive, view.probabilities
    patients = view.clusters.groups if view.clusters.clustered else None
    line = metrics.calibration_line(*both, patients=patients)
    bias = metrics.calibration_error_bias(view.probabilities, bins=BINS)
    return Calibration(
        bins=tuple(
            replace(one, observed=replace(one.observed, method=f"{one.observed.method}, by image"))
            for one in metrics.reliability_curve(*both, bins=BINS)
        ),
        error=error,
        error_bias=bias,
        error_corrected=max(0.0, error.value - bias),
        brier_parts=metrics.brier_parts(*both, bins=BINS),
        brier_method=f"{BINS} bins of equal width, within-bin terms counted with the resolution",
        slope=line.slope,
        intercept=line.intercept,
        in_the_large=line.in_the_large,
    )


def _decision(view: LabelView, benefit: Floats, benefits: Floats) -> DecisionCurveValues:
    at = np.array(metrics.THRESHOLDS)
    outcomes = metrics.DecisionOutcomes.of(
        view.positive, view.probabilities, view.clusters.groups, at
    )
    curve = metrics.read_decision(benefit[:, None], benefits, at, outcomes)
    return DecisionCurveValues(
        threshold=tuple(curve.threshold.tolist()),
        model=tuple(curve.model.tolist()),
        model_low=tuple(curve.low.tolist()),
        model_high=tuple(curve.high.tolist()),
        treat_all=tuple(curve.treat_all.tolist()),
        treat_all_low=tuple(curve.treat_all_low.tolist()),
        treat_all_high=tuple(curve.treat_all_high.tolist()),
        band_low=tuple(curve.band_low.tolist()),
        band_high=tuple(curve.band_high.tolist()),
        useful=tuple(curve.useful),
        method=f"percentile bootstrap over {view.clusters.unit}, {benefits.shape[1]} replicates, "
        f"95 % at each threshold; {_BAND}",
    )


def thin(*columns: Floats) -> list[tuple[float, ...]]:
    """Return at most 500 points of a curve, its ends among them, column by column."""
    length = len(columns[0])
    keep = np.unique(np.linspace(0, max(length - 1, 0), min(length, _POINTS)).round().astype(int))
    return [tuple(column[keep].tolist()) for column in columns]
