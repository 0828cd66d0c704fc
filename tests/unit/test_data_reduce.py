"""Several rows of one image, such as boxes or readers, are combined by a stated rule."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import LabelError, SourceError, UsageError


def table(root: Path, *lines: str) -> Path:
    for name in "abcdef":
        (root / f"{name}.png").write_bytes(b"x")
    (root / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / "t.csv"


def note(manifest: Manifest) -> tuple[str, int]:
    (found,) = (one for one in manifest.findings if one.check == "rows-reduced")
    assert found.severity == "note"
    return found.problem, found.count


BOXES = (
    "file,class_name,rad_id,x",
    "a.png,Nodule,R1,1",
    "a.png,Effusion,R1,2",
    "a.png,Nodule,R2,3",
    "a.png,No finding,R3,",
    "b.png,No finding,R1,",
    "b.png,No finding,R2,",
    "c.png,Effusion,R1,5",
    "c.png,Effusion,R1,6",
    "c.png,No finding,R2,",
)


def test_a_class_for_each_box_becomes_several_labels(tmp_path: Path) -> None:
    path = table(tmp_path, *BOXES)
    with pytest.raises(LabelError, match="2 files have several labels") as caught:
        load_dataset(path, labels="class_name")
    assert "reduce= (any or majority)" in str(caught.value)
    manifest = load_dataset(path, labels="class_name", reduce="any")
    assert manifest.task.kind == "multilabel"
    assert manifest.task.labels == ("Effusion", "Nodule")
    assert manifest.ids.tolist() == ["a.png", "b.png", "c.png"]
    assert manifest.label_array().tolist() == [[1, 1], [0, 0], [1, 0]]
    problem, count = note(manifest)
    assert count == 2
    assert problem.startswith("2 images have rows with different labels; a label is present if")


def test_the_majority_is_one_of_readers(tmp_path: Path) -> None:
    path = table(tmp_path, *BOXES)
    manifest = load_dataset(path, labels="class_name", reduce="majority")
    # Two of three readers see the nodule of a, one the effusion. Readers of c are equally many.
    np.testing.assert_array_equal(manifest.label_array(), [[0, 1], [0, 0], [math.nan, 0]])
    assert "most readers (rad_id) say" in note(manifest)[0]


def test_a_positive_class_of_several(tmp_path: Path) -> None:
    path = table(tmp_path, *BOXES)
    manifest = load_dataset(path, labels="class_name", reduce="any", positive="nodule")
    assert manifest.task.classes == ("no Nodule", "Nodule")
    assert manifest.label_array().ravel().tolist() == [1, 0, 0]


@pytest.mark.parametrize(("rule", "expected"), [("any", [1, 0, 1]), ("majority", [0, 0])])
def test_two_classes(tmp_path: Path, rule: str, expected: list[float]) -> None:
    path = table(
        tmp_path, "file,tb", *["a.png,1", "a.png,0", "a.png,0", "b.png,0", "c.png,1", "c.png,0"]
    )
    if rule == "majority":  # of two classes; an image with a tie is left out
        with pytest.raises(SourceError, match="only one class"):
            load_dataset(path, labels="tb", reduce=rule)
        path = table(tmp_path, path.read_text() + "d.png,1")
    manifest = load_dataset(path, labels="tb", reduce=rule)
    assert manifest.task.classes == ("no tb", "tb")
    assert manifest.label_array().ravel().tolist()[: len(expected)] == expected
    tied = [(one.id, one.reason) for one in manifest.left_out]
    assert tied == ([("c.png", "no-label")] if rule == "majority" else [])


def test_label_columns_of_readers(tmp_path: Path) -> None:
    rows = [
        "a.png,R1,1,0",
        "a.png,R2,1,",
        "a.png,R3,0,",
        "b.png,R1,0,1",
        "b.png,R2,0,",
        "c.png,R1,1,1",
    ]
    path = table(tmp_path, "file,rad_ID,x,y", *rows)
    manifest = load_dataset(path, labels=["x", "y"], reduce="majority")
    assert manifest.label_array().tolist() == [[1, 0], [0, 1], [1, 1]]
    assert note(manifest)[1] == 2


def test_rows_with_equal_labels_need_no_rule(tmp_path: Path) -> None:
    path = table(tmp_path, "file,tb,x", "a.png,1,3", "a.png,1,4", "b.png,0,")
    plain, reduced = (load_dataset(path, labels="tb", reduce=rule) for rule in (None, "any"))
    assert plain.hash == reduced.hash
    assert "rows-reduced" not in {one.check for one in reduced.findings}
    path = table(tmp_path, "file,label", *["a.png,x", "a.png,y", "b.png,x", "c.png,y"])
    with pytest.raises(UsageError, match="needs to know which class is positive"):
        load_dataset(path, reduce="any")
    assert load_dataset(path, reduce="any", positive="x").label_array().sum() == 2
    with pytest.raises(UsageError, match="reduce= is not a rule"):
        load_dataset(path, reduce="mean")


@pytest.mark.parametrize(
    "column",
    [
        "reader",
        "annotator_id",
        "radiologist_name",
        "Reader Name",
        "reviewer",
        "labeller",
        "read_by",
        "physician",
        "doctor",
        "readingPhysician",
    ],
)
def test_readers_are_known_by_many_names_of_columns(tmp_path: Path, column: str) -> None:
    rows = ["a.png,Mass,Dr A"] * 3 + ["a.png,No finding,Dr B", "a.png,No finding,Dr C"]
    path = table(tmp_path, f"file,label,{column}", *rows, "b.png,Mass,Dr A")
    manifest = load_dataset(path, labels="label", reduce="majority")
    assert manifest.label_array().ravel().tolist() == [0, 1]
    assert f"most readers ({column}) say" in note(manifest)[0]
    if column not in ("reader", "annotator_id", "reviewer", "labeller", "read_by"):
        assert not [name for one in manifest.records for name in one.columns]


@pytest.mark.parametrize("column", ["box", "physician", "reader_agreement"])
def test_a_majority_of_rows_is_a_warning(tmp_path: Path, column: str) -> None:
    rows = ["a.png,Mass,7"] * 3 + ["a.png,No finding,7"] * 2
    path = table(tmp_path, f"file,label,{column}", *rows, "b.png,No finding,7")
    manifest = load_dataset(path, labels="label", reduce="majority")
    (found,) = (one for one in manifest.findings if one.check == "rows-reduced")
    assert found.severity == "warning"
    assert "rows are counted and not readers" in found.consequence
    assert manifest.label_array().ravel().tolist() == [1, 0]
