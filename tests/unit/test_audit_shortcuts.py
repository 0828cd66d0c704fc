"""Tests that baseline models find planted shortcuts and shifts, and only those."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from plainfilm._json import from_json, to_json
from plainfilm.audit.baselines import fit_baselines
from plainfilm.audit.document import Baseline
from plainfilm.audit.shortcuts import check_shift, check_shortcuts


@pytest.fixture(scope="module")
def chest_images(chests):
    """Return 384 images: each drawn chest at four exposures, unrelated to the labels."""
    rng = np.random.default_rng(0)
    gains = rng.uniform(0.7, 1.2, (4 * len(chests), 1, 1))
    return np.clip(np.tile(chests, (4, 1, 1)) * gains, 0, 255).astype(np.uint8)


# Random, so that neither is related to a chest; there are four images of each.
LABELS = np.random.default_rng(1).permutation(384) % 2
ILL = LABELS == 1
SPLITS = np.where(np.random.default_rng(2).permutation(384) % 3, "train", "test")


def metadata(labels, gap, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.normal(30_000, 3_000, len(labels)) + gap * np.array(labels)
    return [{"bytes": float(size), "width": 500.0, "height": 400.0} for size in sizes]


def check(evidence):
    baselines = fit_baselines(evidence)
    findings = [*check_shortcuts(evidence, baselines), *check_shift(evidence, baselines)]
    return baselines, {finding.check: finding for finding in findings}


def test_a_set_without_shortcuts_has_no_finding(make_evidence, chest_images):
    evidence = make_evidence(LABELS, images=chest_images, metadata=metadata(LABELS, 0))
    baselines, found = check(evidence)
    assert {one.features for one in baselines} == {
        "file metadata",
        "border",
        "thumbnail",
        "histogram",
    }
    assert found == {}
    assert all(one.auroc.low < 0.55 for one in baselines)


def test_file_size_that_predicts_the_label(make_evidence, chest_images):
    evidence = make_evidence(LABELS, images=chest_images, metadata=metadata(LABELS, 8_000))
    _, found = check(evidence)
    assert set(found) == {"shortcut-file-metadata"}
    assert found["shortcut-file-metadata"].severity == "serious"
    assert "file size 0.9" in found["shortcut-file-metadata"].problem


def test_a_frame_around_one_class(make_evidence, chest_images):
    images = chest_images.copy()
    for edge in (np.s_[:, :2], np.s_[:, -2:], np.s_[:, :, :2], np.s_[:, :, -2:]):
        images[edge][ILL] = 255
    _, found = check(make_evidence(LABELS, images=images))
    assert found["shortcut-border"].severity == "serious"


def test_a_brighter_class(make_evidence, chest_images):
    images = chest_images.copy()
    images[ILL] = np.clip(images[ILL].astype(int) + 25, 0, 255)
    _, found = check(make_evidence(LABELS, images=images))
    assert found["shortcut-histogram"].severity == "warning", "a histogram is never serious"


def test_a_shift_within_a_class(make_evidence, chest_images):
    test = SPLITS == "test"
    images = chest_images.copy()
    images[test] = (255 * (images[test] / 255) ** 0.5).astype(np.uint8)
    baselines, found = check(make_evidence(LABELS, images=images, splits=SPLITS.tolist()))
    assert set(found) == {"shift-test"}
    assert {one.target for one in baselines if one.kind == "shift"} == {"WELL", "ILL"}
    _, found = check(make_evidence(LABELS, images=chest_images, splits=SPLITS.tolist()))
    assert found == {}


def test_a_small_set_is_inconclusive(make_evidence, chest_images):
    _, found = check(make_evidence(LABELS[:40], images=chest_images[:40]))
    assert set(found) == {"shortcuts-inconclusive"}


def test_fewer_than_ten_images_are_not_compared(make_evidence, chest_images):
    baselines, found = check(make_evidence(LABELS[:18], images=chest_images[:18]))
    assert baselines == () and found == {}


def test_few_patients_are_inconclusive_even_with_many_images(make_evidence, chest_images):
    patients = [n % 8 for n in range(384)]
    baselines, found = check(make_evidence(LABELS, images=chest_images, patients=patients))
    assert all(math.isnan(one.auroc.value) for one in baselines)
    assert set(found) == {"shortcuts-inconclusive"}


def test_more_comparisons_make_wider_intervals(make_evidence, chest_images):
    few = fit_baselines(make_evidence(LABELS, images=chest_images))
    many = fit_baselines(make_evidence(LABELS, images=chest_images, splits=SPLITS.tolist()))
    widths = [
        {b.features: b.auroc.high - b.auroc.low for b in baselines if b.kind == "shortcut"}
        for baselines in (few, many)
    ]
    assert all(widths[1][features] > width for features, width in widths[0].items())


def test_missing_files_have_no_size_to_compare(make_evidence):
    assert fit_baselines(make_evidence(LABELS)) == ()


def test_results_are_read_as_they_were_written(make_evidence, chest_images):
    evidence = make_evidence(LABELS, images=chest_images, metadata=metadata(LABELS, 5_000))
    for baseline in fit_baselines(evidence):
        written = json.dumps(to_json(baseline), allow_nan=False)
        read = from_json(Baseline, json.loads(written), "baseline")
        assert to_json(read) == to_json(baseline)
        assert (read.means is None) != (read.histograms is None)


def test_of_a_large_class_images_are_drawn(make_evidence, chest_images, monkeypatch):
    monkeypatch.setattr("plainfilm.audit.comparisons._MOST", 120)
    evidence = make_evidence(LABELS, images=chest_images, metadata=metadata(LABELS, 8_000))
    baselines, found = check(evidence)
    assert {one.counts for one in baselines} == {(120, 120)}
    assert {one.drawn_from for one in baselines} == {(192, 192)}
    finding = found["shortcut-file-metadata"]
    assert finding.count == 384
    assert "measured on 240 of 384 images, drawn at random" in finding.problem
    again = [one.auroc for one in fit_baselines(evidence)]
    assert [one.auroc for one in baselines] == again, "the same images are drawn again"
