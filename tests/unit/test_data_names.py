"""Patients are read from file names."""

from __future__ import annotations

import pytest

from plainfilm.data.sources.listing import split_of_name
from plainfilm.data.sources.patients.names import compile_patient_pattern, patient_of, subgroup_of
from plainfilm.errors import UsageError


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("train/PNEUMONIA/person23_virus_7.jpeg", "virus-23"),
        ("train/PNEUMONIA/person23_bacteria_78.jpeg", "bacteria-23"),
        ("person447_virus_921_1.jpeg", "virus-447"),
        ("NORMAL/IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL/IM-0543-0001-0002.jpeg", "IM-0543"),
        ("NORMAL/NORMAL2-IM-0543-0001-0002.jpeg", "NORMAL2-IM-0543"),
        ("images_001/00000013_026.png", "00000013"),
        ("CheXpert/train/patient00001/study1/view1_frontal.jpg", "patient00001"),
        ("files/p10/p10000032/s50414267/02aa804e.jpg", "p10000032"),
    ],
)
def test_known_conventions(path: str, key: str) -> None:
    found = patient_of(path)
    assert found is not None
    assert found[0] == key


@pytest.mark.parametrize(
    "path", ["scan.png", "person.jpeg", "0001_1.png", "IM-3.jpeg", "000013.png"]
)
def test_other_names_contain_no_patient(path: str) -> None:
    assert patient_of(path) is None


@pytest.mark.parametrize(
    ("path", "subgroup"),
    [
        ("a/person1_virus_6.jpeg", "virus"),
        ("a/person1_bacteria_6.jpeg", "bacteria"),
        ("virus/IM-0001-0001.jpeg", None),  # the folder is not the name
        ("antiviruses.png", None),
    ],
)
def test_subgroup(path: str, subgroup: str | None) -> None:
    assert subgroup_of(path) == subgroup


def test_pattern_joins_its_groups_and_sees_the_file_name_only() -> None:
    key = compile_patient_pattern(r"^(\w+?)_site(\d)")
    assert key("p9/abc_site3_1.png") == "abc-3"
    assert key("abc_site3/x.png") is None


@pytest.mark.parametrize("pattern", ["(", "no_group"])
def test_pattern_must_be_an_expression_with_a_group(pattern: str) -> None:
    with pytest.raises(UsageError, match="patient="):
        compile_patient_pattern(pattern)


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ("train Training train_set TrainingSet training-images Train1 train512x512", "train"),
        ("chest_xray_train stage_2_train_labels train-val 01_Train derivation", "train"),
        ("dev devel val VALID validate validation valid_set val2017 tuning", "validation"),
        ("test Testing test_set testSet test-images test_list hold-out HeldOut eval", "test"),
        ("NORMAL patient1 images 1 fold_2 train_test external_dev test_positive", None),
        ("trainee devices value validity testis retest validated_normal contest", None),
    ],
)
def test_splits_are_recognised_by_name(names: str, split: str | None) -> None:
    assert {name: split_of_name(name) for name in names.split()} == dict.fromkeys(
        names.split(), split
    )
