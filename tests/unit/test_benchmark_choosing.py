"""The questions of benchmarks/choosing.py: which images they train and test on, and the ranking."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plainfilm.data import Manifest
from plainfilm.records import PixelSpec, Record, Task
from plainfilm.search import questions
from plainfilm.search.scoring import disturb_each

TASK = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture
def manifest() -> Manifest:
    """Return records named as in the public set, two images of each patient."""
    records = []
    for number in range(480):
        patient = number // 2
        marks = ("IM-{}", "NORMAL2-IM-{}", "person{}_bacteria_{}", "person{}_virus_{}")
        positive = patient % 4 > 1
        name = marks[patient % 4].format(patient, number) + f"-{number}.jpeg"
        folder = "PNEUMONIA" if positive else "NORMAL"
        records.append(
            Record(
                id=f"train/{folder}/{name}",
                path=name,
                labels=(float(positive),),
                patient=f"p{patient}",
                official="test" if patient % 10 == 9 else "train",
            )
        )
    return Manifest("drawn", TASK, tuple(records))


@pytest.fixture
def bars(manifest, monkeypatch):
    """Give every third patient's images a dark bar; return the number of images with one."""

    class Drawn:
        left_out = ()

        def __init__(self, own: Manifest, spec, **_) -> None:
            rng = np.random.default_rng(0)
            images = rng.integers(90, 160, (len(own), spec.size, spec.size)).astype(np.uint8)
            for row, record in enumerate(own.records):
                if int(record.patient[1:]) % 3 == 0:
                    images[row, :, : spec.size // 4] = 0
            self.images = images

        def positions(self, ids) -> np.ndarray:
            return np.arange(len(ids))

        def gather(self, rows) -> np.ndarray:
            return self.images[rows]

    monkeypatch.setattr(questions, "fill_cache", Drawn)


@pytest.mark.parametrize("question", ["validation", "series", "styles"])
def test_a_question_never_reads_official_test_images_and_keeps_patients_apart(
    manifest, bars, question
):
    import _questions

    own = _questions.official_training(manifest)
    official = {record.id for record in manifest.records if record.official == "train"}
    parts = [*_questions.parts_of(own, question, 2)]

    assert len(parts) == {"validation": 1, "series": 2, "styles": 2}[question]
    for part in parts:
        training = part.training.select("train")
        assert official.issuperset([*part.training.ids, *part.test.ids])
        assert not set(training.patients) & set(part.test.patients)
        assert set(part.training.splits) == {"train", "validation"}
        labels = part.test.label_array()[:, 0]
        assert part.pairs == (labels == 1).sum() * (labels == 0).sum() > 0


def test_the_series_are_tested_in_both_directions(manifest):
    import _questions

    first, second = _questions.parts_of(_questions.official_training(manifest), "series", 2)

    assert all("NORMAL2-" in name or "_virus_" in name for name in first.test.ids)
    assert set(second.test.ids) == {*first.training.ids}
    assert set(first.test.ids) == {*second.training.ids}


def test_styles_do_not_depend_on_labels_and_small_ones_join_others(manifest, bars):
    import _questions

    own = _questions.official_training(manifest)
    members = questions.group_by_style(own, 2)[1]
    has_bar = [int(patient[1:]) % 3 == 0 for patient in own.patients]

    assert len(set(zip(members, has_bar, strict=True))) == 2
    one_class = [r for r in own.records if int(r.patient[1:]) % 3 or r.labels[0] == 1]
    rare = Manifest("drawn", TASK, tuple(one_class))
    assert len(np.unique(questions.group_by_style(rare, 2)[1])) == 1


def test_the_groups_of_a_shift_between_styles_are_these_styles(manifest, bars):
    grouped = questions.with_groups(manifest, "styles", 2)
    has_bar = {record.id: int(record.patient[1:]) % 3 == 0 for record in manifest.records}

    assert questions.groups_of(grouped) == ["style 1", "style 2"]
    part = questions.group_part(grouped, "style 2", 0)
    assert len({has_bar[name] for name in part.test.ids}) == 1
    assert not set(part.training.patients) & set(part.test.patients)


def test_mixed_images_have_one_disturbance_each():
    images = np.random.default_rng(1).integers(0, 256, (60, 64, 64)).astype(np.uint8)
    mixed, kinds = disturb_each(images, PixelSpec(32))

    assert mixed.shape == (60, 32, 32)
    assert len(np.unique(kinds)) > 6
    again, _ = disturb_each(images, PixelSpec(32))
    np.testing.assert_array_equal(mixed, again)


def test_the_ranking_agrees_with_scipy_and_needs_every_part(tmp_path):
    import _ranking

    known = {"a": 0.95, "b": 0.96, "c": 0.98}
    lines = []
    for candidate, values in {"a": (0.7, 0.9), "b": (0.9, 0.6), "c": (0.9, 0.8)}.items():
        for part, (value, pairs) in enumerate(zip(values, (100, 300), strict=True)):
            key = {"candidate": candidate, "seed": 0, "question": "styles", "part": str(part)}
            cost = {"training_seconds": 1.0, "cpu_seconds": 1.0, "seconds": 1.0}
            lines.append(key | {"pairs": pairs, "scores": {"clean": value}} | cost)
    lines.append(lines[0] | {"seed": 1})  # its other part is missing
    file = tmp_path / "scores.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + '\n{"cand', encoding="utf-8")

    read = _ranking.read_lines([file])
    scores = _ranking.combine(read)

    assert read == lines
    assert scores["styles, clean"]["a"] == {0: pytest.approx(0.85)}
    assert scores["styles, clean"]["b"] == {0: pytest.approx(0.675)}
    row = _ranking.ranking_table(scores, known).splitlines()[-1]
    assert "a > c > b" in row
    assert "| -0.33 |" in row
