"""Metrics of one label with their intervals, results at an operating point, and sample sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from plainfilm import metrics
from plainfilm.evaluation.document.label import (
    OperatingPointResults,
    PredictiveValueCurve,
    SampleSize,
    SampleSizes,
    SampleSizeTarget,
)
from plainfilm.evaluation.view import Bools, Floats, LabelView
from plainfilm.records import OperatingPoint, ThresholdEvidence

_SCORES = ("auroc", "average_precision", "partial_auroc", "brier", "log_loss")
_HALF_WIDTHS = (0.1, 0.05, 0.03, 0.02, 0.01)
TRIVIAL = ("accuracy", "ppv", "npv", "f1", "average_precision")
"""Metrics that show nothing new, or nothing at all, on images of one class."""
_SAMPLE_SIZE_NOTE = (
    "For an equally good model, the same share of positives and as many images per patient. The "
    "design effect, the variance of this interval over that of independent images, is included."
)


def score_intervals(
    view: LabelView, at_once: Sequence[Floats], drawn: Sequence[Floats]
) -> tuple[dict[str, metrics.Interval], metrics.Interval, dict[str, Floats]]:
    """Return the metrics that need no threshold, the calibration error, and replicates by metric.

    Takes the values on all images and the replicates of the first two of
    `LabelView.score_statistics`.
    """
    ranking, total = at_once
    values = [*ranking, *_mean_losses(total[:, None])[:, 0]]
    replicates = dict(zip(_SCORES, [*drawn[0], *_mean_losses(drawn[1])], strict=True))
    found = {
        name: view.ranking_interval(name, float(value), replicates[name])
        for name, value in zip(_SCORES, values, strict=True)
    }
    if not view.clusters.clustered and math.isfinite(found["auroc"].value):
        found["auroc"] = metrics.delong(view.positive, view.probabilities)
    return found, _calibration_error(view, total, drawn[1]), replicates


def _mean_losses(sums: Floats) -> Floats:
    """Return Brier score and log loss (2, R) from sums (3 + bins, R)."""
    with np.errstate(invalid="ignore"):
        means: Floats = sums[1:3] / sums[0]
    return means


def _calibration_error(view: LabelView, sums: Floats, drawn: Floats) -> metrics.Interval:
    """Return the calibration error with a conservative interval.

    Takes the sums (3 + bins,) of the images and their replicates (3 + bins, R). The error is a sum
    of absolute gaps and therefore biased upwards, and a replicate twice as much: for a calibrated
    model, percentiles never reach 0. But the error differs from the true one by at most the
    summed distance of the gaps from the true gaps, and the replicates show how large that is.
    """
    name = "calibration_error"
    why = metrics.why_undefined(
        name, metrics.confusion(view.positive, np.zeros_like(view.positive))
    )
    if why is not None:
        return metrics.undefined("none", why)
    gaps = sums[3:] / sums[0]
    valid = drawn[:, drawn[0] > 0]
    distance = np.abs(valid[3:] / valid[0] - gaps[:, None]).sum(axis=0)
    value, reach = float(np.abs(gaps).sum()), float(np.quantile(distance, 0.95))
    if reach < 1e-12:
        return view.interval(name, value, np.full(drawn.shape[1], value))
    method = (
        f"bootstrapped distance of the bins over {view.clusters.unit}, "
        f"{drawn.shape[1]} replicates, 95 %"
    )
    reason = "the value itself is biased upwards, and the interval errs to the wide side"
    return metrics.Interval(value, max(0.0, value - reach), min(1.0, value + reach), method, reason)


def rate_intervals(view: LabelView, predicted: Bools, drawn: Floats) -> dict[str, metrics.Interval]:
    """Return every rate of `RATES` of the predictions (n,), from its replicates (len(RATES), R)."""
    counts = metrics.confusion(view.positive, predicted)
    shares = {
        "accuracy": (counts.tp + counts.tn, counts.n),
        "sensitivity": (counts.tp, counts.tp + counts.fn),
        "specificity": (counts.tn, counts.tn + counts.fp),
        "ppv": (counts.tp, counts.tp + counts.fp),
        "npv": (counts.tn, counts.tn + counts.fn),
    }
    values = metrics.rates(counts.tp, counts.fp, counts.tn, counts.fn)
    found = {}
    for name, value, replicates in zip(metrics.RATES, values, drawn, strict=True):
        why = metrics.why_undefined(name, counts)
        if why is not None:
            found[name] = metrics.undefined("none", why)
        elif name in shares and not view.clusters.clustered:
            found[name] = metrics.wilson(*shares[name])
        else:
            found[name] = view.interval(name, float(value), replicates, predicted)
    return found


def without_other_class(
    view: LabelView, intervals: Mapping[str, metrics.Interval], names: Sequence[str]
) -> dict[str, metrics.Interval]:
    """Return the metrics; without images of one class, those of ``names`` are undefined.

    Such a metric would only repeat the sensitivity or specificity, or be 0 or 1 for every model.
    """
    found = dict(intervals)
    if len(view.positive) and view.positive.all() | ~view.positive.any():
        missing = "negative" if view.positive.all() else "positive"
        why = metrics.undefined("none", f"there is no {missing} image")
        found.update((name, why) for name in names if name in found)
    return found


def describe_point(
    view: LabelView,
    point: OperatingPoint,
    predicted: Bools,
    drawn: Floats,
    validation: ThresholdEvidence | None,
) -> OperatingPointResults:
    """Return the results at an operating point: predictions (n,) and replicates of its rates."""
    rates = rate_intervals(view, predicted, drawn)
    curve = predict_values(view, predicted, rates, drawn, metrics.PREVALENCES)
    if curve is not None:
        method = f"Bayes' theorem on sensitivity and specificity; {curve.method}"
        curve = replace(curve, method=method)
    return OperatingPointResults(
        threshold=point.threshold,
        purpose=point.purpose,
        label=point.label,
        rule=point.rule,
        confusion=metrics.confusion(view.positive, predicted),
        metrics=without_other_class(view, rates, TRIVIAL),
        predictive_values=curve,
        validation=validation,
        no_predictive_values=too_few(view) if curve is None else None,
    )


def too_few(view: LabelView) -> str | None:
    """Return why the images are too few for results at another prevalence, or None."""
    sides = {"positive": view.positive, "negative": ~view.positive}
    for name, side in sides.items():
        count = view.clusters[side].patients
        if count < metrics.ENOUGH_PATIENTS:
            have = "patient has" if count == 1 else "patients have"
            return (
                f"only {count} {have} {name} images; results at another prevalence require "
                f"{metrics.ENOUGH_PATIENTS}"
            )
    return None


def predict_values(
    view: LabelView,
    predicted: Bools,
    rates: Mapping[str, metrics.Interval],
    drawn: Floats,
    prevalences: Sequence[float],
) -> PredictiveValueCurve | None:
    """Return PPV and NPV at prevalences (k,), or None where `too_few` gives a reason.

    Takes the positive predictions (n,), and the intervals and replicates (len(RATES), R) of rates.
    """
    hit, clear = rates["sensitivity"], rates["specificity"]
    if too_few(view) is not None:
        return None
    value = metrics.predictive_values(hit.value, clear.value, prevalences)
    outcomes = [
        side & one for side in (view.positive, ~view.positive) for one in (predicted, ~predicted)
    ]
    if min(view.clusters[outcome].patients for outcome in outcomes) < metrics.FEW_PATIENTS:
        # Too few patients for a bootstrap. Both values increase with sensitivity and specificity.
        low = metrics.predictive_values(hit.low, clear.low, prevalences)
        high = metrics.predictive_values(hit.high, clear.high, prevalences)
        method = "at the limits of sensitivity and specificity, which errs to the wide side"
        columns = [value.ppv, low.ppv, high.ppv, value.npv, low.npv, high.npv]
    else:
        both = drawn[[metrics.RATES.index("sensitivity"), metrics.RATES.index("specificity")]]
        both = both[:, ~np.isnan(both.sum(axis=0))]
        again = metrics.predictive_values(both[0], both[1], prevalences)
        columns = []
        for one, replicates in ((value.ppv, again.ppv), (value.npv, again.npv)):
            ends = np.nanquantile(replicates, [0.025, 0.975], axis=0, method="nearest")
            columns += [one, *ends]
        unit, count = view.clusters.unit, drawn.shape[1]
        method = f"percentile bootstrap over {unit}, {count} replicates, 95 %"
    ppv, ppv_low, ppv_high, npv, npv_low, npv_high = (tuple(one.tolist()) for one in columns)
    return PredictiveValueCurve(
        tuple(prevalences), ppv, ppv_low, ppv_high, npv, npv_low, npv_high, method
    )


def describe_sample_sizes(
    view: LabelView, intervals: Mapping[str, metrics.Interval]
) -> SampleSizes:
    """Return half widths of the 95 % intervals, and the test sets that narrower ones require."""
    auroc, sensitivity, specificity = (
        _plan(name, intervals[name], view) for name in ("auroc", "sensitivity", "specificity")
    )
    return SampleSizes(_SAMPLE_SIZE_NOTE, auroc, sensitivity, specificity)


def _plan(name: str, interval: metrics.Interval, view: LabelView) -> SampleSize | None:
    if not math.isfinite(interval.high - interval.low):
        return None
    n, positives = len(view.positive), int(view.positive.sum())
    share = positives / n
    half = (interval.high - interval.low) / 2
    trials = positives if name == "sensitivity" else n - positives
    if name == "auroc":
        independent = metrics.newcombe(interval.value, positives, n - positives)
    else:
        independent = metrics.wilson(interval.value * trials, trials)
    effect = (2 * half / (independent.high - independent.low)) ** 2
    targets = []
    for width in (one for one in _HALF_WIDTHS if one < half):
        if name == "auroc":
            images = metrics.images_for_auroc(
                interval.value, width, prevalence=share, design_effect=effect
            )
        else:
            cases = metrics.images_for_proportion(interval.value, width, design_effect=effect)
            images = math.ceil(cases / (share if name == "sensitivity" else 1 - share))
        patients = math.ceil(images * view.clusters.patients / n)
        targets.append(SampleSizeTarget(width, images, patients, math.ceil(images * share)))
    return SampleSize(half, effect, tuple(targets))
