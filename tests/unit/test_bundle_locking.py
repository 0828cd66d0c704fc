"""Tests what is recorded about thresholds locked on images and disturbed copies of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import recall_score, roc_auc_score

from plainfilm import metrics
from plainfilm.bundle.locking import LockedThresholds, lock_thresholds
from plainfilm.errors import MetricError
from plainfilm.records import LockedPoint, Task, ThresholdEvidence

BINARY = Task("binary", ("X",), ("none", "X"))
COPIES = 5


def draw(
    positives: int, negatives: int, distance: float, copies: int = COPIES, noise: float = 0.3
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Draw logits (copies * n, 1) and labels (n, 1); each copy adds noise to the same image."""
    rng = np.random.default_rng(positives)
    labels = np.r_[np.ones(positives), np.zeros(negatives)].astype(np.float32)[:, None]
    clean = rng.normal(np.where(labels == 1, distance, -distance), 1.0)
    added = rng.normal(scale=noise, size=((copies - 1) * len(labels), 1))
    return np.concatenate([clean, np.tile(clean, (copies - 1, 1)) + added]), labels


def lock(
    positives: int, negatives: int, distance: float, *, per_patient: int = 1, **options: float
) -> LockedThresholds:
    logits, labels = draw(positives, negatives, distance)
    patients = [f"{label:.0f}-{i // per_patient}" for i, label in enumerate(labels[:, 0])]
    return lock_thresholds(logits, labels, patients, BINARY, copies=COPIES, **options)  # type: ignore[arg-type]


def evidence(found: LockedThresholds) -> dict[str, ThresholdEvidence]:
    return {one.point.name: one.validation for one in found.points}


def test_images_and_patients_are_counted_not_their_copies() -> None:
    for own in evidence(lock(72, 48, 1.0, per_patient=2)).values():
        assert (own.positives, own.negatives, own.copies) == (72, 48, COPIES)
        assert (own.positive_patients, own.negative_patients) == (36, 24)


@pytest.mark.parametrize(
    ("positives", "per_patient", "words"),
    [
        (3, 1, "one class has only 3 validation images"),
        (1, 1, "one class has only 1 validation image"),
        (19, 1, "one class has only 19 validation images"),
        (38, 2, "one class has validation images of only 19 patients"),
        (20, 1, None),
        (40, 2, None),
    ],
)
def test_a_small_class_is_noted_by_images_and_by_patients(
    positives: int, per_patient: int, words: str | None
) -> None:
    own = evidence(lock(positives, 60, 1.0, per_patient=per_patient))["balanced"]
    assert (words or "") in own.note
    assert ("one class has" in own.note) == (words is not None)
    assert words is None or own.status == "not determined"


