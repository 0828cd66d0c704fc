"""Characteristics of patients and images (Table 1), against numbers counted by hand and NumPy."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm.audit.pipeline import Audit
from plainfilm.cli.describe import describe_characteristics
from plainfilm.data import Manifest, load_dataset
from plainfilm.data.characteristics import (
    OTHERS,
    Groups,
    characterise,
    characterise_splits,
    find_traits,
    manifest_columns,
)
from plainfilm.evaluation import evaluate
from plainfilm.records import Record, Task
from plainfilm.report import write_report
from plainfilm.report.audit.page import write_audit_page
from plainfilm.report.characteristics_table import characteristics_table
from public_sets.counts import WRITERS

TASK = Task("binary", ("ILL",), ("WELL", "ILL"))
ROWS = (
    # patient, split, label, age, sex, view, site
    ("a", "train", 1, "061Y", "M", "PA", "north"),
    ("a", "train", 0, "060Y", "M", "AP", "north"),
    ("b", "train", 1, 34.0, "female", "PA", "south"),
    ("c", "train", 0, None, None, "PA", None),
    ("c", "train", 0, 18.0, "F", None, "north"),
    ("d", "test", 1, 80.0, "m", "LL", "west"),
    ("e", "test", float("nan"), "", "unknown", "PA", "west"),
)


@pytest.fixture
def listed() -> Manifest:
    """List seven images of five patients."""
    records: list[Any] = []
    for number, (patient, split, label, *values) in enumerate(ROWS):
        columns = dict(
            zip(("Patient Age", "gender", "ViewPosition", "Hospital"), values, strict=True)
        )
        known = {name: value for name, value in columns.items() if value is not None}
        records.append(
            Record(
                id=f"{number}",
                path=f"/{number}",
                labels=(float(label),),
                patient=patient,
                split=split,  # type: ignore[arg-type]
                columns=known,
            )
        )
    return Manifest("drawn", TASK, tuple(records))


def test_patients_are_counted_once_and_missing_values_are_counted(listed: Manifest) -> None:
    train, test = characterise_splits(listed)
    assert (train.images, train.patients, test.images, test.patients) == (5, 3, 2, 2)
    assert train.age is not None and test.age is not None
    ages = np.array([60.0, 34.0, 18.0])  # the lowest of each patient
    assert train.age.known == 3 and train.age.missing == 0
    assert train.age.mean == pytest.approx(ages.mean())
    assert train.age.sd == pytest.approx(ages.std(ddof=1))
    assert (train.age.median, train.age.minimum, train.age.maximum) == (34, 18, 60)
    assert (test.age.known, test.age.missing, test.age.median) == (1, 1, 80)
    assert train.sex == Groups({"female": 2, "male": 1}, 0)
    assert test.sex == Groups({"male": 1}, 1)
    assert train.view == Groups({"PA": 3, "AP": 1}, 1)
    assert train.site == Groups({"north": 3, "south": 1}, 1)
    assert (train.labels["ILL"].positive, train.labels["ILL"].unknown) == (2, 0)
    assert (test.labels["ILL"].positive, test.labels["ILL"].unknown) == (1, 1)


def test_the_table_shows_counts_with_percentages(listed: Manifest) -> None:
    grid = characteristics_table(characterise_splits(listed)).grid()
    assert grid[0] == ["Characteristic", "Training", "Test"]
    rows = {row[0]: row[1:] for row in grid}
    assert rows["Images"] == ["5", "2"]
    assert rows["Age in years: median (range)"] == ["34 (18–60)", "80 (80–80)"]
    assert rows["Age in years: mean (SD)"] == ["37.3 (21.2)", "80.0 (–)"]
    assert rows["Age: missing"] == ["0 (0.0%)", "1 (50.0%)"]
    assert rows["Sex: female"] == ["2 (66.7%)", "0 (0.0%)"]
    assert rows["View: PA"] == ["3 (60.0%)", "1 (50.0%)"]
    assert rows["View: missing"] == ["1 (20.0%)", "0 (0.0%)"]
    assert rows["Site: west"] == ["0 (0.0%)", "2 (100.0%)"]
    assert rows["ILL: positive"] == ["2 (40.0%)", "1 (50.0%)"]
    assert rows["ILL: unknown"] == ["0 (0.0%)", "1 (50.0%)"]


def test_a_group_without_a_column_is_missing_there(listed: Manifest) -> None:
    labels = np.zeros((3, 1), np.float32)
    other = characterise("Test", TASK, ["x", "y", "y"], labels, {})
    grid = characteristics_table([*characterise_splits(listed), other]).grid()
    assert grid[0][1:] == ["Training", "Test", "Test-2"]
    rows = {row[0]: row[-1] for row in grid}
    assert rows["Sex: male"] == "–"
    assert rows["Sex: missing"] == "2 (100.0%)"
    assert rows["Age in years: median (range)"] == "–"
    assert rows["Age: missing"] == "2 (100.0%)"
    assert not other.has_traits


def test_rare_values_are_counted_together() -> None:
    sites = [f"s{number % 20:02d}" for number in range(100)]
    found = characterise("d", TASK, sites, np.zeros((100, 1), np.float32), {"site": sites})
    assert found.site is not None
    assert len(found.site.counts) == 13
    assert found.site.counts[OTHERS] == 100 - 12 * 5


@pytest.mark.parametrize(
    ("name", "traits"),
    [
        ("nih", {"age": "Patient Age", "sex": "Patient Gender", "view": "View Position"}),
        ("chexpert", {"age": "Age", "sex": "Sex", "view": "AP/PA"}),
        ("mimic-cxr", {"view": "ViewPosition"}),
        ("padchest", {"sex": "PatientSex_DICOM", "view": "Projection"}),
        ("openi", {"view": "projection"}),
    ],
)
def test_columns_of_public_sets_are_recognised(
    name: str, traits: dict[str, str], tmp_path: Path
) -> None:
    manifest = load_dataset(WRITERS[name](tmp_path), layout=name)
    columns = manifest_columns(manifest)
    known = [own for own, cells in columns.items() if {*cells} - {None, "None"}]
    assert find_traits(known) == traits
    groups = characterise_splits(manifest)
    for trait in traits:
        assert all(getattr(own, trait) is not None for own in groups)


def test_audit_page_and_terminal_show_the_table(listed: Manifest, tmp_path: Path) -> None:
    audit = Audit(listed, (), (), images=7, quick=True)
    page = write_audit_page(audit, tmp_path / "a.html").read_text("utf-8")
    assert "Patients and images</h2>" in page
    assert "Sex: female" in page
    text = describe_characteristics(listed)
    assert text.splitlines()[0].split() == ["Characteristic", "Training", "Test"]
    assert "ILL" not in text
    bare = replace(listed, records=tuple(replace(own, columns={}) for own in listed.records))
    assert describe_characteristics(bare) == ""


def test_the_report_describes_the_images_that_were_scored(
    make_bundle: Any, draw_grey: Any, tmp_path: Path
) -> None:
    lines = ["file,label,age,sex"]
    for number in range(12):
        draw_grey(tmp_path / "d" / f"{number}.png", 170 if number % 2 else 90)
        lines.append(
            f"{number}.png,{['dark', 'bright'][number % 2]},{20 + number},{'fm'[number < 4]}"
        )
    lines.append("gone.png,dark,99,f")
    (tmp_path / "d" / "labels.csv").write_text("\n".join(lines))
    data = load_dataset(tmp_path / "d" / "labels.csv", positive="bright")
    bundle = make_bundle()
    found = evaluate(bundle, data, out=tmp_path / "o", robustness=False, n_bootstrap=20, workers=0)
    write_report(found, model=bundle.folder)
    with open(
        tmp_path / "o" / "tables" / "characteristics.csv", newline="", encoding="utf-8"
    ) as file:
        rows = {row["characteristic"]: row for row in csv.DictReader(file)}
    assert rows["Images"]["labels_n"] == "12"
    assert rows["Sex: male"]["labels_n"] == "4"
    assert float(rows["Age in years: median (range)"]["labels_value"]) == 25.5
    assert float(rows["bright: positive"]["labels_share"]) == 0.5
