"""Corrects a bundle for other shares of the classes, on images without labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from plainfilm._text import plural
from plainfilm.adaptation.document import LabelShiftResults, ShiftedShare, ShiftTestResult
from plainfilm.adaptation.sample import Floats, Sample
from plainfilm.adaptation.write import Replacement
from plainfilm.bundle import Bundle, IndeterminateRange
from plainfilm.errors import BundleError, DataError
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.prevalence import assumed_prevalence
from plainfilm.metrics import (
    ClassShares,
    ShiftTest,
    estimate_class_shares,
    holm,
    label_shift_test,
)
from plainfilm.records import LockedPoint, Recalibration, ScoreCounts

MINIMUM_IMAGES = 100
"""Fewest images without labels."""

ASSUMPTION = (
    "Label shift: the images of each class look like those of the same class in validation, and "
    "only the share of each class differs."
)

_LEVEL = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class _Label:
    """What is estimated for one label (of a multi-class task: for all classes together)."""

    assumed: Floats  # (classes,)
    found: ClassShares
    images: int

    @property
    def shares(self) -> Floats:
        """Return the estimated shares, at least half an image from 0 and 1."""
        least = 0.5 / self.images
        values = np.clip([one.value for one in self.found.shares], least, 1 - least)
        shares: Floats = values / values.sum()
        return shares


def correct_label_shift(bundle: Bundle, sample: Sample) -> tuple[Replacement, LabelShiftResults]:
    """Return the corrected parts of a bundle and the results.

    Raises
    ------
    DataError
        If there are too few images, or the test rejects label shift.
    BundleError
        If the bundle has no distribution of validation scores.
    """
    task = sample.task
    missing = [label for label in task.labels if label not in bundle.validation_scores]
    if missing:
        raise BundleError(
            "the bundle has no distribution of validation scores, so label shift cannot be tested",
            received=f"none of {', '.join(missing)}",
            remedy="train again with this version, or adapt on labelled images",
        )
    if len(sample) < MINIMUM_IMAGES:
        raise DataError(
            "there are too few images to estimate the share of each class",
            received=plural(len(sample), "image"),
            remedy=f"give at least {MINIMUM_IMAGES}",
        )
    tests = {
        label: label_shift_test(
            sample.probabilities[:, column],
            bundle.validation_scores[label],
            patients=sample.patients,
        )
        for column, label in enumerate(task.labels)
    }
    adjusted = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    parts = _estimate(bundle, sample)
    _check(tests, adjusted, parts)
    results = LabelShiftResults(
        assumption=ASSUMPTION,
        shares=_describe(parts, tests, task.kind == "multiclass"),
        tests={
            label: ShiftTestResult(test.p, adjusted[label], test.statistic, test.freedom)
            for label, test in tests.items()
        },
    )
    return _correct(bundle, parts, task.kind == "multiclass"), results


def _estimate(bundle: Bundle, sample: Sample) -> dict[str, _Label]:
    """Return the estimates by label; those of a multi-class task are all the same."""
    task, probabilities = sample.task, sample.probabilities
    model = JudgedModel.of(bundle)
    given = np.array([assumed_prevalence(model, label) for label in task.labels])
    patients, count = sample.patients, len(sample)
    if task.kind == "multiclass":
        assumed = given / given.sum()
        found = estimate_class_shares(probabilities, [*assumed], patients=patients)
        return dict.fromkeys(task.labels, _Label(assumed, found, count))
    parts = {}
    for column, label in enumerate(task.labels):
        both = np.column_stack([1 - probabilities[:, column], probabilities[:, column]])
        assumed = np.array([1 - given[column], given[column]])
        found = estimate_class_shares(both, [*assumed], patients=patients)
        parts[label] = _Label(assumed, found, count)
    return parts


def _check(
    tests: Mapping[str, ShiftTest], adjusted: Mapping[str, float], parts: Mapping[str, _Label]
) -> None:
    for label, test in tests.items():
        if math.isnan(test.p):
            raise DataError(f"label shift cannot be tested for {label}", received=test.reason)
    rejected = [label for label in tests if adjusted[label] < _LEVEL]
    if rejected:
        shown = ", ".join(f"{label}: p = {adjusted[label]:.2g}" for label in rejected)
        raise DataError(
            "these images differ from the validation images in more than the share of each class, "
            "so the probabilities cannot be corrected without labels",
            received=f"the test of label shift rejects it ({shown})",
            remedy="adapt on labelled images of this site: leave label_shift= out",
        )
    for label, part in parts.items():
        own = part.found
        why = next((one.reason for one in own.shares if math.isnan(one.low)), None)
        if not own.converged:
            why = "the estimate does not converge"
        if why is not None:
            raise DataError(
                f"the prevalence of {label} cannot be estimated",
                received=why,
                remedy="adapt on labelled images of this site: leave label_shift= out",
            )


def _describe(
    parts: Mapping[str, _Label], tests: Mapping[str, ShiftTest], several: bool
) -> dict[str, ShiftedShare]:
    found = {}
    for number, (label, part) in enumerate(parts.items()):
        column = number if several else 1
        found[label] = ShiftedShare(
            float(part.assumed[column]), part.found.shares[column], tests[label].shares[column]
        )
    return found


def _correct(bundle: Bundle, parts: Mapping[str, _Label], several: bool) -> Replacement:
    origin = bundle.provenance
    if several:  # the predicted class is the most probable one, without a threshold
        part = next(iter(parts.values()))
        shift = np.log(part.shares / part.assumed)
        intercepts = shift - shift.mean()
        return Replacement(
            recalibration=Recalibration((1.0,) * len(parts), tuple(intercepts.tolist())),
            points=(),
            indeterminate={},
            scores={},
            prevalence=dict(zip(parts, part.shares.tolist(), strict=True)),
            locked_on=None,
        )
    shifts = {
        label: _logit(part.shares[1]) - _logit(part.assumed[1]) for label, part in parts.items()
    }
    return Replacement(
        recalibration=Recalibration((1.0,) * len(parts), tuple(shifts.values())),
        points=tuple(_move_point(one, shifts[one.point.label]) for one in bundle.points),
        indeterminate={
            label: _move_range(limits, shifts[label])
            for label, limits in bundle.indeterminate.items()
        },
        scores={
            label: _move_scores(counts, shifts[label])
            for label, counts in bundle.validation_scores.items()
        },
        prevalence={label: float(part.shares[1]) for label, part in parts.items()},
        locked_on=origin.locked_on,
    )


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def move(probability: float, shift: float) -> float:
    """Return a probability whose log odds are shifted; 0 and 1 stay."""
    if not 0 < probability < 1:
        return probability
    return 1 / (1 + math.exp(-(_logit(probability) + shift)))


def _move_point(locked: LockedPoint, shift: float) -> LockedPoint:
    """Move a threshold with the probabilities, so that the predicted classes stay the same."""
    point = replace(
        locked.point,
        threshold=move(locked.point.threshold, shift),
        rule=f"{locked.point.rule}; moved with the correction for the prevalence",
    )
    evidence = replace(
        locked.validation,
        low=move(locked.validation.low, shift),
        high=move(locked.validation.high, shift),
    )
    return LockedPoint(point, evidence)


def _move_range(limits: IndeterminateRange, shift: float) -> IndeterminateRange:
    return replace(limits, low=move(limits.low, shift), high=move(limits.high, shift))


def _move_scores(counts: ScoreCounts, shift: float) -> ScoreCounts:
    edges = tuple(move(edge, shift) for edge in counts.edges)
    return replace(counts, edges=edges)


def conclude_shift(results: LabelShiftResults, several: bool) -> str:
    """Return what was corrected, on which assumption, in one sentence."""
    shown = ", ".join(
        f"{label} {share.estimated.value:.1%} ({share.estimated.low:.1%} to "
        f"{share.estimated.high:.1%}) instead of {share.assumed:.1%}"
        for label, share in results.shares.items()
    )
    least = min(test.p_adjusted for test in results.tests.values())
    name = "shares of the classes" if several else "prevalence"
    return (
        f"The probabilities are corrected for an estimated {name} of {shown}, which assumes that "
        f"only these shares differ; the test does not reject that (p = {least:.2g})."
    )
