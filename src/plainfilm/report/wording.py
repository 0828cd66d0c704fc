"""Writes numbers and intervals as text; names and explains metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from plainfilm._text import plural
from plainfilm.evaluation.document import Summary
from plainfilm.metrics import Interval


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's title, whether it is shown in percent, and its meaning."""

    title: str
    percent: bool
    meaning: str


METRICS: dict[str, Metric] = {
    name: Metric(title, percent, meaning)
    for name, title, percent, meaning in (
        ("auroc", "AUROC", False, "probability that a random positive image scores above a random "
         "negative one"),
        ("average_precision", "Average precision", False, "area under the precision-recall curve; "
         "chance level is the prevalence"),
        ("partial_auroc", "Partial AUROC", False, "for false positive rates up to 0.1, "
         "standardised: 0.5 is chance, 1 is perfect"),
        ("sensitivity", "Sensitivity", True, "share of positive images predicted positive"),
        ("specificity", "Specificity", True, "share of negative images predicted negative"),
        ("ppv", "PPV", True, "share of positive predictions that are correct, at this prevalence"),
        ("npv", "NPV", True, "share of negative predictions that are correct, at this prevalence"),
        ("accuracy", "Accuracy", True, "share of correct predictions"),
        ("balanced_accuracy", "Balanced accuracy", True, "mean over the true classes of the share "
         "of correct predictions"),
        ("exact_match", "Exact match", True, "share of images without any wrong label"),
        ("f1", "F1", False, "harmonic mean of PPV and sensitivity"),
        ("mcc", "MCC", False, "Matthews correlation coefficient: 0 is chance, 1 is perfect"),
        ("kappa", "Cohen's kappa", False, "agreement of predicted and true class beyond chance: 0 "
         "is chance, 1 is perfect"),
        ("percent_agreement", "Agreement", True, "share of pairs of readers with the same call"),
        ("ac1", "AC1", False, "agreement of calls beyond chance after Gwet: 0 is chance, 1 is "
         "perfect; stable where one class is rare"),
        ("lr_positive", "Positive likelihood ratio", False, "factor by which a positive prediction "
         "multiplies the odds of the class; 1 is no information"),
        ("lr_negative", "Negative likelihood ratio", False, "factor by which a negative prediction "
         "multiplies the odds of the class; 1 is no information"),
        ("brier", "Brier score", False, "mean squared error of the probability; lower is better"),
        ("log_loss", "Log loss", False, "mean negative log-likelihood in nats; lower is better"),
        ("calibration_error", "Calibration error", False, "mean distance between predicted "
         "probability and observed frequency; 0 is perfect"),
        ("calibration_slope", "Calibration slope", False, "below 1 probabilities are too extreme, "
         "above 1 not extreme enough"),
        ("calibration_intercept", "Calibration intercept", False, "in log odds, fitted with the "
         "slope; 0 is perfect"),
        ("calibration_in_the_large", "Calibration in the large", False, "in log odds; above 0 "
         "probabilities are too low on average"),
    )
}  # fmt: skip
"""By name, in the order of the tables."""

_SPACE = "\u202f"
counted = partial(plural, separator=_SPACE)
"""Return a count with its noun and narrow spaces between thousands."""


def describe(name: str) -> Metric:
    """Return a metric's title and meaning; an unknown metric has its own name as title."""
    return METRICS.get(name, Metric(name.replace("_", " "), False, ""))


def macro_title(name: str) -> str:
    """Return the title of the mean of a metric over the labels."""
    return f"{describe(name).title}, macro"


def mean_of(summary: Summary, name: str) -> str:
    """Return how many labels the mean of a metric includes: ``mean of 2 of 3 labels``."""
    some, every = summary.averaged(name), counted(len(summary.labels), "label")
    return f"mean of {some} of {every}" if some < len(summary.labels) else f"mean of {every}"


def sorted_metrics(names: Iterable[str]) -> list[str]:
    """Return names without repetition, in the order of `METRICS`."""
    known = list(dict.fromkeys(names))
    return [n for n in METRICS if n in known] + [n for n in known if n not in METRICS]


def number(value: float | None, percent: bool = False) -> str:
    """Return a share as percent with one decimal, another number with three; – if undefined."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value * 100:.1f}%" if percent else f"{value:.3f}".replace("-", "−")


def count(value: float) -> str:
    """Return a count with narrow spaces, which do not break, between thousands."""
    return f"{value:,.0f}".replace(",", _SPACE)


def bounded(interval: Interval | None) -> bool:
    """Return whether both limits of an interval are finite."""
    return interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high)


def interval_text(interval: Interval, percent: bool = False) -> str:
    """Return the limits of an interval, or an empty string if there are none."""
    if not bounded(interval):
        return ""
    if percent:
        return f"{interval.low * 100:.1f}–{interval.high * 100:.1f}%"
    between = " to " if interval.low < 0 else "–"
    return f"{number(interval.low)}{between}{number(interval.high)}"


def metric_text(name: str, interval: Interval | None) -> str:
    """Return a metric with its interval, or why it is undefined."""
    if interval is None or not math.isfinite(interval.value):
        return f"undefined: {(interval and interval.reason) or 'not computed'}"
    percent = describe(name).percent
    limits = interval_text(interval, percent)
    return number(interval.value, percent) + (f" ({limits})" if limits else "")


def change_text(interval: Interval | None, percent: bool = False) -> str:
    """Return a difference with its sign and interval; shares in percentage points."""
    if interval is None:
        return "–"
    scale, digits, unit = (100, 1, " points") if percent else (1, 3, "")

    def signed(value: float) -> str:
        return f"{scale * value:+.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"

    limits = f" ({signed(interval.low)} to {signed(interval.high)})" if bounded(interval) else ""
    return f"{signed(interval.value)}{unit}{limits}"


def p_text(value: float) -> str:
    """Return a p-value with its letter, such as ``p = 0.031``."""
    return f"p {'< 0.001' if value < 0.001 else f'= {value:.3f}'}"


def method_of(interval: Interval, *, short: bool = False) -> str:
    """Return how an interval was computed, with any note on it; ``short`` returns the name only."""
    if interval.method == "none":
        return ""
    if short:
        return interval.method.partition(",")[0]
    method = interval.method.removesuffix(", 95 %")  # the heading of the table states the level
    noted = interval.reason and math.isfinite(interval.value)
    return f"{method}; {interval.reason}" if noted else method


def enumerate_texts(texts: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def when(text: str) -> str:
    """Return the day of an ISO date and time; other text is returned unchanged."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{moment.day} {moment:%B %Y}"


def lower_title(title: str) -> str:
    """Return a title as within a sentence; acronyms keep their capitals."""
    return title if title[1:2].isupper() else title.lower()


def capitalised(text: str) -> str:
    """Return text with a capital first letter; the others are unchanged."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Return text with a capital first letter and a full stop, unless it ends with a mark."""
    text = capitalised(text)
    return text if text.endswith((".", "!", "?")) else f"{text}."
