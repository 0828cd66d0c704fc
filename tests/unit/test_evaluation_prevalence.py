"""The correction for another prevalence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from plainfilm import metrics
from plainfilm.bundle import Bundle, Provenance
from plainfilm.cli.describe import describe_evaluation
from plainfilm.errors import ConfigError, UsageError
from plainfilm.evaluation.model import JudgedModel
from plainfilm.evaluation.prevalence import describe_prevalence
from plainfilm.evaluation.summary import summarise
from plainfilm.records import OperatingPoint, Task

MakeBundle = Callable[..., Bundle]
ILL = Task("binary", ("ill",), ("well", "ill"))


def balanced(make_bundle: MakeBundle, **origin: Any) -> Bundle:
    provenance = Provenance(**{"assumed_prevalence": "balanced", **origin})
    return replace(make_bundle(task=ILL), provenance=provenance)


def drawn(share: float, n: int, seed: int) -> tuple[Any, Any]:
    """Draw truth at a prevalence, and probabilities that are right where half are ill."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(float)
    x = rng.normal(size=n) + 2 * labels
    likelihood = np.exp(2 * x - 2)
    return labels, likelihood / (1 + likelihood)


def ask(bundle: Bundle, labels: Any, chances: Any, prevalence: float, **more: Any) -> Any:
    keys = [str(n) for n in range(len(labels))]
    found = describe_prevalence(
        JudgedModel.of(bundle),
        labels[:, None],
        chances[:, None],
        keys,
        prevalence,
        **{"n_bootstrap": 300, **more},
    )
    return found.labels["ill"]


def test_corrected_probabilities_are_right_at_the_other_prevalence(make_bundle: MakeBundle) -> None:
    labels, chances = drawn(0.6, 40_000, 0)
    found = ask(balanced(make_bundle), labels, chances, 0.05)
    after, before = found.in_the_large_corrected, found.in_the_large_uncorrected
    assert after.value == pytest.approx(0, abs=0.1)
    assert after.low < 0 < after.high
    assert before.value == pytest.approx(math.log(0.05 / 0.95), abs=0.6)
    assert before.high < -1
    assert found.brier_corrected.high < found.brier_uncorrected.low
    # Where the share really is that, the same numbers come out without any weighing.
    there, scores = drawn(0.05, 200_000, 1)
    moved = metrics.shift_prevalence(scores, from_=0.5, to=0.05)
    brier = metrics.brier_score_loss(there, moved)
    assert found.brier_corrected.value == pytest.approx(brier, rel=0.05)
    expected = 0.03203  # of eight million images
    assert found.brier_corrected.low < expected < found.brier_corrected.high


def test_interval_of_the_intercept_covers_as_it_says(make_bundle: MakeBundle) -> None:
    bundle, hits = balanced(make_bundle), 0
    for seed in range(300):
        labels, chances = drawn(0.5, 300, seed)
        after = ask(bundle, labels, chances, 0.2, n_bootstrap=2).in_the_large_corrected
        hits += after.low <= 0 <= after.high
    assert hits / 300 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 300))


def test_predictive_values_are_those_of_bayes(make_bundle: MakeBundle) -> None:
    labels, chances = drawn(0.5, 500, 2)
    bundle = balanced(make_bundle)
    found = ask(bundle, labels, chances, 0.1).operating_points
    point: OperatingPoint = bundle.operating_points[0]
    calls = (chances >= point.threshold).astype(float)
    hit = metrics.sensitivity_score(labels, calls)
    clear = metrics.specificity_score(labels, calls)
    expected = hit * 0.1 / (hit * 0.1 + (1 - clear) * 0.9)
    assert found[point.name].ppv.value == pytest.approx(expected)
    assert found[point.name].ppv.low < expected < found[point.name].ppv.high


def test_without_a_false_alarm_ppv_still_has_limits(make_bundle: MakeBundle) -> None:
    labels = np.r_[np.ones(40), np.zeros(40)]
    chances = np.where(labels == 1, 0.95, 0.05)
    chances[:8] = 0.1
    bundle = balanced(make_bundle)
    for found in ask(bundle, labels, chances, 0.05).operating_points.values():
        assert found.ppv.value == 1
        # Wilson's lower limit of 40 out of 40 is 0.912: at 5 % that is far from certain.
        assert 0.2 < found.ppv.low < 0.4
        assert found.ppv.high == 1


