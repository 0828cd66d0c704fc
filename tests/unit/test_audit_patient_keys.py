"""Tests the checks for patients in several splits and for wrong patient keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plainfilm.audit.patient_keys import check_patient_keys, check_patients_across_splits
from plainfilm.records import Finding


def checks(findings):
    return [finding.check for finding in findings]


def from_a_pattern(evidence):
    """Return the evidence as if a pattern had extracted the patient keys from the file names."""
    finding = Finding(
        check="patient-pattern", severity="note", problem="read from a pattern", count=1
    )
    return replace(evidence, manifest=evidence.manifest.with_findings([finding]))


def test_a_patient_in_two_splits_is_found_and_counted(make_evidence):
    evidence = make_evidence(
        [0] * 7,
        patients=["p", "p", "q", "q", "r", "s", "s"],
        splits=["train", "test", "train", "validation", "test", "test", "test"],
        ids=list("abcdefg"),
    )
    (finding,) = check_patients_across_splits(evidence)
    assert (finding.check, finding.severity, finding.count) == (
        "patient-in-several-splits",
        "serious",
        2,
    )
    assert "1 of 4 images of the test set" in finding.problem
    assert "1 of 1 image of the validation set" in finding.problem
    assert set(finding.files) == {"a", "b", "c", "d"}
    assert set(finding.exclude) == {"a", "c"}, "the images of the test set are kept"


def test_test_images_are_kept_and_validation_before_training_images(make_evidence):
    evidence = make_evidence(
        [0] * 3, patients="ppp", splits=["train", "validation", "test"], ids=list("abc")
    )
    (finding,) = check_patients_across_splits(evidence)
    assert set(finding.exclude) == {"a", "b"}
    assert finding.problem.endswith(
        "patients of the training set account for 1 of 1 image of the test set and 1 of 1 image of "
        "the validation set"
    )


def test_validation_and_test_share_a_patient(make_evidence):
    evidence = make_evidence(
        [0] * 4,
        patients="pqpq",
        splits=["validation", "train", "test", "test"],
        ids=list("abcd"),
    )
    (finding,) = check_patients_across_splits(evidence)
    assert "training set account for 1 of 2 images of the test set; " in finding.problem
    assert finding.problem.endswith(
        "patients of the validation set account for 1 of 2 images of the test set"
    )
    assert set(finding.exclude) == {"a", "b"}


def test_patients_in_one_split_are_not_reported(make_evidence):
    splits = ["train", "train", "test", "test", ""]
    evidence = make_evidence([0] * 5, patients="ppqqq", splits=splits)
    assert list(check_patients_across_splits(evidence)) == []
    assert list(check_patients_across_splits(make_evidence([0] * 3, patients="ppp"))) == []


def test_a_single_key_is_reported(make_evidence):
    assert checks(check_patient_keys(make_evidence([0] * 25, patients=["p"] * 25))) == [
        "single-patient-key"
    ]
    assert checks(check_patient_keys(make_evidence([0] * 10, patients=["p"] * 10))) == []


def test_a_placeholder_key_is_reported(make_evidence):
    patients = ["unknown"] * 30 + [f"p{n}" for n in range(70)]
    (finding,) = check_patient_keys(make_evidence([0] * 100, patients=patients))
    assert (finding.check, finding.count) == ("dominant-patient-key", 30)
    patients = ["unknown"] * 20 + [f"p{n}" for n in range(80)]
    assert checks(check_patient_keys(make_evidence([0] * 100, patients=patients))) == []


@pytest.mark.parametrize(
    ("pattern", "reported"),
    [("case{:03d}_{}.png", True), ("case{:03d}-view{}.png", True), ("x{1}{0:03d}.png", False)],
)
def test_similar_file_names_suggest_patients(make_evidence, pattern, reported):
    ids = [pattern.format(n // 2, n % 2) for n in range(40)]
    assert checks(check_patient_keys(make_evidence([0] * 40, ids=ids))) == (
        ["patients-unknown"] if reported else []
    )


def test_numbering_that_restarts_for_each_kind_of_name(make_evidence):
    ids = [f"{kind}{n}_scan.png" for n in range(1, 31) for kind in ("a", "b")]
    patients = [n for n in range(1, 31) for _ in range(2)]
    evidence = make_evidence([0] * 60, ids=ids, patients=patients)
    (finding,) = check_patient_keys(from_a_pattern(evidence))
    assert (finding.check, finding.count) == ("numbering-restarts", 30)


def test_keys_from_a_column_are_trusted(make_evidence):
    ids = [f"{kind}_{n:04}.png" for n in range(1, 31) for kind in ("AP", "PA")]
    patients = [n for n in range(1, 31) for _ in range(2)]
    splits = ["train", "test"] * 30
    evidence = make_evidence([0] * 60, ids=ids, patients=patients, splits=splits)
    assert checks(check_patient_keys(evidence)) == []
    (finding,) = check_patients_across_splits(evidence)
    assert finding.severity == "serious"


def test_one_kind_of_name_is_not_reported(make_evidence):
    ids = [f"a{n}_{view}.png" for n in range(1, 31) for view in range(2)]
    patients = [n for n in range(1, 31) for _ in range(2)]
    assert checks(check_patient_keys(make_evidence([0] * 60, ids=ids, patients=patients))) == []


def test_an_overlap_due_to_numbering_is_a_warning(make_evidence):
    ids = [f"{kind}{n}_scan.png" for n in range(1, 31) for kind in ("a", "b")]
    patients = [n for n in range(1, 31) for _ in range(2)]
    splits = ["train", "test"] * 30
    given = {"ids": ids, "patients": patients}
    evidence = make_evidence([0] * 60, splits=splits, **given)
    (finding,) = check_patients_across_splits(from_a_pattern(evidence))
    assert (finding.severity, finding.count) == ("warning", 30)
    assert "numbered separately" in finding.problem
    # One patient in two splits under one kind of name makes the finding serious.
    ids += ["train/a31_scan.png", "test/a31_scan.png"]
    patients += [31, 31]
    splits += ["train", "test"]
    evidence = make_evidence([0] * 62, splits=splits, ids=ids, patients=patients)
    (finding,) = check_patients_across_splits(from_a_pattern(evidence))
    assert (finding.severity, finding.count) == ("serious", 31)
