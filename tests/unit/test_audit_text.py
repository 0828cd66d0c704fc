"""Tests that burnt-in text which recurs or is tied to a class is reported, and chance is not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import stats

from plainfilm.audit.text import (
    _alike,
    check_text_ties,
    find_recurring_text,
    fisher_exact,
    mark_images,
)
from plainfilm.pixels.text import SIDE, TextLine, find_text, write_lines

FONT = ImageFont.load_default(16)
COUNT = 400


def text_of(*lines):
    """Return the metadata of an image with these texts, each at a corner (x, y)."""
    picture = Image.fromarray(np.full((SIDE, SIDE), 12, np.uint8))
    for text, corner in lines:
        ImageDraw.Draw(picture).text(corner, text, fill=220, font=FONT)
    found = find_text(np.asarray(picture))
    assert len(found) == len(lines)
    return {"text": write_lines(found)}


LOW, HIGH = (200, 225), (6, 6)
VOLTAGE = [text_of((f"KV{n}", LOW)) for n in (59, 68, 70)]
VIEW = text_of(("A-P", HIGH))


def evidence_with(make_evidence, labels, texts, **more):
    metadata = [texts.get(row, {}) for row in range(len(labels))]
    images = np.zeros((len(labels), 128, 128), np.uint8)
    return make_evidence(labels, images=images, metadata=metadata, **more)


def reported(evidence):
    groups = find_recurring_text(evidence)
    return groups, {one.check: one for one in check_text_ties(evidence, groups)}


def test_text_of_one_class_is_reported(make_evidence):
    labels = np.arange(COUNT) % 2
    texts = {int(row): VOLTAGE[n % 3] for n, row in enumerate(np.flatnonzero(labels)[:30])}
    texts |= {int(row): VIEW for row in np.flatnonzero(labels)[30:44]}
    groups, found = reported(evidence_with(make_evidence, labels, texts))
    assert [(one.place, one.count) for one in groups] == [
        ("", 44),
        ("lower right", 30),
        ("upper left", 14),
    ]
    assert set(found) == {"text-tied-to-class"}
    finding = found["text-tied-to-class"]
    assert finding.severity == "warning"
    assert finding.count == len(finding.files) == 44
    assert "22 % of 200 images of ILL and 0 % of 200 images of WELL" in finding.problem
    second = (
        ". Similar text at the lower right is in 15 % of 200 images of ILL and 0 % of 200 images of"
    )
    assert second in finding.problem


def test_text_of_nearly_a_whole_class_is_serious(make_evidence):
    labels = np.arange(COUNT) % 2
    texts = dict.fromkeys(np.flatnonzero(labels)[:120].tolist(), VIEW)
    _, found = reported(evidence_with(make_evidence, labels, texts))
    assert found["text-tied-to-class"].severity == "serious"


def test_text_that_only_recurs_within_one_group_is_reported(make_evidence):
    """Both classes have text equally often, but each has its own."""
    labels = np.arange(COUNT) % 2
    texts = dict.fromkeys(np.flatnonzero(labels)[:40].tolist(), VOLTAGE[0])
    texts |= dict.fromkeys(np.flatnonzero(labels == 0)[:40].tolist(), VIEW)
    groups, found = reported(evidence_with(make_evidence, labels, texts))
    assert groups[0].comparisons[0].p_value == 1
    assert "burnt-in text is in" not in found["text-tied-to-class"].problem
    assert "lower right" in found["text-tied-to-class"].problem


@pytest.mark.parametrize("seed", range(5))
def test_text_by_chance_is_not_reported(make_evidence, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(COUNT) % 2
    texts = {row: VOLTAGE[row % 3] for row in rng.choice(COUNT, 60, replace=False).tolist()}
    groups, found = reported(evidence_with(make_evidence, labels, texts))
    assert [one.count for one in groups] == [60, 60]
    assert found == {}


def test_many_images_of_few_patients_are_not_evidence(make_evidence):
    labels = np.arange(COUNT) % 2
    texts = dict.fromkeys(np.flatnonzero(labels)[:30].tolist(), VIEW)
    patients = [f"p{row}" for row in range(COUNT)]
    for row in texts:
        patients[row] = f"q{row % 3}"
    _, found = reported(evidence_with(make_evidence, labels, texts, patients=patients))
    assert found == {}


def test_text_that_one_split_has_is_a_shift(make_evidence):
    labels = np.arange(COUNT) % 2
    splits = ["test" if row % 4 < 2 else "train" for row in range(COUNT)]
    texts = {row: VIEW for row in range(COUNT) if splits[row] == "test" and row % 3 == 0}
    _, found = reported(evidence_with(make_evidence, labels, texts, splits=splits))
    assert set(found) == {"text-shift"}
    assert (
        "of the test set and 0 % of 100 images of the training set" in found["text-shift"].problem
    )
    assert "images of ILL" in found["text-shift"].problem


def test_without_text_there_is_nothing(make_evidence):
    groups, found = reported(make_evidence([0, 1] * 50))
    assert groups == () and found == {}


def test_marked_images_have_the_boxes_of_their_lines(make_evidence):
    texts = {3: text_of(("KV59", LOW), ("A-P", HIGH)), 5: VIEW}
    evidence = evidence_with(make_evidence, [0, 1] * 10, texts)
    marked = mark_images(evidence)
    assert [(one.id, len(one.boxes)) for one in marked] == [("x3.png", 2), ("x5.png", 1)]
    left, top, right, bottom = marked[1].boxes[0]
    assert 0 < left < right < 0.25 and 0 < top < bottom < 0.15


def test_examples_have_the_box_of_the_text_of_their_group(make_evidence):
    both = text_of(("KV59", LOW), ("A-P", HIGH))
    evidence = evidence_with(make_evidence, [0, 1] * 20, dict.fromkeys(range(12), both))
    groups = {one.place: one for one in find_recurring_text(evidence)}
    for place, below in (("lower right", True), ("upper left", False)):
        assert len(groups[place].examples) == 12
        for one in groups[place].examples:
            ((_, top, _, _),) = one.boxes
            assert (top > 0.5) == below


def test_of_many_lines_some_are_grouped_and_the_others_join(make_evidence, monkeypatch):
    texts = {row: VOLTAGE[row % 3] if row % 2 else VIEW for row in range(300)}
    evidence = evidence_with(make_evidence, [0, 1] * 200, texts)
    expected = find_recurring_text(evidence)
    monkeypatch.setattr("plainfilm.audit.text._MAX_GROUPED", 60)
    assert find_recurring_text(evidence) == expected


def test_many_different_texts_are_each_a_group():
    rng = np.random.default_rng(0)
    shapes = [rng.integers(0, 256, 32, np.uint8).tobytes().hex() for _ in range(200)]
    lines = [TextLine((0, 0, 9, 9), 5, False, shape) for shape in shapes]
    groups, means = _alike([(row, line) for row, line in enumerate([*lines, *lines])])
    assert [[row for row, _ in group] for group in groups] == [[n, 200 + n] for n in range(200)]
    assert np.allclose(np.linalg.norm(means, axis=1), 1)


def test_fisher_exact_is_that_of_scipy():
    rng = np.random.default_rng(0)
    tables = [*rng.integers(0, 30, (200, 4)).tolist(), [0, 0, 3, 4], [400, 3, 9, 2000]]
    for a, b, c, d in tables:
        expected = stats.fisher_exact([[a, b], [c, d]]).pvalue
        assert fisher_exact(a, b, c, d) == pytest.approx(expected, rel=1e-6, abs=1e-12)
