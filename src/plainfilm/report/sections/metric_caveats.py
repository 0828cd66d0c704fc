"""Caveats that follow from the metrics of a label: chance level, precision, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from plainfilm.evaluation.document import EvaluationDocument, LabelResults, OperatingPointResults
from plainfilm.records import Severity
from plainfilm.report.content import default_point
from plainfilm.report.wording import (
    bounded,
    counted,
    describe,
    enumerate_texts,
    interval_text,
    lower_title,
    metric_text,
    number,
    sentence,
)

_WIDE = 0.1  # width from which a 95% interval is called wide
_MISCALIBRATED = 0.05  # calibration error that is mentioned
_LISTED = 3  # number of wide intervals that are listed
_CLINIC = 0.05  # prevalence for which the positive predictive value is given


@dataclass(frozen=True, slots=True)
class Caveat:
    """A reason for caution: its severity, a title of a few words, and one or two sentences."""

    severity: Severity
    title: str
    text: str


def metric_caveats(evaluation: EvaluationDocument) -> Iterator[Caveat]:
    """Yield the caveats on the metrics of each label."""
    wide: list[str] = []
    chance = evaluation.worse_than_chance()
    for name, results in evaluation.labels.items():
        own = default_point(results)
        metrics = {**results.metrics, **(own[1].metrics if own else {})}
        if name in chance:
            column = chance[name]
            remedy = (
                "Check whether the labels of these images or of the training images are swapped."
                if column is None
                else f"Within {column.column} it is not."
            )
            text = (
                f"The AUROC of {name} is {number(metrics['auroc'].value)}, and its whole interval "
                f"is below 0.5: the model ranks negative images above positive ones. {remedy}"
            )
            yield Caveat("serious", "Worse than chance", text)
        for key in ("auroc", "sensitivity", "specificity"):
            interval = metrics.get(key)
            if interval is None:
                continue
            kind = describe(key)
            what = f"{lower_title(kind.title)} of {name}"
            if bounded(interval) and interval.high - interval.low > _WIDE:
                wide.append(f"the {what} ({interval_text(interval, kind.percent)})")
            if not math.isfinite(interval.value):
                text = f"The {what} is {metric_text(key, interval)}."
                yield Caveat("serious", "Undefined", text)
        if own:
            yield from _threshold(*own)
            yield from _points(results)
            yield from _prevalence(name, own[1], results.prevalence)
        yield from _calibration(name, results, evaluation)
    if wide:
        others = len(wide) - _LISTED
        more = [f"{counted(others, 'other metric')} (see the report)"] if others > 0 else []
        listed = enumerate_texts([*wide[:_LISTED], *more])
        noun, verb = ("interval", "is") if len(wide) == 1 else ("intervals", "are")
        text = f"The 95% confidence {noun} of {listed} {verb} wide."
        yield Caveat("warning", f"Wide {noun}", text)


def _threshold(name: str, point: OperatingPointResults) -> Iterator[Caveat]:
    known = point.validation
    if known is None:
        return
    if known.note:
        yield Caveat("warning", "Threshold", f"Threshold of “{name}”. {sentence(known.note)}")
    elif known.high - known.low > 0.2:
        yield Caveat(
            "warning",
            "Imprecise threshold",
            f"The validation set determines the threshold of “{name}” poorly: other validation "
            f"images of the same kind would have given from {known.low:.2f} to {known.high:.2f}.",
        )


def _points(results: LabelResults) -> Iterator[Caveat]:
    """Yield which points equal the balanced one, or do not reach their target."""
    by_rule: dict[str, list[str]] = {}
    for name, point in results.operating_points.items():
        known = point.validation
        if known and (known.same_as_balanced or known.status == "not attainable"):
            by_rule.setdefault(point.rule, []).append(f"“{name}”")
    for rule, names in by_rule.items():
        yield Caveat("warning", "Operating points", f"{enumerate_texts(names)}: {rule}.")


def _prevalence(name: str, point: OperatingPointResults, prevalence: float) -> Iterator[Caveat]:
    values = point.predictive_values
    if values is None or not prevalence >= 4 * _CLINIC:
        return
    ppv, _ = values.at(_CLINIC)
    if math.isfinite(ppv.value) and bounded(ppv):
        yield Caveat(
            "note",
            "Prevalence",
            f"{prevalence:.0%} of these images are positive for {name}. At a prevalence of "
            f"{_CLINIC:.0%}, about {100 * ppv.value:.0f} of 100 positive predictions would be "
            f"correct (95% CI {100 * ppv.low:.0f} to {100 * ppv.high:.0f}).",
        )


def _calibration(
    name: str, results: LabelResults, evaluation: EvaluationDocument
) -> Iterator[Caveat]:
    error = results.curves.calibration.error
    # A perfectly calibrated model has an error above 0, too; so its lower limit must be above 0.
    low = error.low if math.isfinite(error.low) else 0.0
    if error.value > _MISCALIBRATED and low >= _MISCALIBRATED / 2:
        yield Caveat(
            "warning",
            "Miscalibrated probabilities",
            f"The predicted probability of {name} differs from the observed frequency by "
            f"{100 * error.value:.0f} percentage points on average: use it to rank images, not as "
            f"a probability.{_assumed(name, evaluation)}",
        )


def _assumed(name: str, evaluation: EvaluationDocument) -> str:
    """Return the prevalence that the probabilities assume, if it is known."""
    assumed = evaluation.model.assumed_prevalence
    if assumed == "training":
        return f" It assumes the prevalence of {name} in the training images."
    if assumed == "adaptation":
        return f" It assumes the prevalence of {name} in the images that the model was adapted to."
    if assumed != "balanced":
        return ""
    if evaluation.task.kind == "multiclass":
        return " It assumes that all classes are equally frequent."
    return f" It assumes that half of the images are positive for {name}."