def test_what_cannot_be_corrected_is_refused(make_bundle: MakeBundle) -> None:
    labels, chances = drawn(0.5, 40, 3)
    with pytest.raises(UsageError, match="between 0 and 1"):
        ask(balanced(make_bundle), labels, chances, 1.0)
    unknown = replace(make_bundle(task=ILL), provenance=Provenance(assumed_prevalence="training"))
    with pytest.raises(UsageError, match="it is not known which prevalence"):
        ask(unknown, labels, chances, 0.1)
    known = balanced(make_bundle, assumed_prevalence="training", training_prevalence={"ill": 0.3})
    assert ask(known, labels, chances, 0.1).assumed_prevalence == 0.3
    ones = ask(balanced(make_bundle), np.ones(20), np.full(20, 0.7), 0.1)
    assert math.isnan(ones.in_the_large_corrected.value)
    three = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))
    with pytest.raises(ConfigError, match="a label that the task does not have"):
        replace(balanced(make_bundle), task=three)
    bundle = replace(balanced(make_bundle), task=three, points=(), indeterminate={})
    with pytest.raises(UsageError, match="several classes"):
        describe_prevalence(JudgedModel.of(bundle), np.eye(3), np.eye(3), ["a", "b", "c"], 0.1)


@pytest.mark.parametrize("patients", [7, 19, 20])
def test_nothing_is_extrapolated_from_few_negatives(make_bundle: MakeBundle, patients: int) -> None:
    # Two images of each negative patient: patients count, not images.
    labels = np.r_[np.ones(60), np.zeros(2 * patients)]
    chances = np.where(labels == 1, 0.9, 0.1)
    keys = [*(f"a{row}" for row in range(60)), *(f"b{row // 2}" for row in range(2 * patients))]
    bundle = balanced(make_bundle)
    found = describe_prevalence(
        JudgedModel.of(bundle), labels[:, None], chances[:, None], keys, 0.05, n_bootstrap=50
    ).labels["ill"]
    values = [found.in_the_large_corrected, found.brier_corrected]
    values += [one for pair in found.operating_points.values() for one in (pair.ppv, pair.npv)]
    point = OperatingPoint("balanced", "balanced", "ill", 0.5, "given")
    summary = summarise(labels[:, None], chances[:, None], ILL, keys, [point], n_bootstrap=50)
    curve = summary.labels["ill"].operating_points["balanced"]
    if patients < 20:
        for one in values:
            assert math.isnan(one.value)
            assert f"only {patients} patients have negative images" in (one.reason or "")
        assert curve.predictive_values is None
        assert f"only {patients} patients" in (curve.no_predictive_values or "")
    else:
        assert all(math.isfinite(one.value + one.low + one.high) for one in values)
        assert curve.predictive_values is not None
        assert curve.no_predictive_values is None
        ppv, _ = curve.predictive_values.at(0.05)
        assert ppv.value == 1
        assert ppv.low < 0.5, "40 images cannot show that 100 of 100 are right"


def test_predictive_values_at_a_prevalence_are_those_computed_there() -> None:
    rng = np.random.default_rng(5)
    labels, chances = drawn(0.4, 800, 5)
    keys = [str(row // 2) for row in range(800)]
    point = OperatingPoint("balanced", "balanced", "ill", 0.6, "given")
    summary = summarise(labels[:, None], chances[:, None], ILL, keys, [point], n_bootstrap=200)
    curve = summary.labels["ill"].operating_points["balanced"].predictive_values
    assert curve is not None
    for row in rng.integers(0, 50, 10):
        # From its neighbour to this prevalence: value and limits are the same.
        rest = replace(
            curve,
            **{
                one.name: tuple(np.delete(getattr(curve, one.name), row))
                for one in fields(curve)
                if one.name != "method"
            },
        )
        ppv, npv = rest.at(curve.prevalence[row])
        for found, name in ((ppv, "ppv"), (npv, "npv")):
            expected = [getattr(curve, f"{name}{end}")[row] for end in ("", "_low", "_high")]
            assert [found.value, found.low, found.high] == pytest.approx(expected, rel=1e-9)


def test_the_terminal_shows_the_results_at_the_prevalence(
    make_bundle: MakeBundle, make_document: Callable[..., Any]
) -> None:
    labels, chances = drawn(0.5, 300, 6)
    keys = [str(row) for row in range(300)]
    at = describe_prevalence(
        JudgedModel.of(balanced(make_bundle)),
        labels[:, None],
        chances[:, None],
        keys,
        0.05,
        n_bootstrap=100,
    )
    plain = make_document(ILL)
    shown = describe_evaluation(replace(plain, at_prevalence=at))
    assert "at a prevalence of 0.05" not in describe_evaluation(plain)
    assert "at a prevalence of 0.05" in shown
    found = at.labels["ill"]
    [name, pair] = next(iter(found.operating_points.items()))
    for title, one in (
        (f"ppv, {name}", pair.ppv),
        (f"npv, {name}", pair.npv),
        ("calibration in the large, corrected", found.in_the_large_corrected),
        ("brier, uncorrected", found.brier_uncorrected),
    ):
        [line] = [line for line in shown.splitlines() if title in line]
        assert line.split()[-4:] == [f"{one.value:.3f}", f"{one.low:.3f}", "to", f"{one.high:.3f}"]
