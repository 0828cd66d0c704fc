"""Describes what a validation set shows about a threshold: counts, rates and warnings.

Disturbed copies of an image take part in the selection of a threshold. They are no further
evidence, so every count here is one of images or patients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Bools, Floats, Ints, Patients, known, known_groups
from plainfilm.metrics.ranking import roc_auc_score
from plainfilm.metrics.regression import logits_of
from plainfilm.metrics.scores import sensitivity_score, specificity_score
from plainfilm.records import PointStatus, Purpose, ThresholdEvidence, ValidationRates

_FEW = 20  # images or patients of a class
_SATURATED = 0.99
_WIDE = 0.3  # in probability
_WIDE_LOGIT = 2.0  # in log odds: a factor of more than seven in the odds
_RATES = {"rule-out": "sensitivity", "rule-in": "specificity"}


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """The known labels of a validation set, with probabilities of all copies of its images.

    ``values``, ``positive`` and ``groups`` (m,) begin with the ``images`` unchanged images;
    ``groups`` is the patient of each, below ``patients``. ``auroc`` is that of all copies.
    """

    values: Floats
    positive: Bools
    groups: Ints
    images: int
    patients: int
    copies: int
    auroc: float

    @classmethod
    def of(
        cls, y_prob: ArrayLike, y_true: ArrayLike, patients: Patients, copies: int
    ) -> Validation:
        """Return the images with known label; see `lock_operating_points`."""
        if copies < 1:
            raise MetricError("there must be at least one version of each image", received=copies)
        positive, values, _ = known(np.tile(np.asarray(y_true), copies), y_prob, probabilities=True)
        groups, count = known_groups(y_true, patients)
        area = roc_auc_score(positive, values)
        return cls(values, positive, np.tile(groups, copies), len(groups), count, copies, area)

    def facts(self, threshold: float, limits: tuple[float, float]) -> ThresholdEvidence:
        """Return counts and rates of a threshold that is not questioned."""
        first = slice(self.images)
        up = self.positive[first]
        sides = [self.groups[first][side] for side in (up, ~up)]
        return ThresholdEvidence(
            status="determined",
            note="",
            low=limits[0],
            high=limits[1],
            target=None,
            same_as_balanced=False,
            positives=len(sides[0]),
            negatives=len(sides[1]),
            positive_patients=len(np.unique(sides[0])),
            negative_patients=len(np.unique(sides[1])),
            copies=self.copies,
            unchanged=_rates(self.values[first], up, threshold),
            all_copies=_rates(self.values, self.positive, threshold),
        )

    def evidence(
        self,
        purpose: Purpose,
        threshold: float,
        limits: tuple[float, float],
        *,
        target: float | None,
        same: bool,
        resampled: bool,
    ) -> ThresholdEvidence:
        """Return what both classes show about a threshold that was selected on them.

        ``same`` is whether it is that of the balanced point, ``resampled`` whether ``limits`` are
        those of bootstrap samples.
        """
        facts = self.facts(threshold, limits)
        notes = [self._same()] if same else []
        notes += self._spread_notes(threshold, limits, resampled=resampled)
        notes += self._separation_notes(facts)
        reached = facts.all_copies
        rate = reached.sensitivity if purpose == "rule-out" else reached.specificity
        status: PointStatus = "not determined" if notes else "determined"
        if target is not None and rate < target:
            status = "not attainable"
            notes.append(f"no threshold reaches the target of {target:g}")
        return replace(
            facts, status=status, note="; ".join(notes), target=target, same_as_balanced=same
        )

    def rule(self, purpose: Purpose, evidence: ThresholdEvidence) -> str:
        """Return the rule that selected a threshold; a target only if validation determines it."""
        where = "on validation" + (" with disturbed copies" if self.copies > 1 else "")
        if purpose == "balanced":
            return f"highest balanced accuracy {where}, kernel-smoothed in log odds"
        rate = f"{_RATES[purpose]} of"
        if evidence.status == "not attainable":
            return f"no threshold reaches a {rate} {evidence.target:g} {where}"
        if evidence.same_as_balanced:
            return self._same()
        if evidence.status == "not determined":
            return (
                f"aims at a {rate} {evidence.target:g}, but validation does not determine the "
                "threshold"
            )
        ends = ("highest", "above") if purpose == "rule-out" else ("lowest", "below")
        return (
            f"{ends[0]} threshold with a {rate} at least {evidence.target:g} {where}, "
            f"not {ends[1]} the balanced one"
        )

    def _same(self) -> str:
        reason = (
            ": validation separates the classes too well to set another"
            if self.auroc > _SATURATED
            else ", which already reaches the target on validation"
        )
        return f"the same threshold as balanced{reason}"

    def _spread_notes(
        self, threshold: float, limits: tuple[float, float], *, resampled: bool
    ) -> list[str]:
        """Return how much the threshold varies, and the gap that it is in."""
        notes = []
        if not resampled:
            notes.append("without bootstrap replicates its uncertainty is unknown")
        elif _wide(*limits):
            notes.append(
                "the validation set hardly determines this threshold: on resampled patients it "
                f"ranges from {limits[0]:.3g} to {limits[1]:.3g}"
            )
        values, positive = self.values, self.positive
        below = float(values[values < threshold].max(initial=0.0))
        above = float(values[values >= threshold].min(initial=1.0))
        if _wide(below, above):
            separated = values[~positive].max() < values[positive].min()
            perfect = " (the classes are perfectly separated)" if separated else ""
            notes.append(
                "the validation set hardly determines this threshold: every value above "
                f"{below:.3g} and up to {above:.3g} gives the same predictions there{perfect}"
            )
        return notes

    def _separation_notes(self, facts: ThresholdEvidence) -> list[str]:
        """Return whether the classes are separated too well, not at all, or too small."""
        notes = []
        if self.auroc > _SATURATED:
            shown = f"AUROC {self.auroc:.3f}"
            if self.copies > 1:
                first = slice(self.images)
                unchanged = roc_auc_score(self.positive[first], self.values[first])
                shown = (
                    f"AUROC {unchanged:.3f} on the unchanged images, {self.auroc:.3f} with "
                    "their disturbed copies"
                )
            notes.append(
                f"the validation set is nearly perfectly separated ({shown}), so it hardly shows "
                "the right threshold for harder images or images from other sites"
            )
        images = min(facts.positives, facts.negatives)
        patients = min(facts.positive_patients, facts.negative_patients)
        if images < _FEW:
            notes.append(f"one class has only {plural(images, 'validation image')}")
        elif patients < _FEW:
            notes.append(f"one class has validation images of only {plural(patients, 'patient')}")
        if facts.all_copies.sensitivity + facts.all_copies.specificity <= 1:
            notes.append("on the validation set it is no better than chance")
        return notes


def _rates(values: Floats, positive: Bools, threshold: float) -> ValidationRates:
    """Return the rates of a threshold; NaN if the class is missing."""
    called = values >= threshold
    return ValidationRates(sensitivity_score(positive, called), specificity_score(positive, called))


def _wide(low: float, high: float) -> bool:
    low_logit, high_logit = logits_of([low, high])
    return bool(high - low > _WIDE or high_logit - low_logit > _WIDE_LOGIT)
