"""Compares results with values from R packages (``tests/reference/reference.R``)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm import metrics

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "reference" / "reference.json").read_text(encoding="utf-8")
)


def test_areas_and_their_covariance_equal_proc() -> None:
    assert len(REFERENCE["discrimination"]) > 100
    for case in REFERENCE["discrimination"]:
        labels, scores = case["labels"], np.array([case["first"], case["second"]])
        areas, covariance = metrics.delong_covariance(labels, scores)
        assert areas[0] == pytest.approx(case["auroc"])
        assert covariance[0, 0] == pytest.approx(case["variance"])
        assert covariance[0, 1] == pytest.approx(case["covariance"], abs=1e-12)
        # The same limits before the logit scale: pROC cuts them off at 0 and 1.
        half = 1.959963984540054 * math.sqrt(covariance[0, 0])
        assert max(0, areas[0] - half) == pytest.approx(case["low"], abs=1e-9)
        assert min(1, areas[0] + half) == pytest.approx(case["high"], abs=1e-9)


def test_our_limits_never_leave_the_unit_interval_nor_touch_its_ends() -> None:
    left = 0
    for case in REFERENCE["discrimination"]:
        found = metrics.delong(case["labels"], case["first"])
        half = 1.959963984540054 * math.sqrt(case["variance"])
        left += found.value + half > 1 or found.value - half < 0
        assert 0 < found.low < found.value < found.high < 1
    # What a plain normal interval does in so many of these cases.
    assert left > 10


def test_partial_areas_equal_proc() -> None:
    for case in REFERENCE["discrimination"]:
        labels, scores = case["labels"], case["first"]
        bare = metrics.partial_auc_score(labels, scores, max_fpr=0.1, standardise=False)
        assert bare == pytest.approx(case["partial_specificity"], abs=1e-9)
        bare = metrics.partial_auc_score(labels, scores, min_sensitivity=0.9, standardise=False)
        assert bare == pytest.approx(case["partial_sensitivity"], abs=1e-9)


def test_paired_delong_equals_roc_test() -> None:
    for case in REFERENCE["discrimination"]:
        found = metrics.delong_test(case["labels"], case["first"], case["second"])
        assert found.p == pytest.approx(case["p"], abs=1e-9)


def test_shares_equal_prop_test_and_binom_test() -> None:
    for case in REFERENCE["shares"]:
        for found, limits in (
            (metrics.wilson(case["x"], case["n"]), case["wilson"]),
            (metrics.clopper_pearson(case["x"], case["n"]), case["exact"]),
        ):
            assert [found.low, found.high] == pytest.approx(limits, abs=1e-9)


def test_mid_p_equals_the_binomial_of_r() -> None:
    for case in REFERENCE["mcnemar"]:
        b, c = case["b"], case["c"]
        first, second = [1] * b + [0] * c + [1] * 40, [0] * b + [1] * c + [1] * 40
        found = metrics.mcnemar_test(first, second)
        # R's column is twice the tail less the outcome, which is for unequal counts only.
        equal = 1 - math.comb(2 * b, b) / 2 ** (2 * b + 1)
        assert found.p == pytest.approx(equal if b == c else case["mid"])
        assert found.difference.value == pytest.approx((c - b) / (b + c + 40))


def test_calibration_equals_glm_and_val_prob() -> None:
    for case in REFERENCE["lines"]:
        chances = 1 / (1 + np.exp(-np.array(case["logits"])))
        line = metrics.calibration_line(case["labels"], chances)
        assert line.slope.value == pytest.approx(case["slope"], abs=1e-6)
        assert line.intercept.value == pytest.approx(case["intercept"], abs=1e-6)
        assert line.in_the_large.value == pytest.approx(case["in_the_large"], abs=1e-6)
        assert metrics.brier_score_loss(case["labels"], chances) == pytest.approx(case["brier"])


def test_holm_equals_p_adjust() -> None:
    for case in REFERENCE["holm"]:
        assert metrics.holm(case["p"]) == pytest.approx(case["holm"])