def test_unknown_labels_are_not_counted() -> None:
    logits, labels = draw(30, 30, 1.0)
    labels[[0, 1, 59]] = np.nan
    patients = [str(i // 2) for i in range(60)]
    found = lock_thresholds(logits, labels, patients, BINARY, copies=COPIES)
    own = evidence(found)["balanced"]
    assert (own.positives, own.positive_patients) == (28, 14)
    assert (own.negatives, own.negative_patients) == (29, 15)


def test_rates_are_those_of_the_unchanged_images_and_of_all_copies() -> None:
    logits, labels = draw(60, 40, 0.7, noise=1.5)
    found = lock_thresholds(logits, labels, [str(i) for i in range(100)], BINARY, copies=COPIES)
    chances = metrics.apply_temperature(logits, found.temperature.value, kind="binary")[:, 0]
    y_true = labels[:, 0] == 1
    for one in found.points:
        called = chances >= one.point.threshold
        clean, every = one.validation.unchanged, one.validation.all_copies
        assert clean.sensitivity == pytest.approx(recall_score(y_true, called[:100]))
        assert clean.specificity == pytest.approx(recall_score(~y_true, ~called[:100]))
        tiled = np.tile(y_true, COPIES)
        assert every.sensitivity == pytest.approx(recall_score(tiled, called))
        assert every.specificity == pytest.approx(recall_score(~tiled, ~called))
        assert clean != every


def test_a_point_that_is_the_balanced_one_repeats_no_target() -> None:
    found = lock(72, 48, 6.0)
    balanced, out, into = found.points
    assert out.point.threshold == into.point.threshold == balanced.point.threshold
    for one, target in ((out, "sensitivity"), (into, "specificity")):
        assert one.validation.status == "not determined"
        assert not one.determined
        assert one.validation.same_as_balanced
        assert one.validation.target == 0.95
        assert one.point.rule == (
            "the same threshold as balanced: validation separates the classes too well to set "
            "another"
        )
        assert "0.95" not in one.point.rule
        assert target not in one.point.rule
        assert one.validation.note.startswith(one.point.rule)
    assert not balanced.validation.same_as_balanced
    assert balanced.validation.target is None


def test_a_target_below_that_of_the_balanced_point_is_not_called_well_separated() -> None:
    found = lock(200, 200, 1.0, sensitivity=0.5, specificity=0.5)
    for one in found.points[1:]:
        assert one.point.rule == (
            "the same threshold as balanced, which already reaches the target on validation"
        )
        assert one.validation.status == "not determined"


def test_distinct_points_are_determined_and_state_their_target() -> None:
    found = lock(400, 400, 1.0)
    balanced, out, into = found.points
    assert [one.validation.status for one in found.points] == ["determined"] * 3
    assert out.point.threshold < balanced.point.threshold < into.point.threshold
    assert "a sensitivity of at least 0.95 on validation with disturbed copies" in out.point.rule
    assert "a specificity of at least 0.95 on validation with disturbed copies" in into.point.rule
    assert out.validation.all_copies.sensitivity >= 0.95
    assert into.validation.all_copies.specificity >= 0.95


def test_a_distinct_point_that_is_not_determined_only_aims_at_its_target() -> None:
    found = lock(12, 200, 1.0)
    into = found.points[2]
    assert into.point.threshold > found.points[0].point.threshold
    assert into.validation.status == "not determined"
    assert into.point.rule == (
        "aims at a specificity of 0.95, but validation does not determine the threshold"
    )


def point_of_equal_scores(share: float) -> LockedPoint:
    """Return rule-in where this share of the negatives has a probability of exactly 1."""
    y_true = np.r_[np.ones(50), np.zeros(50)]
    y_prob = np.r_[np.ones(50), np.ones(int(50 * share)), np.linspace(0, 0.5, 50 - int(50 * share))]
    return metrics.lock_operating_points(y_prob, y_true, "X")[2]


def test_a_target_that_no_threshold_reaches_is_not_attainable() -> None:
    into = point_of_equal_scores(0.2)
    assert into.validation.status == "not attainable"
    assert not into.determined
    assert into.point.rule == "no threshold reaches a specificity of 0.95 on validation"
    assert "at least" not in into.point.rule
    assert point_of_equal_scores(0.04).validation.status != "not attainable"


def test_the_aurocs_of_unchanged_and_disturbed_images_are_named() -> None:
    logits, labels = draw(80, 80, 2.6, noise=0.8)
    found = lock_thresholds(logits, labels, [str(i) for i in range(160)], BINARY, copies=COPIES)
    clean = roc_auc_score(labels[:, 0], logits[:160, 0])
    every = roc_auc_score(np.tile(labels[:, 0], COPIES), logits[:, 0])
    assert f"{clean:.3f}" != f"{every:.3f}"
    words = f"AUROC {clean:.3f} on the unchanged images, {every:.3f} with their disturbed copies"
    assert words in evidence(found)["balanced"].note


def test_several_labels_and_no_copies() -> None:
    logits, labels = draw(40, 60, 1.0, copies=1)
    task = Task("multilabel", ("a", "b"), ("a", "b"))
    both = np.column_stack([labels, 1 - labels])
    found = lock_thresholds(
        np.column_stack([logits, -logits]), both, [str(i) for i in range(100)], task
    )
    assert {(one.point.label, one.validation.positives) for one in found.points} == {
        ("a", 40),
        ("b", 60),
    }
    for one in found.points:
        assert one.validation.unchanged == one.validation.all_copies
        assert "copies" not in one.point.rule
    assert set(found.indeterminate) == {"a", "b"}


def test_a_copy_that_is_missing_is_refused() -> None:
    with pytest.raises(MetricError):
        metrics.lock_operating_points([0.1, 0.9, 0.2], [0, 1], "X", copies=2)
    with pytest.raises(MetricError, match="at least one version"):
        metrics.lock_operating_points([], [0, 1], "X", copies=0)
