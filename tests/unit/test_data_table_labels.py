"""Labels of tables: words for 1 and 0, blank and uncertain, several labels in a cell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import LabelError, SourceError, UsageError


def table(root: Path, column: str, cells: Sequence[str], name: str = "t.csv") -> Path:
    """Write a table with one row, and one image, for each cell of one or more columns."""
    root.mkdir(exist_ok=True)
    lines = [f"file,{column}"]
    for number, cell in enumerate(cells):
        (root / f"{number}.png").write_bytes(b"x")
        lines.append(f"{number}.png,{cell}")
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / name


def load(root: Path, column: str, cells: Sequence[str], **options: Any) -> Manifest:
    return load_dataset(table(root, column, cells), **options)


def problem(manifest: Manifest, check: str) -> str:
    (found,) = [found for found in manifest.findings if found.check == check]
    return found.problem


def values(manifest: Manifest) -> list[float]:
    return [float(value) for value in manifest.label_array()[:, 0]]


WORDS = [
    ("0", "1"),
    ("0.0", "1.0"),
    ("0.00", "1.00"),
    ("false", "TRUE"),
    ("f", "t"),
    ("no", "Yes"),
    ("N", "Y"),
    ("negative", "Positive"),
    ("neg", "pos"),
    ("absent", "present"),
    ("nein", "Ja"),
    ("FALSCH", "WAHR"),
    ("-", "+"),
]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("column", ["Pneumonia", "label", "class"])
def test_words_for_one_and_zero(tmp_path: Path, words: tuple[str, str], column: str) -> None:
    no, yes = words
    manifest = load(tmp_path, column, [no, yes, yes, "−1", "uncertain", ""], labels=column)
    assert manifest.task.kind == "binary"
    assert values(manifest) == [0, 1, 1]
    assert Counter(row.reason for row in manifest.left_out) == {"uncertain": 2, "no-label": 1}
    if column == "Pneumonia":
        assert manifest.task.classes == ("no Pneumonia", "Pneumonia")
    assert not [f for f in manifest.findings if f.check == "positive-class"]


def test_the_most_frequent_spelling_of_a_value_is_the_class(tmp_path: Path) -> None:
    manifest = load(tmp_path, "label", ["0", "0.0", "no", "Yes", "Yes", "1"])
    assert manifest.task.classes == ("0", "Yes")
    assert values(manifest) == [0, 0, 0, 1, 1, 1]
    grades = load(tmp_path, "label", ["0", "1.0", "1", "2.0", "-1", "2"])
    assert grades.task.classes == ("0", "1", "2")
    assert [row.reason for row in grades.left_out] == ["uncertain"]


@pytest.mark.parametrize(
    ("column", "negative"),
    [
        ("No Finding", "not No Finding"),
        ("normal", "not normal"),
        ("No_Pneumonia", "not No_Pneumonia"),
        ("abnormal", "no abnormal"),
    ],
)
def test_the_name_of_a_column_is_the_positive_class(
    tmp_path: Path, column: str, negative: str
) -> None:
    manifest = load(tmp_path, column, ["1", "0", "0"], labels=column)
    assert manifest.task.classes == (negative, column)
    assert values(manifest) == [1, 0, 0]
    assert {f.check for f in manifest.findings} <= {"columns-chosen", "patient-unknown"}
    turned = load(tmp_path, column, ["1", "0", "0"], labels=column, positive=negative)
    assert values(turned) == [0, 1, 1]


CHEXPERT = ["1", "", "0", "-1", "", "1"]


@pytest.mark.parametrize(
    ("options", "expected", "text"),
    [
        (
            {},
            [1, 0, 1],
            "2 blank labels of tb count as unknown; 1 uncertain label of tb counts as unknown",
        ),
        (
            {"blank": "negative"},
            [1, 0, 0, 0, 1],
            "2 blank labels of tb count as negative; 1 uncertain label of tb counts as unknown",
        ),
        (
            {"uncertain": "positive"},
            [1, 0, 1, 1],
            "2 blank labels of tb count as unknown; 1 uncertain label of tb counts as positive",
        ),
        (
            {"uncertain": "negative", "blank": "negative"},
            [1, 0, 0, 0, 0, 1],
            "2 blank labels of tb count as negative; 1 uncertain label of tb counts as negative",
        ),
        (
            {"uncertain": "drop"},
            [1, 0, 1],
            "2 blank labels of tb count as unknown; 1 uncertain label of tb means that the image "
            "is left out",
        ),
    ],
)
def test_policies_for_blank_and_uncertain_labels(
    tmp_path: Path, options: dict[str, str], expected: list[float], text: str
) -> None:
    manifest = load(tmp_path, "tb", CHEXPERT, labels="tb", **options)
    assert values(manifest) == expected
    assert problem(manifest, "label-policy") == f"t: {text}"


def test_policies_for_several_columns(tmp_path: Path) -> None:
    cells = ["1,0", ",1", "0,-1", "1,1"]
    labels = ["a", "b"]
    default = load(tmp_path, "a,b", cells, labels=labels)
    assert [math.isnan(v) for row in default.records for v in row.labels].count(True) == 2
    policy = load(tmp_path, "a,b", cells, labels=labels, blank="negative", uncertain="drop")
    assert [r.labels for r in policy.records] == [(1, 0), (0, 1), (1, 1)]
    assert [(r.id, r.reason) for r in policy.left_out] == [("2.png", "uncertain")]


def test_a_policy_for_class_names_is_refused(tmp_path: Path) -> None:
    for options in ({"blank": "negative"}, {"uncertain": "positive"}):
        with pytest.raises(UsageError, match="not for class names"):
            load(tmp_path, "label", ["NORMAL", "TB", ""], **options)
    with pytest.raises(UsageError, match="blank= is not one of unknown, negative"):
        load(tmp_path, "label", ["0", "1"], blank="positive")
    manifest = load(tmp_path, "label", ["NORMAL", "TB", "uncertain", "unknown"], uncertain="drop")
    assert manifest.task.classes == ("NORMAL", "TB")
    assert [row.reason for row in manifest.left_out] == ["uncertain", "no-label"]


def test_another_value_among_ones_and_zeros_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="must contain 1, 0 or blank") as caught:
        load(tmp_path, "label", ["0", "1", "1", "x"])
    assert "'x' in row 4" in str(caught.value.received)
    with pytest.raises(LabelError) as caught:
        load(tmp_path, "label", ["0", "0.25", "1"])
    assert "'0.25' in row 2" in str(caught.value.received)
    assert load(tmp_path, "label", ["1", "2", "x"]).task.classes == ("1", "2", "x")


def test_positives_and_blanks_name_the_option(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="only one class") as caught:
        load(tmp_path, "tb", ["1", "", ""], labels="tb")
    assert "blank=negative" in str(caught.value.remedy)


SEVERAL = ["Mass|Effusion", "No Finding", "Mass", "effusion", "Effusion|Mass", ""]
LISTS = [
    "\"['Mass', 'Effusion']\"",
    '"[""No Finding""]"',
    "['Mass']",
    "Effusion",
    "\"['Effusion' 'Mass']\"",
    "[]",
]


@pytest.mark.parametrize(
    "cells",
    [
        SEVERAL,
        [cell.replace("|", "; ") for cell in SEVERAL],
        [f'"{cell}"'.replace("|", ", ") for cell in SEVERAL],
        LISTS,
    ],
)
def test_several_labels_in_a_cell(tmp_path: Path, cells: list[str]) -> None:
    manifest = load(tmp_path, "Finding Labels", cells, labels="Finding Labels")
    assert manifest.task.kind == "multilabel"
    assert manifest.task.labels == ("Effusion", "Mass")
    expected = [(1, 1), (0, 0), (0, 1), (1, 0), (1, 1)]
    empty = [(0, 0)] if cells is LISTS else []
    assert [record.labels for record in manifest.records] == expected + empty
    assert problem(manifest, "labels-separated").endswith(
        "2 labels; No Finding means that no label is present"
    )


def test_none_is_a_label_for_none(tmp_path: Path) -> None:
    manifest = load(tmp_path, "label", ["a|b", "a", "b", "none", "nan"])
    assert [record.labels for record in manifest.records] == [(1, 1), (1, 0), (0, 1), (0, 0)]


def test_a_label_for_none_with_others_is_a_label(tmp_path: Path) -> None:
    manifest = load(tmp_path, "label", ["a|normal", "a", "normal", "b"])
    assert manifest.task.labels == ("a", "b", "normal")


def test_a_separator_that_does_not_recur_separates_no_labels(tmp_path: Path) -> None:
    manifest = load(tmp_path, "label", ["lung; left", "lung", "heart"])
    assert manifest.task.classes == ("heart", "lung", "lung; left")
    manifest = load(tmp_path, "label", ["Mass|Edema", "Mass", "No Finding"])
    assert manifest.task.labels == ("Edema", "Mass")
    manifest = load(tmp_path, "label", ["left|right", "above", "left|right"])
    assert manifest.task.classes == ("above", "left|right")
    sides = ['"lung, left"', '"lung, right"', '"rib, left"', '"rib, right"']
    assert len(load(tmp_path, "label", sides).task.classes) == 4
    manifest = load(tmp_path, "label", ["a + b", "a", "c"], separator="+")
    assert manifest.task.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("positive", "classes", "expected"),
    [
        ("effusion", ("no Effusion", "Effusion"), [1, 0, 0, 1, 1]),
        ("No Finding", ("not No Finding", "No Finding"), [0, 1, 0, 0, 0]),
    ],
)
def test_one_of_several_labels(
    tmp_path: Path, positive: str, classes: tuple[str, str], expected: list[int]
) -> None:
    options = {"labels": "Finding Labels", "positive": positive}
    manifest = load(tmp_path, "Finding Labels", SEVERAL, **options)
    assert manifest.task.classes == classes
    assert values(manifest) == expected
    manifest = load(tmp_path, "Finding Labels", SEVERAL, blank="negative", **options)
    assert values(manifest) == [*expected, 0]
    with pytest.raises(UsageError, match="not one of the labels") as caught:
        load(tmp_path, "Finding Labels", SEVERAL, labels="Finding Labels", positive="Nodule")
    assert "Effusion, Mass" in str(caught.value.remedy)


def test_a_table_may_lack_some_of_several_labels(tmp_path: Path) -> None:
    train = table(tmp_path / "a", "label", ["a|b", "b|c", "c", "normal"], "train.csv")
    test = table(tmp_path / "b", "label", ["a", "normal"], "test.csv")
    manifest = load_dataset(train, test)
    assert manifest.task.labels == ("a", "b", "c")
    rows = {record.id: record.labels for record in manifest.records}
    assert rows["test/0.png"] == (1, 0, 0)
    assert rows["test/1.png"] == (0, 0, 0)
    assert rows["train/1.png"] == (0, 1, 1)


def test_too_many_labels_give_the_reason(tmp_path: Path) -> None:
    cells = [f"{n}a|{n + 1}a" for n in range(101)] * 2
    with pytest.raises(SourceError, match="too many different labels") as caught:
        load(tmp_path, "label", cells)
    assert "102 labels, separated at '|'" in str(caught.value.received)
    assert values(load(tmp_path, "label", cells, positive="7a")).count(1) == 4


def test_lists_may_have_many_labels(tmp_path: Path) -> None:
    cells = [f"\"['{n}a', '{n + 1}a']\"" for n in range(150)] * 2
    assert len(load(tmp_path, "label", cells).task.labels) == 151


def rows_of(manifest: Manifest) -> dict[str, str]:
    shown = {0.0: "0", 1.0: "1"}
    return {r.id: "".join(shown.get(v, "-") for v in r.labels) for r in manifest.records}


def test_a_denied_label_says_nothing_of_the_others(tmp_path: Path) -> None:
    cells = ["TB|Mass", "Mass", "No effusion", "Effusion", "PCR negative", "No finding", "TB"]
    manifest = load(tmp_path, "label", cells)
    assert manifest.task.labels == ("Effusion", "Mass", "TB")
    assert rows_of(manifest) == {
        "0.png": "011",
        "1.png": "010",
        "2.png": "0--",
        "3.png": "100",
        "5.png": "000",
        "6.png": "001",
    }
    assert [one.id for one in manifest.left_out] == ["4.png"]
    manifest = load(tmp_path, "label", cells, positive="Mass")
    assert values(manifest) == [1, 1, 0, 0, 0]
    manifest = load(tmp_path, "label", ["TB|Mass", "no TB|Mass", "TB", "NoTB"])
    assert rows_of(manifest) == {"0.png": "11", "1.png": "10", "2.png": "01", "3.png": "-0"}


@pytest.mark.parametrize(
    ("uncertain", "expected"), [("unknown", "1-"), ("negative", "10"), ("positive", "11")]
)
def test_an_uncertain_label_of_several(tmp_path: Path, uncertain: str, expected: str) -> None:
    cells = ["Mass|Pneumonia", "Mass|Pneumonia?", "Mass|uncertain", "Mass", "Pneumonia"]
    manifest = load(tmp_path, "label", cells, uncertain=uncertain)
    assert manifest.task.labels == ("Mass", "Pneumonia")
    assert [*rows_of(manifest).values()] == ["11", expected, expected, "10", "01"]
    assert f"such as Pneumonia?, count as {uncertain}" in problem(manifest, "labels-separated")
    dropped = load(tmp_path, "label", cells, uncertain="drop")
    assert [one.id for one in dropped.left_out] == ["1.png", "2.png"]


def test_mixed_separators(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="separated in several ways") as caught:
        load(tmp_path, "label", ["TB;Mass", '"TB,Mass"', "TB", "Mass"])
    assert "separator=" in str(caught.value.remedy)
    for mark, alone in ((" / ", "Mass"), ("+", "TB"), (" & ", "TB")):
        manifest = load(tmp_path, "label", [f"TB{mark}Mass", "TB", alone, "normal"])
        found = next(f for f in manifest.findings if f.check == "labels-not-separated")
        assert found.severity == "warning"
        assert f"separator={mark.strip()!r}" in found.remedy


def test_labels_of_another_table_are_unknown(tmp_path: Path) -> None:
    first = table(tmp_path / "a", "label", ["TB|Mass", "TB", "Mass", "normal"], "one.csv")
    second = table(tmp_path / "b", "label", ["TB|Nodule", "TB", "Nodule", "no TB"], "two.csv")
    manifest = load_dataset(first, second)
    assert manifest.task.labels == ("Mass", "Nodule", "TB")
    shown = [*rows_of(manifest).values()]
    assert shown == ["1-1", "0-1", "1-0", "000", "-11", "-01", "-10", "--0"]
    found = [f.problem for f in manifest.findings if f.check == "labels-lacking"]
    assert "Nodule occurs in other tables only; in one this counts as unknown" in found[0]
    assert len(found) == 2


def test_grades_of_plus_have_a_minus(tmp_path: Path) -> None:
    manifest = load(tmp_path, "TB", ["-", "+", "++", "", "-"], labels="TB")
    assert sorted(manifest.task.classes) == ["+", "++", "-"]
    assert [one.id for one in manifest.left_out] == ["3.png"]


@pytest.mark.parametrize("code", ["9", "99", "-9"])
def test_a_code_for_unknown_is_a_warning(tmp_path: Path, code: str) -> None:
    manifest = load(tmp_path, "TB", ["0", "1", code, "0"], labels="TB")
    (found,) = (one for one in manifest.findings if one.check == "label-codes")
    assert found.severity == "warning"
    assert found.problem.startswith(f"{code} in the label column TB")
    merged = load(tmp_path, "TB", ["0", "1", code], labels="TB", class_map={code: "0"})
    assert not [one for one in merged.findings if one.check == "label-codes"]
    grades = load(tmp_path, "TB", ["0", "1", "2", "3"], labels="TB")
    assert not [one for one in grades.findings if one.check == "label-codes"]


def test_numbers_that_differ_in_all_rows_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="nearly as many values as rows"):
        load(tmp_path, "TB", [*map(str, range(60))], labels="TB")


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["x", "", "X", ""], ("no TB", "TB")),
        (["Pneumonia", "-", "pneumonia", "-"], ("no Pneumonia", "Pneumonia")),
    ],
)
def test_one_class_and_blank(tmp_path: Path, cells: list[str], classes: tuple[str, str]) -> None:
    with pytest.raises(SourceError, match="only one class") as caught:
        load(tmp_path, "TB", cells, labels="TB")
    assert "blank=negative" in str(caught.value.remedy)
    manifest = load(tmp_path, "TB", cells, labels="TB", blank="negative")
    assert manifest.task.classes == classes
    assert values(manifest) == [1, 0, 1, 0]
    normal = [cell and "NORMAL" for cell in ("x", "", "x")]
    with pytest.raises(SourceError, match="only one class") as caught:
        load(tmp_path, "TB", normal, labels="TB")
    assert "blank=negative" not in str(caught.value.remedy)


def test_none_as_a_class_is_not_blank(tmp_path: Path) -> None:
    manifest = load(tmp_path, "label", ["none", "pneumonia", "none"])
    assert values(manifest) == [0, 1, 0]
    assert not [one for one in manifest.findings if one.check == "label-policy"]


def test_a_map_comes_before_the_meaning_of_a_cell(tmp_path: Path) -> None:
    for class_map in ({"-1": "NORMAL"}, {"-1": "NORMAL", "1": "TB"}):
        manifest = load(tmp_path, "label", ["-1", "1", "-1.0", "1"], class_map=class_map)
        assert manifest.task.classes == ("NORMAL", class_map.get("1", "1"))
        assert values(manifest) == [0, 1, 0, 1]
    with pytest.raises(UsageError, match="do not exist"):
        load(tmp_path, "label", ["0", "1"], class_map={"-1": "NORMAL"})
    with pytest.raises(UsageError, match="gives a class no name"):
        load(tmp_path, "label", ["0", "1"], class_map={"0": " "})
