"""Planned numbers of images follow from the width of intervals that are drawn with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from plainfilm.adaptation.plan import TARGETS, half_width, plan_sizes
from plainfilm.metrics import Interval, LabelFit, fit_recalibration

FIXED = Interval(1.0, math.nan, math.nan, "")


def fit(n: int, seed: int) -> LabelFit:
    """Fit a sample with two images of each patient."""
    rng = np.random.default_rng(seed)
    logits = np.repeat(2 * rng.normal(size=n // 2), 2)
    labels = (rng.random(n) < expit(0.7 * logits - 1)).astype(float)
    keys = np.repeat(np.arange(n // 2), 2).astype(str)
    [found] = fit_recalibration(logits[:, None], labels[:, None], kind="binary", patients=keys)
    return found


def test_as_many_images_as_planned_give_the_target() -> None:
    planned = [size for size in plan_sizes(fit(300, 0), 300, 150) if size.quantity == "slope"]
    assert [size.target for size in planned] == [one for one in TARGETS if one < 0.2]
    widths = [half_width(fit(planned[0].images // 2 * 2, seed).slope) for seed in range(1, 6)]
    assert np.mean([width for width in widths if width]) == pytest.approx(0.1, rel=0.15)
    assert planned[0].patients == pytest.approx(planned[0].images / 2, abs=1)


def test_half_the_width_takes_four_times_the_images() -> None:
    own = LabelFit(Interval(1.0, 0.6, 1.4, ""), Interval(0.0, -0.1, 0.1, ""))
    [size, other] = plan_sizes(own, 100, 50)
    assert (size.quantity, size.half_width, size.target) == ("slope", pytest.approx(0.4), 0.2)
    assert (size.images, size.patients) == (400, 200)
    assert (other.target, other.images, other.patients) == (0.1, 1600, 800)


def test_without_limits_there_is_no_plan() -> None:
    assert plan_sizes(LabelFit(FIXED, FIXED), 100, 50) == ()
    assert half_width(FIXED) is None
