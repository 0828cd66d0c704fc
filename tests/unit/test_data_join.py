"""Tables are joined by the identifiers that both have."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainfilm.data import load_dataset
from plainfilm.data.sources.tables.join import join_table
from plainfilm.data.sources.tables.table import Table
from plainfilm.errors import SourceError


def make(name: str, text: str) -> Table:
    header, *rows = (line.split(",") for line in text.split())
    return Table(Path(name), {title: [row[n] for row in rows] for n, title in enumerate(header)})


IMAGES = make(
    "images.csv", "dicom_id,subject_id,study_id,view a,1,7,PA b,1,8,AP c,2,7,PA d,2,7,LATERAL"
)


def test_all_common_identifiers_are_the_key() -> None:
    labels = make("labels.csv", "subject_id,study_id,tb 1,8,0 1,7,1 2,7,0")
    joined, (found,) = join_table(IMAGES, labels)
    assert joined.columns["tb"] == ["1", "0", "0", "0"]
    assert joined.columns["view"] == IMAGES.columns["view"]
    assert (found.check, found.severity) == ("tables-joined", "note")
    assert found.problem.endswith("by subject_id, study_id: every row has a partner")


def test_rows_without_a_partner_are_counted() -> None:
    # Study 7 of patient 2 is not study 7 of patient 1, although each column is unique.
    labels = make("labels.csv", "subject_id,study_id,tb 1,7,1 2,8,0")
    joined, (found,) = join_table(IMAGES, labels)
    assert joined.columns["tb"] == ["1", "", "", ""]
    assert (found.severity, found.count) == ("warning", 3)
    assert "3 rows have no partner" in found.problem


@pytest.mark.parametrize("ids", ["1.0 2.0", "0001 0002"])
def test_identifiers_are_compared_as_numbers_if_they_differ_as_text(ids: str) -> None:
    first, second = ids.split()
    people = make("people.csv", f"Subject_ID,sex {first},F {second},M")
    joined, _ = join_table(IMAGES, people)
    assert joined.columns["sex"] == ["F", "F", "M", "M"]
    assert "Subject_ID" not in joined.columns


def test_equal_text_has_priority() -> None:
    people = make("people.csv", "subject_id,sex 01,F 1,M 2,F 002,M 0002,F")
    joined, _ = join_table(IMAGES, people)
    assert joined.columns["sex"] == ["M", "M", "F", "F"]


def test_columns_of_the_same_name() -> None:
    other = make("second.csv", "dicom_id,view,study_id a,PA,7 b,PA,8 c,PA,7 d,PA,7")
    joined, (found,) = join_table(IMAGES, other)
    assert joined.columns["view"] == ["PA", "AP", "PA", "LATERAL"]
    assert joined.columns["view_second"] == ["PA"] * 4
    assert "columns of the same name are now view_second" in found.problem


def test_labels_and_splits_that_disagree_are_counted() -> None:
    images = make("images.csv", "image_id,label,split,tb a,x,train,1 b,x,test,0 c,y,val,1")
    other = make("more.csv", "image_id,label,split,tb a,X,training,1.0 b,y,train,1 c,y,valid,1")
    _, findings = join_table(images, other, ["tb"])
    found = [(one.problem, one.count) for one in findings if one.check == "join-disagreement"]
    assert found == [
        (f"1 row has another value of '{title}' in more.csv than in images.csv", 1)
        for title in ("label", "split", "tb")
    ]


def test_an_exported_index_is_no_identifier() -> None:
    images = make("images.csv", "index,study_id 0,7 1,8 2,7")
    joined, (found,) = join_table(images, make("labels.csv", "index,study_id,tb 0,8,0 1,7,1"))
    assert joined.columns["tb"] == ["1", "0", "1"]
    assert "by study_id: every row has a partner" in found.problem
    joined, _ = join_table(images, make("labels.csv", "index,tb 0,5 1,6 2,7"))
    assert joined.columns["tb"] == ["5", "6", "7"]


def test_names_of_files_with_and_without_folders_and_endings() -> None:
    images = make("images.csv", "image,x a/1.png,0 a/2.png,0 b/3.png,0")
    joined, _ = join_table(images, make("labels.csv", "image,tb 3,1 1,0"))
    assert joined.columns["tb"] == ["0", "", "1"]
    images = make("images.csv", "image,x a/1.png,0 b/1.png,0")
    with pytest.raises(SourceError, match="no row of the table has a partner"):
        join_table(images, make("labels.csv", "image,tb 1,1"))


def test_a_join_that_multiplies_rows_is_an_error() -> None:
    boxes = make("boxes.csv", "dicom_id,x a,1 a,2 b,1")
    with pytest.raises(SourceError, match="multiply rows") as caught:
        join_table(IMAGES, boxes)
    assert "boxes.csv has several rows with the same dicom_id" in str(caught.value)
    assert "join images.csv to it" in str(caught.value)
    joined, _ = join_table(IMAGES, make("boxes.csv", "dicom_id,x a,1 a,1 b,1"))
    assert joined.columns["x"] == ["1", "1", "", ""]


def test_tables_that_do_not_belong_together() -> None:
    with pytest.raises(SourceError, match="no row of the table has a partner"):
        join_table(IMAGES, make("labels.csv", "study_id,tb 70,1"))
    with pytest.raises(SourceError, match="no column of identifiers in common") as caught:
        join_table(IMAGES, make("labels.csv", "view,valid PA,1"))
    assert "labels.csv has view, valid" in str(caught.value)


def test_joined_columns_are_labels_splits_and_conditions(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.png").write_bytes(b"x")
    main = tmp_path / "images.csv"
    main.write_text("image,study_id,view\na,1,PA\nb,2,PA\nc,3,PA\nd,3,LATERAL\n")
    (tmp_path / "labels.csv").write_text("study_id,tb\n1,1\n2,0\n3,0\n")
    (tmp_path / "split.csv").write_text("image,split\na,train\nb,train\nc,validate\n")
    manifest = load_dataset(
        main,
        images=tmp_path,
        join=[tmp_path / "labels.csv", str(tmp_path / "split.csv")],
        labels="tb",
        where='view == "PA"',
    )
    assert [(one.id, one.official) for one in manifest.records] == [
        ("a.png", "train"),
        ("b.png", "train"),
        ("c.png", "validation"),
    ]
    assert manifest.label_array().ravel().tolist() == [1, 0, 0]
    (tmp_path / "notes.csv").write_bytes("image;größe\na;1\nb;0\nc;1\n".encode("cp1252"))
    options = {"delimiter": ",", "encoding": "cp1252"}  # of the first table; the other has ;
    notes = load_dataset(
        main, images=tmp_path, join=tmp_path / "notes.csv", labels="größe", **options
    )
    assert notes.label_array().ravel().tolist() == [1, 0, 1]
    with pytest.raises(SourceError, match="the table does not exist"):
        load_dataset(main, join=tmp_path / "nowhere.csv")


def test_images_without_a_row_in_the_table_of_labels_have_no_label(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"x")
    (tmp_path / "images.csv").write_text("file,study_id\n0.png,1\n1.png,2\n2.png,3\n3.png,4\n")
    (tmp_path / "labels.csv").write_text("study_id,tb,mass\n1,1,\n2,,1\n4,,\n")
    manifest = load_dataset(
        tmp_path / "images.csv",
        join=tmp_path / "labels.csv",
        labels=["tb", "mass"],
        blank="negative",
    )
    assert manifest.label_array().tolist() == [[1, 0], [0, 1], [0, 0]]
    assert [(item.id, item.reason) for item in manifest.left_out] == [("2.png", "no-label")]
    policy = next(found for found in manifest.findings if found.check == "label-policy")
    assert policy.count == 4
