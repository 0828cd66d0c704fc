"""Computes agreement of raters on classes: percent agreement, kappa and AC1, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plainfilm._text import plural
from plainfilm.errors import MetricError
from plainfilm.metrics._inputs import Floats, Ints, Patients, group_index
from plainfilm.metrics.intervals import Interval, undefined, wilson

PERCENT = "percent agreement"


def percent_agreement(
    ratings: ArrayLike, patients: Patients = None, *, level: float = 0.95
) -> Interval:
    """Return the share of pairs of raters that agree, as a mean over images, with an interval.

    Parameters
    ----------
    ratings
        Classes as numbers (raters, n), NaN where a rater did not rate an image. Images with fewer
        than two ratings do not count.
    patients, level
        See `plainfilm.metrics`.

    See Also
    --------
    gwet_ac1 : Agreement beyond chance; stable where one class is rare.
    fleiss_kappa : Agreement beyond chance; low where one class is rare.
    """
    table = _Table.of(ratings, patients, None)
    shares = table.agreement
    value = float(shares.sum() / table.rated_twice)
    return _limits(PERCENT, value, 0.0, shares * table.stretch - value, table, level)


def gwet_ac1(
    ratings: ArrayLike,
    patients: Patients = None,
    *,
    n_classes: int | None = None,
    level: float = 0.95,
) -> Interval:
    """Return Gwet's AC1 of two or more raters with an interval.

    Parameters
    ----------
    ratings
        Classes as numbers (raters, n), NaN where a rater did not rate an image.
    patients, level
        See `plainfilm.metrics`.
    n_classes
        Number of classes that could be chosen; by default, and at least, those that occur.

    References
    ----------
    K. L. Gwet, Br. J. Math. Stat. Psychol. 61 (2008) 29-48; missing ratings: K. L. Gwet, Handbook
    of Inter-Rater Reliability, 4th edition, 2014.

    Examples
    --------
    >>> found = gwet_ac1([[1, 1, 0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 1, 0, 0]])
    >>> f"{found.value:.3f}"
    '0.781'
    """
    table = _Table.of(ratings, patients, n_classes)
    spread = 1 - table.prevalence
    chance = table.shares @ spread / (table.classes - 1)
    return _beyond_chance("Gwet's AC1", table, chance, level)


def fleiss_kappa(
    ratings: ArrayLike,
    patients: Patients = None,
    *,
    level: float = 0.95,
) -> Interval:
    """Return Fleiss' kappa of two or more raters with an interval.

    Parameters
    ----------
    ratings
        Classes as numbers (raters, n), NaN where a rater did not rate an image.
    patients, level
        See `plainfilm.metrics`.

    References
    ----------
    J. L. Fleiss, Psychol. Bull. 76 (1971) 378-382; variance and missing ratings: K. L. Gwet,
    Handbook of Inter-Rater Reliability, 4th edition, 2014.
    """
    table = _Table.of(ratings, patients, None)
    return _beyond_chance("Fleiss' kappa", table, table.shares @ table.prevalence, level)


def cohens_kappa(
    first: ArrayLike, second: ArrayLike, patients: Patients = None, *, level: float = 0.95
) -> Interval:
    """Return Cohen's kappa of two raters with an interval.

    Parameters
    ----------
    first, second
        Classes as numbers (n,), NaN where a rater did not rate an image; only images that both
        rated count.
    patients, level
        See `plainfilm.metrics`.

    References
    ----------
    J. Cohen, Educ. Psychol. Meas. 20 (1960) 37-46; variance: J. L. Fleiss, J. Cohen & B. S.
    Everitt, Psychol. Bull. 72 (1969) 323-327.
    """
    pair = np.atleast_2d(np.stack([_floats(first), _floats(second)]))
    pair = np.where(np.isnan(pair).any(axis=0), np.nan, pair)
    table = _Table.of(pair, patients, None)
    one, other = (table.codes[:, rater] for rater in (0, 1))
    ahead, behind = (np.bincount(row, minlength=table.classes) / len(row) for row in (one, other))
    constant = [row.max() == 1 for row in (ahead, behind)]
    if any(constant) and not (all(constant) and np.array_equal(ahead, behind)):
        why = "a rater gave one class to all images, so kappa is 0 for any agreement"
        return Interval(0.0, math.nan, math.nan, f"Cohen's kappa, {100 * level:g} %", why)
    chance = (behind[one] + ahead[other]) / 2
    return _beyond_chance("Cohen's kappa", table, chance, level)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The images with a rating, in columns."""

    codes: Ints  # (n, raters), -1 where missing
    shares: Floats  # (n, classes): share of the ratings of an image
    agreement: Floats  # (n,): share of pairs of raters that agree; 0 with one rating
    prevalence: Floats  # (classes,)
    groups: Ints
    patients: int
    rated_twice: int
    classes: int

    @property
    def stretch(self) -> float:
        """Images with a rating for each image with two."""
        return len(self.shares) / self.rated_twice

    @classmethod
    def of(cls, ratings: ArrayLike, patients: Patients, n_classes: int | None) -> _Table:
        array = _floats(ratings)
        if array.ndim != 2 or len(array) < 2:
            raise MetricError("agreement needs two raters or more", received=f"shape {array.shape}")
        keys, _ = group_index(patients, array.shape[1])
        rated = ~np.isnan(array).all(axis=0)
        array, keys = array[:, rated].T, keys[rated]
        missing = np.isnan(array)
        values, inverse = np.unique(array[~missing], return_inverse=True)
        codes = np.full(array.shape, -1, np.intp)
        codes[~missing] = inverse.reshape(-1)
        classes = max(2, len(values), n_classes or 0)
        counts = np.stack([(codes == code).sum(axis=1) for code in range(classes)], axis=1)
        total = counts.sum(axis=1).astype(np.float64)
        pairs = total * (total - 1)
        twice = int(np.count_nonzero(total > 1))
        if not twice:
            raise MetricError("no image has two ratings")
        agreeing = (counts * (counts - 1)).sum(axis=1)
        shares = counts / total[:, None]
        groups = np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.intp)
        return cls(
            codes, shares, np.where(pairs > 0, agreeing / np.maximum(pairs, 1), 0.0),
            shares.mean(axis=0), groups, int(groups.max()) + 1, twice, classes,
        )  # fmt: skip


