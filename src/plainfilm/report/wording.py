"""How numbers are written, and what each metric is called and means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from plainfilm.report.content import value_of

__all__ = [
    "METRICS",
    "Metric",
    "count",
    "describe",
    "interval",
    "method_of",
    "metric_text",
    "number",
    "points_wide",
    "read_out",
    "signed",
    "when",
]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name for people, whether it is a share, and what it says."""

    title: str
    percent: bool
    meaning: str


METRICS: dict[str, Metric] = {
    "auroc": Metric(
        "AUROC", False, "chance that a random positive image scores above a random negative one"
    ),
    "average_precision": Metric(
        "Average precision", False, "area below precision against recall; guessing = prevalence"
    ),
    "partial_auroc": Metric(
        "Partial AUROC", False, "at false positive rates up to 0.1; 0.5 is guessing, 1 perfect"
    ),
    "sensitivity": Metric("Sensitivity", True, "share of the positive images that are flagged"),
    "specificity": Metric("Specificity", True, "share of the negative images that are not flagged"),
    "ppv": Metric("PPV", True, "share of the flagged images that are positive, at this prevalence"),
    "npv": Metric(
        "NPV", True, "share of the images not flagged that are negative, at this prevalence"
    ),
    "accuracy": Metric("Accuracy", True, "share of the images that are called correctly"),
    "balanced_accuracy": Metric(
        "Balanced accuracy", True, "mean of the shares called correctly in each class"
    ),
    "f1": Metric("F1", False, "harmonic mean of PPV and sensitivity"),
    "mcc": Metric("MCC", False, "Matthews correlation: 0 for guessing, 1 for perfect"),
    "lr_positive": Metric(
        "Positive likelihood ratio", False, "by how much a flag multiplies the odds; above 1"
    ),
    "lr_negative": Metric(
        "Negative likelihood ratio", False, "by how much no flag multiplies the odds; below 1"
    ),
    "brier": Metric("Brier score", False, "mean squared error of the probability; lower is better"),
    "log_loss": Metric("Log loss", False, "mean surprise in nats; lower is better"),
    "calibration_error": Metric(
        "Calibration error", False, "mean distance of probability and observed share; 0 is perfect"
    ),
    "calibration_slope": Metric(
        "Calibration slope", False, "below 1 the probabilities are too extreme, above too timid"
    ),
    "calibration_intercept": Metric(
        "Calibration intercept", False, "in log odds, beside the slope; 0 is perfect"
    ),
    "calibration_in_the_large": Metric(
        "Calibration in the large", False, "in log odds; above 0 the probabilities are too low"
    ),
}


def describe(name: str) -> Metric:
    """Return what is known about a metric; one that is not listed is shown under its own name."""
    return METRICS.get(name, Metric(name.replace("_", " "), False, ""))


def number(value: float, percent: bool = False) -> str:
    """Write a number: shares as percent with one digit, others with three."""
    return f"{value * 100:.1f}%" if percent else f"{value:.3f}".replace("-", "−")


def count(value: float) -> str:
    """Write a count with narrow spaces between thousands, where no line breaks."""
    return f"{value:,.0f}".replace(",", "\u202f")


def interval(metric: Mapping[str, Any] | None, percent: bool = False) -> str:
    """Write the bounds of a metric's interval, or nothing where it has none."""
    low, high = value_of(metric, "low"), value_of(metric, "high")
    if low is None or high is None:
        return ""
    if percent:
        return f"{low * 100:.1f}–{high * 100:.1f}%"
    return f"{number(low)} to {number(high)}" if low < 0 else f"{low:.3f}–{high:.3f}"


def metric_text(name: str, metric: Mapping[str, Any] | None) -> str:
    """Write a metric with its interval, or why it is undefined."""
    kind = describe(name)
    value = value_of(metric)
    if value is None:
        reason = (metric or {}).get("reason") or "not computed"
        return f"undefined: {reason}"
    bounds = interval(metric, kind.percent)
    return f"{number(value, kind.percent)} ({bounds})" if bounds else number(value, kind.percent)


def method_of(metric: Mapping[str, Any] | None, *, short: bool = False) -> str:
    """Write how an interval was made, with what its maker notes; ``short`` gives its name alone."""
    method = str((metric or {}).get("method") or "")
    if method == "none":
        return ""
    if short:
        return method.partition(",")[0]
    # The level stands in the head of the table; what is noted on a value, beside its method.
    method = method.removesuffix(", 95 %")
    note = (metric or {}).get("reason") if value_of(metric) is not None else None
    return f"{method}; {note}" if note else method


def points_wide(metric: Mapping[str, Any] | None) -> float | None:
    """Return the width of an interval in points of a hundred, or None."""
    low, high = value_of(metric, "low"), value_of(metric, "high")
    return None if low is None or high is None else (high - low) * 100


def when(text: object) -> str:
    """Write an ISO date and time for people; anything else stays as it is."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return str(text)
    return f"{moment.day} {moment:%B %Y}"


def signed(metric: Mapping[str, Any], percent: bool = False) -> str:
    """Write a difference with its sign and its interval."""
    scale, digits, unit = (100, 1, " points") if percent else (1, 3, "")
    ends = [value_of(metric, key) for key in ("value", "low", "high")]
    texts = ["–" if end is None else f"{scale * end:+.{digits}f}".replace("-", "−") for end in ends]
    bounds = "" if ends[1] is None or ends[2] is None else f" ({texts[1]} to {texts[2]})"
    return f"{texts[0]}{unit}{bounds}"


def read_out(row: Mapping[str, Any]) -> str:
    """Say a row of a figure of intervals, for those who listen."""
    return f"{row['words']}: {number(row['value'])} ({interval(row)})"
