"""Tests that columns of a data set that predict the label are found, and only those."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from plainfilm._json import from_json, to_json
from plainfilm.audit import audit_dataset
from plainfilm.audit.columns import is_acquisition, measure_columns
from plainfilm.audit.document import ColumnResult
from plainfilm.audit.shortcuts import check_columns, judge_column
from plainfilm.cli.main import main
from plainfilm.data.metadata import Metadata
from plainfilm.data.record_table import Records
from plainfilm.report import write_audit_page


@pytest.fixture
def with_columns(make_evidence):
    """Return a function that makes evidence with further columns."""

    def make(labels, columns, **more):
        evidence = make_evidence(labels, **more)
        records = tuple(
            replace(record, columns={name: cells[n] for name, cells in columns.items()})
            for n, record in enumerate(evidence.records)
        )
        return replace(evidence, records=Records.of(records, 1))

    return make


def find(evidence):
    results = measure_columns(evidence)
    return {one.column: one for one in results}, [*check_columns(results)]


def test_the_cross_table_of_a_column_that_predicts_the_label(with_columns):
    # Of 100 positives 80 are AP, of 100 negatives 30: the AUROC is 0.8 * 0.7 + (0.8 * 0.3 +
    # 0.2 * 0.7) / 2 = 0.75.
    labels = [1] * 100 + [0] * 100
    view = ["AP"] * 80 + ["PA"] * 20 + ["AP"] * 30 + ["PA"] * 70
    results, findings = find(with_columns(labels, {"view": view}))
    assert results["view"].auroc.value == pytest.approx(0.75)
    counts = {group.value: group.counts for group in results["view"].table}
    assert counts == {"AP": (80, 30), "PA": (20, 70)}
    (finding,) = findings
    assert finding.check == "shortcut-column"
    assert finding.severity == "warning"  # the lower limit is 0.68
    assert "73 % of 110 images with AP and 22 % of 90 images with PA" in finding.problem
    written = json.loads(json.dumps(to_json(results["view"]), allow_nan=False))
    assert from_json(ColumnResult, written, "column") == results["view"]


def test_a_number_predicts_in_any_direction_and_so_do_blank_cells(with_columns):
    rng = np.random.default_rng(0)
    labels = [1] * 200 + [0] * 200
    age = [*rng.uniform(40, 50, 200).round(1), *rng.choice([20.0, 80.0], 200)]
    blank = ["x"] * 200 + ["x", ""] * 100
    results, findings = find(with_columns(labels, {"age": age, "remark": blank}))
    assert results["age"].auroc.value > 0.98  # the positives are in the middle
    assert results["remark"].auroc.value == pytest.approx(0.75)
    severities = {one.problem.split()[2]: one.severity for one in findings}
    assert severities == {"age": "serious", "remark": "warning"}
    assert [one.value for one in results["remark"].table] == ["(blank)", "x"]


def test_a_copy_of_the_label_is_a_note_that_says_so(with_columns):
    labels = [1] * 50 + [0] * 50
    _, (finding,) = find(with_columns(labels, {"text": ["a", "b"] * 25 + ["c"] * 50}))
    assert finding.severity == "note"
    assert "occurs in one class only" in finding.problem
    assert "derived from the label" in finding.consequence


def test_columns_of_noise_are_no_finding(with_columns):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        columns = {
            "view": rng.choice(["AP", "PA"], 300).tolist(),
            "site": rng.choice([f"hospital {n}" for n in range(12)], 300).tolist(),
            "age": rng.normal(50, 20, 300).round().tolist(),
            "constant": ["x"] * 300,
        }
        splits = rng.choice(["train", "test"], 300).tolist()
        labels = rng.integers(0, 2, 300).tolist()
        results, findings = find(with_columns(labels, columns, splits=splits))
        assert findings == [], seed
        assert "constant" not in results


def test_a_column_that_many_images_of_one_patient_share_is_not_evidence(with_columns):
    # Each of 20 patients has 20 images, one label and a value of its own.
    labels = np.repeat([1, 0], 200)
    patients = np.repeat(np.arange(20), 20).tolist()
    site = [f"site {patient}" for patient in patients]
    results, findings = find(with_columns(labels, {"site": site}, patients=patients))
    assert findings == []
    assert judge_column(results["site"]) in ("no finding", "inconclusive")


def test_a_column_that_differs_between_splits_within_a_class(with_columns):
    labels, splits = [1, 0] * 200, ["train"] * 200 + ["test"] * 200
    model = ["A"] * 200 + ["A", "A", "B", "B"] * 50
    evidence = with_columns(labels, {"scanner": model}, splits=splits)
    findings = [*check_columns(measure_columns(evidence))]
    assert {one.check for one in findings} == {"column-shift"}
    assert all(one.severity == "warning" for one in findings)
    assert "test set" in findings[0].problem


def test_metadata_of_files_count_where_no_column_has_them(with_columns):
    labels = [1] * 60 + [0] * 60
    metadata = Metadata.of([{"bytes": 1.0, "view": "AP" if label else "PA"} for label in labels])
    evidence = replace(with_columns(labels, {}), metadata=metadata)
    results, findings = find(evidence)
    assert [one.severity for one in findings] == ["serious"]
    assert set(results) == {"view"}
    view = ["AP", "PA"] * 60
    results, findings = find(replace(with_columns(labels, {"View": view}), metadata=metadata))
    assert findings == []


def test_names_of_columns_about_the_recording():
    yes = ("ViewPosition", "patient_age", "Manufacturer", "hospital", "kVp", "Sex", "SITE")
    no = ("finding_labels", "subtype", "image", "sexual", "siteless")
    assert all(map(is_acquisition, yes))
    assert not any(map(is_acquisition, no))


def test_a_table_is_audited_with_its_columns(phantoms, tmp_path, capsys):
    files = sorted(phantoms.glob("train/*/*"))
    rows = ["file,label,view"]
    rows += [
        f"{path},{path.parent.name},{'AP' if path.parent.name == 'NORMAL' or n % 4 == 0 else 'PA'}"
        for n, path in enumerate(files)
    ]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    audit = audit_dataset(table, quick=True)
    assert [one.column for one in audit.columns] == ["view"]
    assert audit.document.from_json(audit.document.to_json()).columns == audit.columns
    page = write_audit_page(audit, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "view: PNEUMONIA against NORMAL" in page
    assert main(["audit", str(table), "--quick"]) == 0
    assert "the column view alone predicts PNEUMONIA" in " ".join(capsys.readouterr().out.split())
