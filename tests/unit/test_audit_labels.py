"""Tests the checks of labels, class balance, prevalence and precision."""

from __future__ import annotations

import math

import pytest

from plainfilm.audit.labels import (
    check_balance,
    check_precision,
    check_prevalence,
    check_unknown,
)
from plainfilm.metrics.intervals import wilson
from plainfilm.records import Task

TWO = Task("multilabel", ("A", "B"), ("A", "B"))


def label_splits(**counts):
    """Return labels and splits for the given numbers of (ill, well) images."""
    labels, names = [], []
    for name, (ill, well) in counts.items():
        labels += [1] * ill + [0] * well
        names += [name] * (ill + well)
    return labels, names


def test_unknown_labels_are_counted_for_each_label(make_evidence):
    rows = [(1.0, math.nan), (0.0, math.nan), (math.nan, 1.0), (0.0, 0.0)]
    found = list(check_unknown(make_evidence(rows, task=TWO)))
    assert [(f.problem[:1], f.count) for f in found] == [("A", 1), ("B", 2)]
    assert found[1].files == ("x0.png", "x1.png")
    assert list(check_unknown(make_evidence([0, 1]))) == []


@pytest.mark.parametrize(
    ("ill", "well", "severity"),
    [(9, 91, "warning"), (91, 9, "warning"), (20, 480, "note"), (20, 80, None), (0, 0, None)],
)
def test_a_rare_class(make_evidence, ill, well, severity):
    findings = list(check_balance(make_evidence([1] * ill + [0] * well)))
    assert [f.severity for f in findings] == ([severity] if severity else [])


def test_prevalence_that_differs_beyond_chance(make_evidence):
    labels, names = label_splits(train=(740, 260), test=(125, 75))
    (finding,) = check_prevalence(make_evidence(labels, splits=names))
    assert "74 % in the training set but 62 % in the test set" in finding.problem
    labels, names = label_splits(train=(740, 260), test=(140, 60))
    assert list(check_prevalence(make_evidence(labels, splits=names))) == []


def test_prevalence_needs_a_training_set(make_evidence):
    labels, names = label_splits(validation=(90, 10), test=(10, 90))
    assert list(check_prevalence(make_evidence(labels, splits=names))) == []
    labels, names = label_splits(train=(90, 0), test=(90, 0))
    assert list(check_prevalence(make_evidence(labels, splits=names))) == []


def test_a_test_set_of_one_class_is_serious(make_evidence):
    labels, names = label_splits(train=(50, 50), test=(50, 0))
    (finding,) = check_precision(make_evidence(labels, splits=names))
    assert (finding.check, finding.severity) == ("one-class-only", "serious")


@pytest.mark.parametrize(
    ("patients", "check", "severity"),
    [(8, "test-too-small", "serious"), (40, "test-too-small", "warning"), (200, None, None)],
)
def test_few_patients_give_wide_intervals(make_evidence, patients, check, severity):
    labels, names = label_splits(test=(patients, 300))
    found = list(check_precision(make_evidence(labels, splits=names)))
    assert [(f.check, f.severity) for f in found] == ([(check, severity)] if check else [])
    if found:
        interval = wilson(0.9 * patients, patients)
        assert f"{interval.low:.2f} to {interval.high:.2f}" in found[0].problem


def test_patients_are_counted_not_images(make_evidence):
    labels, names = label_splits(test=(400, 400))
    patients = [n // 40 for n in range(800)]
    (finding,) = check_precision(make_evidence(labels, splits=names, patients=patients))
    assert "10 positive and 10 negative" in finding.problem


def test_a_small_validation_set_is_a_warning(make_evidence):
    labels, names = label_splits(validation=(8, 8))
    (finding,) = check_precision(make_evidence(labels, splits=names))
    assert (finding.check, finding.severity) == ("validation-too-small", "warning")
