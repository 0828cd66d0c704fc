"""Compares every statistic with independent packages in thousands of random cases.

Each case is drawn independently: 2 to 80 images, ties or none, a class that may be one image in
fifty. The references are scikit-learn, scipy and statsmodels; what none of them has is summed by
hand, image by image or pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from sklearn import calibration as sklearn_calibration
from sklearn import metrics as reference

from plainfilm import metrics

pytestmark = pytest.mark.slow

CASES = 2000
Array = Any


def cases(count: int = CASES, *, seed: int, least: int = 2) -> Iterator[tuple[Array, Array]]:
    """Yield labels (n,) of both classes, and probabilities (n,)."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n = int(rng.choice([least, least + 1, 5, 12, 30, 80]))
        n = max(n, least)
        labels = (rng.random(n) < rng.choice([0.02, 0.1, 0.5, 0.9, 0.98])).astype(float)
        first, second = rng.choice(n, 2, replace=False)
        labels[first], labels[second] = 0, 1
        scores = special.expit(rng.normal(size=n) + rng.choice([-1, 0, 1, 4]) * labels)
        if rng.random() < 0.1:
            scores[:] = scores[0]
        yield labels, np.round(scores, int(rng.choice([1, 2, 12])))


def calls(seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield labels and calls, each possibly all equal."""
    rng = np.random.default_rng(seed)
    for labels, scores in cases(seed=seed):
        yield labels, (scores >= rng.choice([0.0, 0.3, 0.5, 0.9, 1.1])).astype(float)


def test_the_random_cases_have_the_stated_properties() -> None:
    drawn = [*cases(seed=0)]
    assert len(drawn) >= 2000
    assert sum(len(labels) == 2 for labels, _ in drawn) > 100
    assert sum(len(np.unique(scores)) < len(scores) for _, scores in drawn) > 800
    assert sum(min(labels.mean(), 1 - labels.mean()) < 0.05 for labels, _ in drawn) > 200


def test_areas() -> None:
    for labels, scores in cases(seed=1):
        found = metrics.roc_auc_score(labels, scores)
        assert found == pytest.approx(reference.roc_auc_score(labels, scores))
        # And by the ranks: Mann and Whitney's statistic.
        up, down = scores[labels == 1], scores[labels == 0]
        u = stats.mannwhitneyu(up, down, method="asymptotic").statistic
        assert found == pytest.approx(u / len(up) / len(down))


def test_average_precision() -> None:
    for labels, scores in cases(seed=2):
        found = metrics.average_precision_score(labels, scores)
        assert found == pytest.approx(reference.average_precision_score(labels, scores))


def test_partial_areas() -> None:
    rng = np.random.default_rng(3)
    for labels, scores in cases(seed=3):
        end = float(rng.choice([0.01, 0.1, 0.5, 1.0]))
        found = metrics.partial_auc_score(labels, scores, max_fpr=end)
        assert found == pytest.approx(reference.roc_auc_score(labels, scores, max_fpr=end))


def test_losses() -> None:
    for labels, chances in cases(seed=4):
        found = metrics.brier_score_loss(labels, chances)
        assert found == pytest.approx(reference.brier_score_loss(labels, chances))
        inside = np.clip(chances, 1e-6, 1 - 1e-6)
        found = metrics.log_loss(labels, inside)
        assert found == pytest.approx(reference.log_loss(labels, inside, labels=[0, 1]))


def test_parts_of_the_brier_score() -> None:
    for labels, chances in cases(seed=5):
        parts = metrics.brier_parts(labels, chances, bins=10)
        place = np.minimum((chances * 10 + 1e-9).astype(int), 9)
        reliability = resolution = 0.0
        for number in np.unique(place):
            own = place == number
            reliability += own.sum() * (chances[own].mean() - labels[own].mean()) ** 2
            resolution += own.sum() * (labels[own].mean() - labels.mean()) ** 2
            within = chances[own] - chances[own].mean()
            resolution += 2 * (within * (labels[own] - labels[own].mean())).sum()
            resolution -= (within**2).sum()
        assert parts.reliability == pytest.approx(reliability / len(labels), abs=1e-12)
        assert parts.resolution == pytest.approx(resolution / len(labels), abs=1e-12)
        whole = parts.reliability - parts.resolution + parts.uncertainty
        assert whole == pytest.approx(reference.brier_score_loss(labels, chances), abs=1e-12)


def test_calibration_error() -> None:
    for labels, chances in cases(seed=6):
        # Away from the edges, which the packages give to different sides.
        chances = np.where(
            np.isclose(chances * 10 % 1, 0) & (chances < 1), chances + 0.013, chances
        )
        observed, predicted = sklearn_calibration.calibration_curve(labels, chances, n_bins=10)
        size = np.bincount(np.minimum((chances * 10).astype(int), 9), minlength=10)
        expected = np.sum(size[size > 0] * np.abs(observed - predicted)) / len(labels)
        assert metrics.expected_calibration_error(labels, chances) == pytest.approx(expected)


RATES: list[tuple[str, Callable[[Array, Array], float]]] = [
    ("accuracy_score", reference.accuracy_score),
    ("balanced_accuracy_score", reference.balanced_accuracy_score),
    ("sensitivity_score", reference.recall_score),
    ("specificity_score", lambda y, c: reference.recall_score(1 - y, 1 - c)),
    ("f1_score", reference.f1_score),
]


@pytest.mark.parametrize(("ours", "theirs"), RATES, ids=[name for name, _ in RATES])
def test_rates(ours: str, theirs: Callable[[Array, Array], float]) -> None:
    for labels, called in calls(seed=7):
        assert getattr(metrics, ours)(labels, called) == pytest.approx(theirs(labels, called))


def test_predictive_values_mcc_and_likelihood_ratios() -> None:
    undefined = 0
    for labels, called in calls(seed=8):
        for found, truth, said in (
            (metrics.ppv_score(labels, called), labels, called),
            (metrics.npv_score(labels, called), 1 - labels, 1 - called),
        ):
            undefined += not said.any()
            expected = reference.precision_score(truth, said) if said.any() else math.nan
            assert found == pytest.approx(expected, nan_ok=True)
        found = metrics.matthews_corrcoef(labels, called)
        assert found == pytest.approx(reference.matthews_corrcoef(labels, called))
        if 0 < called.mean() < 1:
            assert found == pytest.approx(stats.pearsonr(labels, called).statistic)
        positive, negative = metrics.likelihood_ratios(labels, called)
        hit = called[labels == 1].mean()
        alarm = called[labels == 0].mean()
        if alarm > 0:
            assert positive == pytest.approx(hit / alarm)
        if alarm < 1:
            assert negative == pytest.approx((1 - hit) / (1 - alarm))
        if 0 < alarm < 1:
            with np.errstate(divide="ignore"):
                theirs = reference.class_likelihood_ratios(labels, called)
            assert (positive, negative) == pytest.approx(theirs)
    assert undefined > 100


def test_net_benefit() -> None:
    at = (0.05, 0.2, 0.5, 0.8)
    for labels, chances in cases(1000, seed=9):
        curve = metrics.decision_curve(labels, chances, thresholds=at, n_bootstrap=1)
        for place, threshold in enumerate(at):
            _, fp, _, tp = reference.confusion_matrix(labels, chances >= threshold).ravel()
            odds = threshold / (1 - threshold)
            assert curve.model[place] == pytest.approx((tp - fp * odds) / len(labels))
            treat_all = labels.mean() - (1 - labels.mean()) * odds
            assert curve.treat_all[place] == pytest.approx(treat_all)


def test_wilson_and_clopper_pearson() -> None:
    proportion = pytest.importorskip(
        "statsmodels.stats.proportion", reason="statsmodels is not installed"
    )
    rng = np.random.default_rng(10)
    for _ in range(CASES):
        n = int(rng.choice([1, 2, 7, 60, 3000]))
        x = int(rng.choice([0, n, rng.integers(0, n + 1)]))
        level = float(rng.choice([0.8, 0.95, 0.99]))
        for found, method in (
            (metrics.wilson(x, n, level=level), "wilson"),
            (metrics.clopper_pearson(x, n, level=level), "beta"),
        ):
            low, high = proportion.proportion_confint(x, n, alpha=1 - level, method=method)
            assert found.low == pytest.approx(low, abs=1e-9)
            assert found.high == pytest.approx(high, abs=1e-9)


def test_mcnemar() -> None:
    tables = pytest.importorskip(
        "statsmodels.stats.contingency_tables", reason="statsmodels is not installed"
    )
    rng = np.random.default_rng(11)
    for _ in range(CASES):
        both, neither = rng.integers(0, 50, 2)
        won, lost = rng.integers(0, int(rng.choice([2, 10, 40])), 2)
        if not won + lost + both + neither:
            continue
        first = np.r_[np.zeros(won), np.ones(lost), np.ones(both), np.zeros(neither)]
        second = np.r_[np.ones(won), np.zeros(lost), np.ones(both), np.zeros(neither)]
        exact = tables.mcnemar([[both, lost], [won, neither]], exact=True).pvalue
        point = stats.binom.pmf(won, won + lost, 0.5) if won + lost else 0.0
        # The mid-p is the exact one less what is as likely as the outcome itself.
        tail = 2 * stats.binom.cdf(min(won, lost), won + lost, 0.5) - point
        if won == lost:
            tail = 1 - point / 2  # Fagerland 2013: 1 - C(n, b) / 2^(n + 1)
        found = metrics.mcnemar_test(first, second)
        assert found.p == pytest.approx(tail if won + lost else 1.0)
        assert found.p <= exact + 1e-12
        assert found.difference.value == pytest.approx((won - lost) / len(first))
        assert found.difference.low <= found.difference.value <= found.difference.high


def test_holm() -> None:
    """Held against what it is: the closure of Bonferroni's test, over every set of hypotheses."""
    rng = np.random.default_rng(12)
    for _ in range(CASES):
        p = np.round(rng.random(int(rng.integers(1, 6))) ** 3, int(rng.choice([1, 4, 12])))
        found = metrics.holm(p.tolist())
        sets = [s for size in range(1, len(p) + 1) for s in combinations(range(len(p)), size)]
        for place, adjusted in enumerate(found):
            expected = max(min(1.0, len(s) * p[[*s]].min()) for s in sets if place in s)
            assert adjusted == pytest.approx(expected)


# statsmodels divides by p (1 - p) where fitted values have reached 0 or 1.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_calibration_line() -> None:
    """The line and its sandwich variance, with images and with patients as units."""
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    rng = np.random.default_rng(13)
    counted = compared = 0
    for round_ in range(CASES):
        n = int(rng.choice([25, 60, 200]))
        logits = np.round(rng.normal(0.2, 1.3, n), int(rng.choice([1, 6])))
        labels = (rng.random(n) < special.expit(rng.choice([-2, 0, 2]) + logits)).astype(float)
        patients = rng.integers(0, n // 2, n) if round_ % 2 else np.arange(n)
        keys = [str(key) for key in patients] if round_ % 2 else None
        line = metrics.calibration_line(labels, special.expit(logits), patients=keys)
        if math.isnan(line.slope.value):
            assert line.slope.reason
            continue
        counted += 1
        binomial = api.families.Binomial()
        # The covariance changes no coefficient.
        fit = api.GLM(labels, api.add_constant(logits), family=binomial).fit(
            cov_type="cluster", cov_kwds={"groups": patients, "use_correction": False}
        )
        large = api.GLM(labels, np.ones(n), family=binomial, offset=logits).fit()
        assert line.intercept.value == pytest.approx(fit.params[0], abs=1e-5)
        assert line.slope.value == pytest.approx(fit.params[1], abs=1e-5)
        # The score equations hold to rounding, which is closer than the reference.
        errors = labels - special.expit(line.intercept.value + line.slope.value * logits)
        assert max(abs(errors.sum()), abs(errors @ logits)) < 1e-10
        assert abs((labels - special.expit(logits + line.in_the_large.value)).sum()) < 1e-10
        assert line.in_the_large.value == pytest.approx(large.params[0], abs=1e-5)
        if not math.isfinite(line.slope.low):
            continue
        units = len(np.unique(patients))
        if not np.isfinite(fit.bse).all():
            continue  # of fitted values that are 0 or 1 the reference has no variance
        compared += 1
        rarer = min(len(np.unique(patients[labels == side])) for side in (0, 1))
        reach = stats.t.ppf(0.975, max(rarer - 1, 1)) * math.sqrt(units / (units - 1))
        for interval, error in zip((line.intercept, line.slope), fit.bse, strict=True):
            assert interval.high - interval.value == pytest.approx(reach * error, rel=1e-3)
    assert min(counted, compared) > 0.8 * CASES


def brute_delong(labels: Array, scores: Array) -> tuple[Array, Array]:
    """Areas and covariance of two scorers, pair by pair as in the paper."""
    up, down = labels == 1, labels == 0
    wins = np.stack(
        [(one[up][:, None] > one[down]) + 0.5 * (one[up][:, None] == one[down]) for one in scores]
    )
    areas = wins.mean(axis=(1, 2))
    by_up, by_down = wins.mean(axis=2), wins.mean(axis=1)
    covariance = np.cov(by_up) / up.sum() + np.cov(by_down) / down.sum()
    return areas, covariance


def test_paired_delong() -> None:
    rng = np.random.default_rng(14)
    tested = 0
    for labels, first in cases(seed=14, least=4):
        if min(labels.sum(), (1 - labels).sum()) < 2:
            continue
        second = np.round(0.5 * first + 0.5 * rng.random(len(labels)), int(rng.choice([1, 12])))
        areas, covariance = brute_delong(labels, (first, second))
        ours, ours_too = metrics.delong_covariance(labels, np.array([first, second]))
        assert ours == pytest.approx(areas)
        assert ours_too == pytest.approx(covariance, abs=1e-12)
        found = metrics.delong_test(labels, first, second)
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        assert found.difference.value == pytest.approx(areas[1] - areas[0])
        if variance > 1e-12:
            z = (areas[1] - areas[0]) / math.sqrt(variance)
            assert found.p == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-9)
            tested += 1
        limits = metrics.delong(labels, first)
        assert 0 <= limits.low <= limits.value <= limits.high <= 1
        assert limits.low < limits.high
        if covariance[0, 0] > 1e-12 and 0 < areas[0] < 1:
            half = 1.959963984540054 * math.sqrt(covariance[0, 0]) / (areas[0] * (1 - areas[0]))
            ends = special.expit(special.logit(areas[0]) + np.array([-half, half]))
            assert (limits.low, limits.high) == pytest.approx(tuple(ends))
    assert tested > 800


def test_predictive_values_over_prevalence() -> None:
    rng = np.random.default_rng(15)
    for _ in range(CASES):
        hit, clear, share = rng.random(3)
        found = metrics.predictive_values(hit, clear, [share])
        # Bayes' theorem in odds: the prior's, times the likelihood ratio.
        odds = share / (1 - share) * hit / (1 - clear)
        assert found.ppv[0] == pytest.approx(odds / (1 + odds))
        odds = (1 - share) / share * clear / (1 - hit)
        assert found.npv[0] == pytest.approx(odds / (1 + odds))