def _floats(ratings: ArrayLike) -> Floats:
    array = np.asarray(ratings, dtype=np.float64)
    if np.isinf(array).any():
        raise MetricError("ratings must be finite, or NaN where missing")
    return array


def _beyond_chance(name: str, table: _Table, chance: Floats, level: float) -> Interval:
    """Return (agreement - chance) / (1 - chance) with an interval.

    ``chance`` (n,) has the agreement by chance as its mean. It is a quadratic form in the shares of
    the classes, so an image changes it by twice the deviation from the mean.
    """
    expected = float(chance.mean())
    observed = float(table.agreement.sum() / table.rated_twice)
    if expected > 1 - 1e-12:
        return undefined(f"{name}, {100 * level:g} %", "all ratings are of one class")
    value = (observed - expected) / (1 - expected)
    twice = (table.codes >= 0).sum(axis=1) > 1
    own = table.stretch * np.where(twice, table.agreement - expected, 0.0)
    apart = own - 2 * (1 - value) * (chance - expected)
    return _limits(name, value, expected, apart / (1 - expected) - value, table, level)


def _limits(
    name: str, value: float, chance: float, deviations: Floats, table: _Table, level: float
) -> Interval:
    """Return the interval of a coefficient from the linearised deviation of each image.

    It is Wilson's on the scale from the lowest possible value to 1, for as many independent trials
    as have the linearised variance. Near 1, symmetric limits are too narrow.
    """
    from scipy.special import stdtrit

    n, patients = len(deviations), table.patients
    over = plural(patients, "patient" if patients < n else "image", separator="")
    sums = np.bincount(table.groups, weights=deviations, minlength=patients)
    variance = patients / max(patients - 1, 1) * float(sums @ sums) / n**2
    lowest = 0.0 if name == PERCENT else -1.0
    share = (value - lowest) / (1 - lowest)
    if patients < 2 or variance <= 1e-24 or not 0 < share < 1:
        return _without_variance(name, value, chance, patients, over, level)
    trials = share * (1 - share) * (1 - lowest) ** 2 / variance
    z = float(stdtrit(patients - 1, (1 + level) / 2))
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    half /= 1 + z**2 / trials
    low, high = (lowest + (1 - lowest) * end for end in (middle - half, middle + half))
    method = f"{name}, Wilson, variance over {over}, {100 * level:g} %"
    return Interval(value, low, high, method)


def _without_variance(
    name: str, value: float, chance: float, patients: int, over: str, level: float
) -> Interval:
    """Return the interval where the images do not differ: all agree, or none does."""
    agreeing = value * (1 - chance) + chance
    found = wilson(min(1.0, max(0.0, agreeing)) * patients, patients, level=level)
    low, high = ((end - chance) / (1 - chance) for end in (found.low, found.high))
    why = f"the agreement does not vary; the limits are those of a share of {over}"
    method = f"{name}, {found.method}"
    return Interval(value, max(-1.0, min(low, value)), max(high, value), method, why)
