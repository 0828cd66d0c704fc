"""Folds are by patient, stratified and reproducible; a column may assign them."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.data import Manifest, load_dataset, make_folds, make_splits
from plainfilm.errors import ConfigError, SplitError
from plainfilm.records import Record, Task

TASKS = (
    Task("binary", ("sick",), ("normal", "sick")),
    Task("multiclass", ("a", "b", "c"), ("a", "b", "c")),
    Task("multilabel", ("x", "y"), ("x", "y")),
)


def _draw(task: Task = TASKS[0], patients: int = 150) -> Manifest:
    """Draw patients of 1 to 6 images; every fifth patient is in the official test set."""
    rng = np.random.default_rng(1)
    records = []
    for patient in range(patients):
        for image in range(int(rng.integers(1, 7))):
            if task.kind == "multiclass":
                labels = tuple(np.eye(3)[rng.integers(3)])
            else:
                labels = tuple(float(one) for one in rng.random(len(task.labels)) < 0.3)
            name = f"{patient}-{image}"
            official = "test" if patient % 5 == 0 else "validation" if patient % 7 == 0 else "train"
            columns = {"Fold": float(patient % 4)}
            records.append(
                Record(
                    id=name,
                    path=name,
                    labels=labels,
                    patient=f"p{patient}",
                    official=official,
                    columns=columns,
                )
            )
    return Manifest("drawn", task, tuple(records))


def _without_column(manifest: Manifest) -> Manifest:
    return replace(manifest, records=tuple(replace(r, columns={}) for r in manifest.records))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_each_image_outside_the_test_set_is_in_one_fold_with_its_patient(task: Task) -> None:
    manifest = _without_column(_draw(task))
    folds = make_folds(manifest, 5)
    official = {r.id for r in manifest.records if r.official == "test"}
    assert {r.id for r in folds.test} == official
    assert {r.id for r in folds.manifest.records} == {r.id for r in manifest.records} - official
    assert folds.count == 5 and set(folds.numbers) == {1, 2, 3, 4, 5}
    of: dict[str, set[int]] = defaultdict(set)
    for record, number in zip(folds.manifest.records, folds.numbers, strict=True):
        of[record.patient].add(number)
    assert all(len(found) == 1 for found in of.values())
    labels, numbers = folds.manifest.label_array(), np.array(folds.numbers)
    for column in range(labels.shape[1]):
        positives = np.bincount(numbers[labels[:, column] == 1], minlength=6)[1:]
        assert np.ptp(positives) <= 2
    assert np.ptp(np.bincount(numbers)[1:]) <= 8
    [note] = [one for one in folds.manifest.findings if one.check == "test-set-kept"]
    assert note.count == len(official)


def test_folds_do_not_depend_on_the_order_or_the_spelling_of_patients() -> None:
    manifest = _without_column(_draw())
    folds = make_folds(manifest, 4)
    turned = replace(
        manifest,
        records=tuple(replace(r, patient=f"other {r.patient}") for r in manifest.records[::-1]),
    )
    again = make_folds(turned, 4)
    assert [r.id for r in again.manifest.records] == [r.id for r in folds.manifest.records]
    assert again.numbers == folds.numbers


def test_the_split_of_a_fold_takes_validation_by_patient_from_the_others() -> None:
    folds = make_folds(_without_column(_draw()), 4)
    tests = []
    for fold in range(1, 5):
        split = folds.split(fold, 0.2)
        assert len(split) == len(folds.manifest)
        patients = {
            name: {r.patient for r in split.records if r.split == name}
            for name in ("train", "validation", "test")
        }
        assert not patients["train"] & patients["validation"]
        assert not patients["test"] & (patients["train"] | patients["validation"])
        share = len(split.select("validation")) / (len(split) - len(split.select("test")))
        assert share == pytest.approx(0.2, abs=0.04)
        expected = {
            r.id
            for r, own in zip(folds.manifest.records, folds.numbers, strict=True)
            if own == fold
        }
        assert {r.id for r in split.select("test").records} == expected
        assert {one.check for one in split.findings} == {"test-set-kept"}
        tests += sorted(expected)
    assert sorted(tests) == sorted(r.id for r in folds.manifest.records)


def test_a_column_assigns_the_folds() -> None:
    manifest = _draw()
    folds = make_folds(manifest, 4)
    assert folds.names == ("0", "1", "2", "3")
    for record, number in zip(folds.manifest.records, folds.numbers, strict=True):
        assert number == record.columns["Fold"] + 1
    with pytest.raises(SplitError, match="another number of folds") as error:
        make_folds(manifest, 5)
    assert "request 4 folds" in str(error.value)


def test_a_column_that_cannot_be_used_is_an_error() -> None:
    manifest = _draw()
    first = next(r for r in manifest.records if r.official != "test" and r.id.endswith("-1"))

    def change(cell: str | float) -> Manifest:
        changed = replace(first, columns={"Fold": cell})
        return replace(
            manifest, records=tuple(changed if r.id == first.id else r for r in manifest.records)
        )

    other = float((int(str(first.columns["Fold"])[0]) + 1) % 4)
    with pytest.raises(SplitError, match="1 patient has images in several folds") as error:
        make_folds(change(other), 4)
    assert first.patient[1:] in str(error.value) and "same fold" in str(error.value)
    with pytest.raises(SplitError, match="1 image has no value"):
        make_folds(change(""), 4)


def test_too_few_patients_or_folds_are_errors() -> None:
    manifest = _without_column(_draw(patients=8))
    with pytest.raises(ConfigError, match="2 or more"):
        make_folds(manifest, 1)
    with pytest.raises(SplitError, match="too few patients"):
        make_folds(manifest, 30)
    test = make_splits(_without_column(_draw()), validation=0.2).select("test")
    with pytest.raises(SplitError, match="no image is left"):
        make_folds(test, 2)


@pytest.mark.parametrize("values", [("0", "1"), ("a", "b")])
def test_a_column_fold_of_a_table_is_read(tmp_path: Path, values: tuple[str, str]) -> None:
    rows = []
    for number in range(24):
        name = f"p{number // 2}_{number % 2}.png"
        Image.fromarray(np.full((16, 16), 5 * number, np.uint8)).save(tmp_path / name)
        rows.append([name, f"p{number // 2}", number // 2 % 3 == 0, values[number // 2 % 2]])
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "patient", "label", "fold"])
        writer.writerows([*row[:2], int(row[2]), row[3]] for row in rows)
    manifest = load_dataset(tmp_path / "table.csv")
    folds = make_folds(manifest, 2)
    assert folds.names == values
    expected = {row[0]: values.index(row[3]) + 1 for row in rows}
    found = dict(zip((r.id for r in folds.manifest.records), folds.numbers, strict=True))
    assert found == expected
