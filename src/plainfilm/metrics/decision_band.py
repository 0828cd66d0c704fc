"""Computes simultaneous limits of a decision curve, which hold at all thresholds at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plainfilm.metrics._inputs import Bools, Floats, Ints
from plainfilm.metrics.small_sample import FEW_PATIENTS

_NO_SPREAD = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class DecisionOutcomes:
    """What acting on the predictions does at each threshold; every array is (k,).

    Attributes
    ----------
    patients
        Number of patients.
    hits, alarms, misses, clears
        Shares of the images that are true positives, false positives, false negatives and true
        negatives.
    detected, alarmed, missed
        Numbers of patients with a true positive, a false positive and a false negative.
    """

    patients: int
    hits: Floats
    alarms: Floats
    misses: Floats
    clears: Floats
    detected: Ints
    alarmed: Ints
    missed: Ints

    @classmethod
    def of(
        cls, positive: Bools, y_prob: Floats, groups: Ints, thresholds: Floats
    ) -> DecisionOutcomes:
        """Count labels and probabilities (n,) of at least one image, with patients (n,)."""
        index, size = np.searchsorted(thresholds, y_prob, side="right"), len(thresholds) + 1
        up, down = (np.bincount(index[side], minlength=size) for side in (positive, ~positive))
        missed, cleared = (np.cumsum(side)[:-1] / len(index) for side in (up, down))
        every = int(groups.max()) + 1
        # A patient has a false positive up to the highest negative image, a true positive up to the
        # highest positive image, and a false negative from the lowest positive image.
        highest, lowest = np.zeros((2, every), np.intp), np.full(every, size - 1)
        for row, side in zip(highest, (positive, ~positive), strict=True):
            np.maximum.at(row, groups[side], index[side])
        np.minimum.at(lowest, groups[positive], index[positive])
        detected, alarmed = (
            every - np.cumsum(np.bincount(row, minlength=size))[:-1] for row in highest
        )
        return cls(
            patients=int(np.count_nonzero(np.bincount(groups))),
            hits=up.sum() / len(index) - missed,
            alarms=down.sum() / len(index) - cleared,
            misses=missed,
            clears=cleared,
            detected=detected,
            alarmed=alarmed,
            missed=np.cumsum(np.bincount(lowest, minlength=size))[:-1],
        )


def simultaneous_limits(
    value: Floats, drawn: Floats, rows: Bools, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return limits of values (m,) from their replicates (m, R) that hold together.

    They are at equal numbers of standard deviations from the values; the number is the quantile of
    the largest studentised distance over ``rows`` (m,), the values that have enough replicates
    which differ.

    References
    ----------
    J. L. Montiel Olea & M. Plagborg-Moller, J. Appl. Econom. 34 (2019) 1-17, on the sup-t band.
    """
    spread = drawn.std(axis=1, ddof=1) if drawn.shape[1] > 1 else np.zeros(len(value))
    used = rows & (spread > _NO_SPREAD)
    if not used.any():
        return value - spread, value + spread
    distance = np.abs(drawn[used] - value[used, None]) / spread[used, None]
    factor = float(np.quantile(distance.max(axis=0), level))
    return value - factor * spread, value + factor * spread


def gain_limits(
    value: Floats, drawn: Floats, thresholds: Floats, outcomes: DecisionOutcomes, *, level: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return simultaneous limits of a decision curve, and of its gains.

    Takes the values (k + 1,) and replicates (k + 1, R) of `decision_statistic` without NaN. Returns
    the limits of the net benefit of the model, and the lower limits of its gain over acting on no
    image and on all images, (k,) each. The four hold together at all thresholds.

    Where fewer than `FEW_PATIENTS` patients have an outcome, the bootstrap cannot show how frequent
    it is. There the limits are those of exact limits of the two shares that make up the benefit,
    with the numbers of patients as trials.
    """
    odds = thresholds / (1 - thresholds)
    none, every = value[:-1], value[:-1] - _treat_all(value, odds)
    gains, replicates = (
        np.concatenate([one, two])
        for one, two in (
            (none, every),
            (drawn[:-1], drawn[:-1] - _treat_all(drawn, odds[:, None])),
        )
    )
    size = len(odds)
    enough = np.concatenate([outcomes.alarmed, outcomes.missed]) >= FEW_PATIENTS
    low, high = simultaneous_limits(gains, replicates, enough, level=level)
    tail = (1 - level) / 2 / (4 * size)  # Bonferroni, for four shares at each threshold
    shares = outcomes.hits, outcomes.alarms, outcomes.misses, outcomes.clears
    hits, alarms, _, clears = (_least(one, outcomes, tail) for one in shares)
    most_hits, most_alarms, most_misses, _ = (1 - _least(1 - one, outcomes, tail) for one in shares)
    exact = np.concatenate([hits - most_alarms * odds, clears * odds - most_misses])
    safe = np.where(enough, low, np.minimum(exact, low))
    both = enough[:size] & (outcomes.detected >= FEW_PATIENTS)
    top = np.where(both, high[:size], np.maximum(most_hits - alarms * odds, high[:size]))
    bottom = np.where(both, low[:size], np.minimum(exact[:size], low[:size]))
    return bottom, top, safe[:size], safe[size:]


def _treat_all(values: Floats, odds: Floats) -> Floats:
    benefit: Floats = values[-1] - (1 - values[-1]) * odds
    return benefit


def _least(share: Floats, outcomes: DecisionOutcomes, tail: float) -> Floats:
    """Return the lower limit of Clopper and Pearson of shares, at a one-sided error of ``tail``."""
    from scipy.special import betaincinv

    count = np.clip(share, 0, 1) * outcomes.patients
    some = np.maximum(count, 1e-9)
    limit: Floats = np.where(
        count > 1e-9, betaincinv(some, outcomes.patients - count + 1, tail), 0.0
    )
    return limit
