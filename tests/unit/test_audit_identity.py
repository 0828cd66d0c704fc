"""The same patient on both sides, and keys that cannot be right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plainfilm.audit.leaks import check_patient_keys, check_patients
from plainfilm.records import Finding


def checks(findings):
    return [finding.check for finding in findings]


def of_a_pattern(evidence):
    """Return the evidence as if an expression had taken the patients out of the names."""
    told = Finding(check="patient-pattern", severity="note", problem="read from a pattern", count=1)
    return replace(evidence, listed=evidence.listed.with_findings([told]))


def test_a_patient_in_two_splits_is_found_and_counted(make_evidence):
    evidence = make_evidence(
        [0] * 7,
        patients=["p", "p", "q", "q", "r", "s", "s"],
        splits=["train", "test", "train", "validation", "test", "test", "test"],
        ids=list("abcdefg"),
    )
    (finding,) = check_patients(evidence)
    assert (finding.check, finding.severity, finding.count) == ("patient-leak", "serious", 2)
    assert "1 of 4 images of test" in finding.problem
    assert "1 of 1 image of validation" in finding.problem
    assert set(finding.files) == {"a", "b", "c", "d"}
    assert set(finding.exclude) == {"a", "c"}, "what is tested stays, what was learnt from goes"


def test_the_test_is_kept_and_validation_before_train(make_evidence):
    evidence = make_evidence(
        [0] * 3, patients="ppp", splits=["train", "validation", "test"], ids=list("abc")
    )
    (finding,) = check_patients(evidence)
    assert set(finding.exclude) == {"a", "b"}
    assert finding.problem.endswith(
        "1 of 1 image of test and 1 of 1 image of validation are of patients that are also in train"
    )


def test_validation_and_test_share_a_patient(make_evidence):
    evidence = make_evidence(
        [0] * 4,
        patients="pqpq",
        splits=["validation", "train", "test", "test"],
        ids=list("abcd"),
    )
    (finding,) = check_patients(evidence)
    assert "1 of 2 images of test are of patients that are also in train; " in finding.problem
    assert finding.problem.endswith(
        "1 of 2 images of test are of patients that are also in validation"
    )
    assert set(finding.exclude) == {"a", "b"}


def test_patients_on_one_side_are_no_finding(make_evidence):
    splits = ["train", "train", "test", "test", ""]
    evidence = make_evidence([0] * 5, patients="ppqqq", splits=splits)
    assert list(check_patients(evidence)) == []
    assert list(check_patients(make_evidence([0] * 3, patients="ppp"))) == []


def test_one_key_for_all_is_none(make_evidence):
    assert checks(check_patient_keys(make_evidence([0] * 25, patients=["p"] * 25))) == [
        "one-patient-key"
    ]
    assert checks(check_patient_keys(make_evidence([0] * 10, patients=["p"] * 10))) == []


def test_a_placeholder_dominates(make_evidence):
    patients = ["unknown"] * 30 + [f"p{n}" for n in range(70)]
    (finding,) = check_patient_keys(make_evidence([0] * 100, patients=patients))
    assert (finding.check, finding.count) == ("dominant-patient", 30)
    patients = ["unknown"] * 20 + [f"p{n}" for n in range(80)]
    assert checks(check_patient_keys(make_evidence([0] * 100, patients=patients))) == []


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("case{:03d}_{}.png", True), ("case{:03d}-view{}.png", True), ("x{1}{0:03d}.png", False)],
)
def test_names_that_group_hint_at_patients(make_evidence, pattern, told):
    ids = [pattern.format(n // 2, n % 2) for n in range(40)]
    assert checks(check_patient_keys(make_evidence([0] * 40, ids=ids))) == (
        ["patients-unknown"] if told else []
    )


def test_numbers_that_restart_for_another_kind_of_name(make_evidence):
    ids = [f"{kind}{n}_scan.png" for n in range(1, 31) for kind in ("a", "b")]
    patients = [n for n in range(1, 31) for _ in range(2)]
    evidence = make_evidence([0] * 60, ids=ids, patients=patients)
    (finding,) = check_patient_keys(of_a_pattern(evidence))
    assert (finding.check, finding.count) == ("numbering-restarts", 30)


def test_a_column_knows_better_than_names(make_evidence):
    ids = [f"{kind}_{n:04}.png" for n in range(1, 31) for kind in ("AP", "PA")]
    patients = [n for n in range(1, 31) for _ in range(2)]
    splits = ["train", "test"] * 30
    evidence = make_evidence([0] * 60, ids=ids, patients=patients, splits=splits)
    assert checks(check_patient_keys(evidence)) == []
    (finding,) = check_patients(evidence)
    assert finding.severity == "serious"


def test_one_kind_of_name_does_not_restart(make_evidence):
    ids = [f"a{n}_{view}.png" for n in range(1, 31) for view in range(2)]
    patients = [n for n in range(1, 31) for _ in range(2)]
    assert checks(check_patient_keys(make_evidence([0] * 60, ids=ids, patients=patients))) == []


def test_an_overlap_of_numbers_alone_is_said_to_be_doubtful(make_evidence):
    ids = [f"{kind}{n}_scan.png" for n in range(1, 31) for kind in ("a", "b")]
    patients = [n for n in range(1, 31) for _ in range(2)]
    splits = ["train", "test"] * 30
    given = {"ids": ids, "patients": patients}
    evidence = make_evidence([0] * 60, splits=splits, **given)
    (finding,) = check_patients(of_a_pattern(evidence))
    assert (finding.severity, finding.count) == ("warning", 30)
    assert "numbered apart" in finding.problem
    # One patient who crosses under one kind of name, and the doubt is gone.
    ids += ["train/a31_scan.png", "test/a31_scan.png"]
    patients += [31, 31]
    splits += ["train", "test"]
    evidence = make_evidence([0] * 62, splits=splits, ids=ids, patients=patients)
    (finding,) = check_patients(of_a_pattern(evidence))
    assert (finding.severity, finding.count) == ("serious", 31)
