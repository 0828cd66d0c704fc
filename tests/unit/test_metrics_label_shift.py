"""Class shares have the highest likelihood, and the test rejects images that are no mixture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import chisquare, norm, t

from plainfilm.errors import MetricError
from plainfilm.metrics import (
    count_scores,
    estimate_class_shares,
    label_shift_test,
    shift_class_shares,
    shift_prevalence,
)
from plainfilm.records import ScoreCounts

GAP = 2.0


def draw(n, prevalence, seed):
    """Draw classes and scores, normal with standard deviation 1 and means ``GAP`` apart."""
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < prevalence
    return ill.astype(int), rng.normal(size=n) + GAP * ill


def probabilities_of(scores):
    """Return the probabilities of both classes that assume equal shares."""
    ill = expit(GAP * scores - GAP**2 / 2)
    return np.column_stack([1 - ill, ill])


def test_shares_have_the_highest_likelihood_and_limits_solve_the_score_equation():
    _, scores = draw(500, 0.1, 0)
    found = estimate_class_shares(probabilities_of(scores), [0.5, 0.5])
    ill, well = norm.pdf(scores - GAP), norm.pdf(scores)

    def loss(share):
        return -np.log(share * ill + (1 - share) * well).sum()

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
    interval = found.shares[1]
    assert found.converged
    assert interval.value == pytest.approx(best.x, abs=1e-6)
    assert found.shares[0].value == pytest.approx(1 - best.x, abs=1e-6)
    assert found.shares[0].low == pytest.approx(1 - interval.high, abs=1e-6)
    fitted = best.x * ill + (1 - best.x) * well
    for limit in (interval.low, interval.high):
        density = limit * ill + (1 - limit) * well
        score = (ill - well) / density
        variance = (score**2 * density / fitted).sum()
        quantile = t.ppf(0.975, 2 * 500 * best.x - 1)
        assert score.sum() ** 2 / variance == pytest.approx(quantile**2, rel=1e-4)


@pytest.mark.parametrize("prevalence", [0.02, 0.3, 0.9])
def test_the_true_share_of_many_images_is_found(prevalence):
    _, scores = draw(4000, prevalence, 1)
    interval = estimate_class_shares(probabilities_of(scores), [0.5, 0.5]).shares[1]
    assert interval.value == pytest.approx(prevalence, abs=0.02)
    assert interval.low < prevalence < interval.high


def test_shares_of_three_classes():
    rng = np.random.default_rng(2)
    true = np.array([0.1, 0.3, 0.6])
    means = np.array([[0.0, 0.0], [2.5, 0.0], [0.0, 2.5]])
    points = means[rng.choice(3, 3000, p=true)] + rng.normal(size=(3000, 2))
    densities = np.exp(-((points[:, None] - means) ** 2).sum(axis=2) / 2)
    assumed = np.array([0.5, 0.25, 0.25])
    posterior = densities * assumed
    posterior /= posterior.sum(axis=1, keepdims=True)
    found = estimate_class_shares(posterior, assumed)
    assert [one.value for one in found.shares] == pytest.approx(true, abs=0.03)
    assert sum(one.value for one in found.shares) == pytest.approx(1, abs=1e-9)
    for interval, share in zip(found.shares, true, strict=True):
        assert interval.low < share < interval.high
        assert 0.02 < interval.high - interval.low < 0.1


def test_copies_of_images_are_no_further_evidence():
    _, scores = draw(200, 0.3, 3)
    keys = np.arange(200).astype(str)
    once = estimate_class_shares(probabilities_of(scores), [0.5, 0.5], patients=keys)
    thrice = estimate_class_shares(
        probabilities_of(np.tile(scores, 3)), [0.5, 0.5], patients=np.tile(keys, 3)
    )
    for one, other in zip(once.shares, thrice.shares, strict=True):
        assert other.low == pytest.approx(one.low, abs=1e-7)
        assert other.high == pytest.approx(one.high, abs=1e-7)
    validation = count_scores(*draw(300, 0.5, 4), 2)
    single = label_shift_test(scores, validation, patients=keys)
    copied = label_shift_test(np.tile(scores, 3), validation, patients=np.tile(keys, 3))
    assert copied.p == pytest.approx(single.p, abs=0.02)


def test_shifted_probabilities_of_two_classes_are_those_of_shift_prevalence():
    values = probabilities_of(np.linspace(-3, 5, 20))
    shifted = shift_class_shares(values, from_=[0.5, 0.5], to=[0.95, 0.05])
    expected = shift_prevalence(values[:, 1], from_=0.5, to=0.05)
    np.testing.assert_allclose(shifted[:, 1], expected, atol=1e-12)


def test_scores_are_counted_in_bins_of_equal_count():
    classes, scores = draw(1000, 0.5, 5)
    classes[:10] = -1
    found = count_scores(classes, scores, 2, bins=10)
    assert np.sum(found.counts) == 990
    assert len(found.edges) == 9
    assert np.array(found.counts).sum(axis=0).min() > 60
    below = [(scores[10:][classes[10:] == one] < found.edges[3]).sum() for one in (0, 1)]
    assert below == np.array(found.counts)[:, :4].sum(axis=1).tolist()
    assert found.design_effects == (1.0, 1.0)


def test_with_exact_densities_the_statistic_is_that_of_pearson():
    _, scores = draw(400, 0.2, 6)
    inner = np.quantile(scores, np.linspace(0, 1, 9)[1:-1])
    ends = np.concatenate([[-np.inf], inner, [np.inf]])
    densities = np.array([np.diff(norm.cdf(ends - mean)) for mean in (0.0, GAP)])
    size = 10**12
    counts = tuple(tuple(int(share * size) for share in row) for row in densities)
    found = label_shift_test(scores, ScoreCounts(tuple(inner), counts, (1.0, 1.0)))
    observed = np.bincount(np.searchsorted(inner, scores, side="right"), minlength=8)
    expected = 400 * (np.array(found.shares) @ densities)
    exact = chisquare(observed, expected, ddof=1)
    assert found.freedom == 6
    assert found.statistic == pytest.approx(exact.statistic, rel=1e-5)
    assert found.p == pytest.approx(exact.pvalue, rel=1e-4)


def test_another_prevalence_is_accepted_and_other_images_are_rejected():
    reference = count_scores(*draw(500, 0.5, 7), 2)
    kept = [label_shift_test(draw(400, 0.1, seed)[1], reference).p for seed in range(100, 160)]
    assert np.mean(np.array(kept) < 0.05) < 0.15
    assert 0.3 < np.mean(kept) < 0.7
    _, scores = draw(400, 0.3, 8)
    for changed in (scores * 2 - 1, scores + 1.5, np.abs(scores)):
        assert label_shift_test(changed, reference).p < 0.01
    best = label_shift_test(scores, reference).shares
    assert best[1] == pytest.approx(0.3, abs=0.1)


def test_probabilities_that_fit_no_shares_have_no_interval():
    found = estimate_class_shares(np.full((50, 2), [0.8, 0.2]), [0.5, 0.5])
    assert found.shares[1].value == pytest.approx(0, abs=1e-6)
    assert math.isnan(found.shares[1].low)
    assert "not calibrated" in (found.shares[1].reason or "")


def test_too_few_images_give_no_p():
    reference = count_scores(*draw(500, 0.5, 7), 2)
    found = label_shift_test(draw(9, 0.5, 1)[1], reference)
    assert math.isnan(found.p)
    assert "too few images" in (found.reason or "")
    empty = label_shift_test([0.1], ScoreCounts((0.5,), ((3, 4), (0, 0)), (1.0, 1.0)))
    assert "no validation image" in (empty.reason or "")


@pytest.mark.parametrize(
    ("values", "assumed", "problem"),
    [
        ([[0.5, 0.5]], [0.5], "one column"),
        ([[0.5, 0.5]], [1.0, 0.0], "above 0"),
        ([[0.5, 0.2]], [0.5, 0.5], "sum of 1"),
        (np.empty((0, 2)), [0.5, 0.5], "no image"),
    ],
)
def test_wrong_input_is_refused(values, assumed, problem):
    with pytest.raises(MetricError, match=problem):
        estimate_class_shares(values, assumed)
