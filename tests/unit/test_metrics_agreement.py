"""Agreement of raters, against statsmodels and published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtrit
from statsmodels.stats import inter_rater

from plainfilm.errors import MetricError
from plainfilm.metrics import (
    Interval,
    cohens_kappa,
    fleiss_kappa,
    gwet_ac1,
    percent_agreement,
    wilson,
)

NAN = math.nan
# Four observers, twelve units, five classes, with missing ratings: K. Krippendorff, Computing
# Krippendorff's alpha-reliability, 2011, section C; analysed by Gwet (2014).
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]


def limits(value: float, error: float, patients: int, lowest: float = -1.0) -> tuple[float, float]:
    """Solve the quadratic of Wilson's limits for a coefficient with this standard error."""
    z = stdtrit(patients - 1, 0.975)
    share = (value - lowest) / (1 - lowest)
    ratio = z**2 / (share * (1 - share) / (error / (1 - lowest)) ** 2)
    ends = np.sort(np.roots([1 + ratio, -2 * share - ratio, share**2]))
    return lowest + (1 - lowest) * ends[0], lowest + (1 - lowest) * ends[1]


@pytest.mark.parametrize(
    ("function", "value", "error"),
    [
        # Values and standard errors that the documentation of irrCAC prints.
        (gwet_ac1, 0.77544, 0.14295),
        (fleiss_kappa, 0.76117, 0.15302),
        (percent_agreement, 0.81818, 0.12561),
    ],
)
def test_published_values_of_four_raters_with_missing_ratings(
    function: object, value: float, error: float
) -> None:
    found: Interval = function(FOUR)  # type: ignore[operator]
    assert found.value == pytest.approx(value, abs=5e-6)
    lowest = 0.0 if function is percent_agreement else -1.0
    low, high = limits(found.value, error, 12, lowest)
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-5)


def test_ac1_of_the_paper_by_gwet() -> None:
    # Table 1 of Gwet (2008): 118 units in both, 5 and 2 in one, none in neither.
    first = np.repeat([1, 1, 0], [118, 5, 2])
    second = np.repeat([1, 0, 1], [118, 5, 2])
    assert gwet_ac1([first, second]).value == pytest.approx(0.9408, abs=5e-5)
    assert cohens_kappa(first, second).value == pytest.approx(-0.0234, abs=5e-5)


@pytest.mark.parametrize("seed", range(4))
def test_cohens_kappa_and_its_standard_error_are_those_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, n = 2 + seed % 3, 90
    first = rng.integers(0, classes, n)
    second = np.where(rng.random(n) < 0.7, first, rng.integers(0, classes, n))
    table = np.zeros((classes, classes))
    np.add.at(table, (first, second), 1)
    expected = inter_rater.cohens_kappa(table)
    found = cohens_kappa(first, second)
    assert found.value == pytest.approx(expected.kappa, abs=1e-12)
    low, high = limits(expected.kappa, expected.std_kappa * math.sqrt(n / (n - 1)), n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-10)


@pytest.mark.parametrize("raters", [2, 3, 6])
def test_fleiss_kappa_is_that_of_statsmodels(raters: int) -> None:
    rng = np.random.default_rng(raters)
    ratings = rng.integers(0, 3, (raters, 50))
    counts = inter_rater.aggregate_raters(ratings.T)[0]
    assert fleiss_kappa(ratings).value == pytest.approx(inter_rater.fleiss_kappa(counts), abs=1e-12)


def test_images_copied_within_patients_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(3)
    ratings = rng.integers(0, 2, (3, 40)).astype(float)
    ratings[1:] = np.where(rng.random((2, 40)) < 0.6, ratings[0], ratings[1:])
    patients = [str(key) for key in np.repeat(np.arange(40), 3)]
    for function in (percent_agreement, gwet_ac1, fleiss_kappa):
        once, thrice = function(ratings), function(np.repeat(ratings, 3, axis=1), patients)
        assert (thrice.value, thrice.low, thrice.high) == pytest.approx(
            (once.value, once.low, once.high), abs=1e-12
        )
        assert "40 patients" in thrice.method
    once = cohens_kappa(ratings[0], ratings[1])
    thrice = cohens_kappa(np.repeat(ratings[0], 3), np.repeat(ratings[1], 3), patients)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-12)


def test_perfect_agreement_has_the_limit_of_a_proportion() -> None:
    same = [[0, 1, 1, 0, 1, 0], [0, 1, 1, 0, 1, 0]]
    found = percent_agreement(same)
    assert (found.value, found.low, found.high) == (1.0, wilson(6, 6).low, 1.0)
    for kappa in (cohens_kappa(*same), fleiss_kappa(same), gwet_ac1(same)):
        assert kappa.value == kappa.high == 1.0
        assert kappa.low == pytest.approx(2 * wilson(6, 6).low - 1)
        assert kappa.reason is not None


def test_complete_disagreement_has_limits() -> None:
    found = cohens_kappa([0, 1, 0, 1], [1, 0, 1, 0])
    assert found.value == pytest.approx(-1.0)
    assert found.low == -1.0 < found.high < 1.0


def test_a_rater_with_one_class_leaves_kappa_without_limits() -> None:
    for pair in (([0, 0, 0, 1], [0, 0, 0, 0]), ([0, 0, 0], [1, 1, 1])):
        found = cohens_kappa(*pair)
        assert found.value == 0.0 and math.isnan(found.low)
        assert "one class to all images" in str(found.reason)


def test_one_class_leaves_kappa_undefined_but_not_ac1() -> None:
    ratings = [[0] * 9, [0] * 9]
    assert math.isnan(fleiss_kappa(ratings).value)
    assert "one class" in str(cohens_kappa(*ratings).reason)
    assert gwet_ac1(ratings).value == 1.0


def test_errors() -> None:
    with pytest.raises(MetricError, match="two raters"):
        percent_agreement([[0, 1]])
    with pytest.raises(MetricError, match="no image has two ratings"):
        gwet_ac1([[1, NAN], [NAN, 0]])
    with pytest.raises(MetricError, match="finite"):
        gwet_ac1([[1, math.inf], [0, 0]])
