"""Class names are compared by meaning: which are one class, and which is the negative one."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainfilm.data import Manifest, load_dataset, require_positive
from plainfilm.data.sources.classes.mapping import parse_class_map
from plainfilm.data.sources.classes.names import fold_class, is_negative_name, negative_of
from plainfilm.errors import LabelError, UsageError


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def table(root: Path, *labels: str, column: str = "label") -> Path:
    put(root, *(f"{n}.png" for n in range(len(labels))))
    rows = "".join(f"{n}.png,{label}\n" for n, label in enumerate(labels))
    (root / "t.csv").write_text(f"path,{column}\n{rows}")
    return root / "t.csv"


def severities(manifest: Manifest) -> dict[str, str]:
    return {found.check: found.severity for found in manifest.findings}


@pytest.mark.parametrize(
    "name",
    [
        *("NORMAL", "Normal chest", "normal_lung", "NormalXray", "01_NORMAL", "NORMAL2", "healthy"),
        *("Healthy people", "No Finding", "nofindings", "NoNodule", "no_TB", "noncovid"),
        *("CT_NonCOVID", "non-covid", "Uninfected", "Unaffected", "Negative for pneumonia"),
        *("RT-PCR neg", "Pneumonia_free", "free of TB", "without pneumonia", "Absent", "clear"),
        *("Clear lungs", "Healthy controls", "benign", "0", "none", "Not abnormal", "no disease"),
    ],
)
def test_negative_names(name: str) -> None:
    assert is_negative_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("COVID", "Nodule", "NoduleMass", "Nocardia", "Abnormal", "Anormal", "Unilateral"),
        *("Normalized", "nonspecific", "Non-specific opacity", "free air", "not normal", "nodes"),
        *("unhealthy", "unclear", "Not clear", "Nontuberculous mycobacteria", "Non-small cell"),
        *("Gram-negative pneumonia", "Unknown", "Infected", "No 1", "North", "controlled TB", "-"),
    ],
)
def test_names_that_are_not_negative(name: str) -> None:
    assert not is_negative_name(name)


@pytest.mark.parametrize(
    ("names", "negative"),
    [
        (("Normal", "Non-COVID pneumonia"), "Normal"),
        (("Benign", "Malignant"), "Benign"),
        (("Benign", "Normal"), "Normal"),
        (("symptomatic", "Asymptomatic"), "Asymptomatic"),
        (("Lobar", "nonlobar"), "nonlobar"),
        (("COVID-", "COVID+"), "COVID-"),
        (("Bacterial", "Viral"), None),
        (("Negative", "Normal"), None),
    ],
)
def test_the_negative_one_of_two(names: tuple[str, str], negative: str | None) -> None:
    assert negative_of(names) == negative
    assert negative_of(names[::-1]) == negative


def test_hyphens_with_a_meaning_are_kept() -> None:
    assert len({fold_class(name) for name in ("COVID-19", "covid 19", "Covid_19")}) == 1
    assert len({fold_class(name) for name in ("TB-", "TB+", "TB", "1-2", "12", "-1", "1")}) == 7


def test_a_training_needs_to_know_the_positive_class(tmp_path: Path) -> None:
    put(tmp_path, "bacteria/1.png", "virus/2.png", "virus/3.png")
    manifest = load_dataset(tmp_path)
    assert severities(manifest)["positive-class"] == "warning"
    with pytest.raises(UsageError, match="do not show which class is the disease"):
        require_positive(manifest)
    require_positive(load_dataset(tmp_path, positive="bacteria"))


def test_spellings_of_a_table_are_one_class(tmp_path: Path) -> None:
    labels = ["Normal", "normal", "COVID-19", "covid_19", "COVID-19", "Covid 19"]
    manifest = load_dataset(table(tmp_path, *labels))
    assert manifest.task.classes == ("Normal", "COVID-19")
    assert manifest.label_array()[:, 0].tolist() == [0, 0, 1, 1, 1, 1]
    found = next(one for one in manifest.findings if one.check == "classes-merged")
    assert (found.severity, found.count) == ("warning", 3)


def test_classes_that_mean_the_same_are_a_warning(tmp_path: Path) -> None:
    manifest = load_dataset(table(tmp_path, "normal", "no finding", "COVID", "positive"))
    found = next(one for one in manifest.findings if one.check == "classes-alike")
    assert "no finding, normal; positive" in found.problem
    merged = load_dataset(
        tmp_path / "t.csv", class_map={"No Finding": "normal", "positive": "COVID"}
    )
    assert merged.task.classes == ("normal", "COVID")
    assert "classes-alike" not in severities(merged)


def test_numbers_of_classes_are_not_alike(tmp_path: Path) -> None:
    assert "classes-alike" not in severities(load_dataset(table(tmp_path, "0", "1", "2")))


def test_classes_are_renamed(tmp_path: Path) -> None:
    put(tmp_path / "a", "0/1.png", "1/2.png", "2/3.png")
    manifest = load_dataset(
        tmp_path / "a", class_map=parse_class_map(["0=NORMAL,1=SICK", "2=SICK"])
    )
    assert manifest.task.classes == ("NORMAL", "SICK")
    assert manifest.label_array()[:, 0].tolist() == [0, 1, 1]
    # A column of 1 and 0 has these values as names; data sets with other names become equal.
    other = table(tmp_path / "b", "0", "1", column="Pneumonia")
    both = load_dataset(
        tmp_path / "a",
        other,
        labels="Pneumonia",
        class_map={"0": "NORMAL", "1": "SICK", "2": "SICK"},
    )
    assert both.task.classes == ("NORMAL", "SICK")
    assert both.label_array()[:, 0].tolist() == [0, 1, 1, 0, 1]
    with pytest.raises(LabelError, match="same classes"):
        load_dataset(tmp_path / "a", other, labels="Pneumonia")


def test_label_columns_are_renamed(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png")
    (tmp_path / "t.csv").write_text("path,A b,C\n1.png,1,0\n2.png,0,1\n")
    given = {"labels": ["A b", "C"]}
    manifest = load_dataset(tmp_path / "t.csv", class_map={"a_b": "Mass"}, **given)  # type: ignore[arg-type]
    assert manifest.task.labels == ("Mass", "C")
    with pytest.raises(UsageError, match="one name to several"):
        load_dataset(tmp_path / "t.csv", class_map={"a_b": "C"}, **given)  # type: ignore[arg-type]


def test_a_star_stands_for_all_other_classes(tmp_path: Path) -> None:
    put(tmp_path / "a", "normal/1.png", "b/2.png", "c/3.png")
    manifest = load_dataset(tmp_path / "a", class_map={"*": "sick", "normal": "healthy"})
    assert manifest.task.classes == ("healthy", "sick")
    assert manifest.label_array()[:, 0].tolist() == [1, 1, 0]
    # Other cells of a table may be anything: these would be uncertain, and long text.
    other = table(tmp_path / "t", "-1", "7 " * 120, "8 " * 120, "-1", column="mask")
    manifest = load_dataset(other, labels="mask", class_map={"-1": "healthy", "*": "sick"})
    assert manifest.label_array()[:, 0].tolist() == [0, 1, 1, 0]
    found = next(one for one in manifest.findings if one.check == "classes-renamed")
    assert found.count == 4


def test_wrong_class_maps(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    with pytest.raises(UsageError) as caught:
        load_dataset(tmp_path, class_map={"a": "NORMAL", "c": "SICK"})
    assert caught.value.received == "'c'"
    assert caught.value.remedy == "the classes are: a, b"
    # Of several data sets, one may have the new names already.
    assert load_dataset(tmp_path, class_map={"0": "a", "1": "b"}).task.classes == ("a", "b")
    for text in ("a", "a=", "=b", "a=b,a=c", ""):
        with pytest.raises(UsageError, match="--map"):
            parse_class_map([text])
