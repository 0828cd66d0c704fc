"""Tables of images become a manifest."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thorax.data import Manifest, load_dataset
from thorax.errors import LabelError, SourceError

DATA = Path(os.environ.get("THORAX_DATA", Path(__file__).parents[3] / "shared" / "data"))


def table(root: Path, *lines: str, name: str = "labels.csv", files: int = 6) -> Path:
    for number in range(files):
        path = root / "img" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / name


def checks(manifest: Manifest) -> dict[str, str]:
    return {found.check: found.what for found in manifest.findings}


def test_usual_columns_are_taken_and_told(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "File,Label,Patient ID,split,age,code,sex",
        "img/0.png,NORMAL,007,train,36,01,F",
        "img/1.png,PNEUMONIA,008,val,,02,M",
        "img\\2.png,NORMAL,008,TEST,41.5,03,",
    )
    manifest = load_dataset(path)
    told = checks(manifest)["columns-taken"]
    assert all(f"'{name}'" in told for name in ("File", "Label", "Patient ID", "split"))
    assert manifest.ids.tolist() == ["img/0.png", "img/1.png", "img/2.png"]
    assert manifest.patients.tolist() == ["007", "008", "008"]
    assert [r.official for r in manifest.records] == ["train", "validation", "test"]
    assert [dict(r.columns) for r in manifest.records] == [
        {"age": 36.0, "code": "01", "sex": "F"},
        {"code": "02", "sex": "M"},
        {"age": 41.5, "code": "03"},
    ]
    assert Path(manifest.records[2].path) == tmp_path / "img" / "2.png"


def test_told_columns_win(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "file;where;label;diagnosis;patient;nr;set",
        "x;img/0.png;a;tb;p;1;train",
        "x;img/1.png;a;normal;p;2;test",
    )
    manifest = load_dataset(
        path, labels="diagnosis", path_column="where", patient="nr", partition_column="set"
    )
    assert manifest.task.classes == ("normal", "tb")
    assert manifest.patients.tolist() == ["1", "2"]
    assert [r.official for r in manifest.records] == ["train", "test"]
    assert manifest.records[0].columns == {"file": "x", "label": "a", "patient": "p"}


@pytest.mark.parametrize(
    ("header", "arguments", "message"),
    [
        ("file,path,label", {}, "several columns could be the path: file, path"),
        ("file,class,label", {}, "several columns could be the label"),
        ("file,patient,subject,label", {}, "several columns could be the patient"),
        ("name,label", {}, "no column could be the path"),
        ("file,diagnosis", {}, "no column could be the label"),
        ("file,label", {"labels": "tb"}, "does not have"),
        ("file,label", {"labels": ["label", "tb"]}, "does not have"),
        ("file,label", {"path_column": "where"}, "does not have"),
        ("file,label", {"patient": "who"}, "neither a column nor"),
    ],
)
def test_columns_missing_or_ambiguous(
    tmp_path: Path, header: str, arguments: dict[str, str], message: str
) -> None:
    cells = ["img/0.png" if n in ("file", "path", "name") else "a" for n in header.split(",")]
    other = ["img/1.png" if n in ("file", "path", "name") else "b" for n in header.split(",")]
    path = table(tmp_path, header, ",".join(cells), ",".join(other))
    with pytest.raises(SourceError, match=message) as caught:
        load_dataset(path, **arguments)  # type: ignore[arg-type]
    if "patient" not in arguments:
        assert all(name in str(caught.value) for name in header.split(","))


def test_several_label_columns(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "path,effusion,edema,age",
        "img/0.png,1,0,3",
        "img/1.png,0.0,,4",
        "img/2.png,-1,1.0,5",
        "img/3.png,true,NaN,6",
    )
    manifest = load_dataset(path, labels=["edema", "effusion"])
    assert manifest.task.kind == "multilabel"
    assert manifest.task.labels == ("edema", "effusion")
    np.testing.assert_array_equal(
        manifest.label_array(), [[0, 1], [math.nan, 0], [1, math.nan], [math.nan, 1]]
    )
    assert "1 labels of 'effusion' are -1" in checks(manifest)["uncertain-labels"]
    assert manifest.records[0].columns == {"age": 3.0}
    with pytest.raises(LabelError, match="positive="):
        load_dataset(path, labels=["edema", "effusion"], positive="edema")


def test_label_columns_must_vary(tmp_path: Path) -> None:
    path = table(tmp_path, "path,a,b,c", "img/0.png,1,0,1", "img/1.png,0,0,", "img/2.png,1,0,1")
    manifest = load_dataset(path, labels=["a", "b", "c"])
    assert checks(manifest)["constant-label"].endswith("b, c")
    with pytest.raises(SourceError, match="both a 1 and a 0"):
        load_dataset(path, labels=["b", "c"])


def test_strange_label_value(tmp_path: Path) -> None:
    path = table(tmp_path, "path,a,b", "img/0.png,1,0", "img/1.png,0,maybe")
    with pytest.raises(LabelError) as caught:
        load_dataset(path, labels=["a", "b"])
    assert "'maybe' in row 2" in str(caught.value.received)


def test_one_column_of_ones_and_zeros(tmp_path: Path) -> None:
    path = table(
        tmp_path, "path,pneumonia,target", "img/0.png,1,0", "img/1.png,0,1", "img/2.png,,1"
    )
    named = load_dataset(path, labels="pneumonia")
    assert named.task.classes == ("no pneumonia", "pneumonia")
    assert named.label_array()[:, 0].tolist() == [1, 0]
    assert [(item.id, item.reason) for item in named.left_out] == [("img/2.png", "no-label")]
    plain = load_dataset(path)
    assert plain.task.classes == ("0", "1")
    assert plain.label_array()[:, 0].tolist() == [0, 1, 1]


def test_rows_that_repeat(tmp_path: Path) -> None:
    rows = ["file,label", "img/0.png,a", "img/1.png,b", "img/../img/0.png,a"]
    manifest = load_dataset(table(tmp_path, *rows))
    assert len(manifest) == 2
    assert "1 mentions" in checks(manifest)["repeated-files"]
    with pytest.raises(LabelError, match="contradicting") as caught:
        load_dataset(table(tmp_path, *rows, "img/0.png,b"))
    assert caught.value.received == "img/0.png"


def test_one_file_in_two_partitions(tmp_path: Path) -> None:
    path = table(
        tmp_path, "file,label,split", "img/0.png,a,train", "img/1.png,b,train", "img/0.png,a,test"
    )
    manifest = load_dataset(path)
    assert manifest.ids.tolist() == ["img/0.png", "img/0.png#2", "img/1.png"]
    assert "file-in-several-partitions" in checks(manifest)


def test_files_that_do_not_exist(tmp_path: Path) -> None:
    path = table(
        tmp_path, "file,label", "img/0.png,a", "img/1.png,b", "img/99.png,b", ",b", "img,b"
    )
    manifest = load_dataset(path)
    assert [item.id for item in manifest.left_out] == ["img", "img/99.png", "row 4"]
    assert {item.reason for item in manifest.left_out} == {"missing"}
    nowhere = table(tmp_path, "file,label", "0.png,a", "1.png,b")
    with pytest.raises(SourceError, match="none of the 2 files") as caught:
        load_dataset(nowhere)
    assert "images=" in str(caught.value)
    assert len(load_dataset(nowhere, images=tmp_path / "img")) == 2


def test_absolute_paths_give_ids_that_do_not_depend_on_the_machine(tmp_path: Path) -> None:
    hashes = []
    for home in ("here", "there"):
        root = tmp_path / home
        table(root, "", name="unused.csv")
        (root / "meta").mkdir()
        lines = ["file,label", f"{root}/img/0.png,a", f"{root}/img/1.png,b"]
        (root / "meta" / "t.csv").write_text("\n".join(lines))
        manifest = load_dataset(root / "meta" / "t.csv")
        assert manifest.ids.tolist() == ["0.png", "1.png"]
        hashes.append(manifest.hash)
    assert hashes[0] == hashes[1]


def test_damaged_tables(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label", "img/0.png,a", "img/1.png,b,extra,cells", "img/2.png,b")
    assert "lines 3" in checks(load_dataset(path))["ragged-rows"]
    with pytest.raises(SourceError, match="no rows"):
        load_dataset(table(tmp_path, "file,label"))
    with pytest.raises(SourceError, match="one name"):
        load_dataset(table(tmp_path, "file,label,label", "a,b,c"))
    (tmp_path / "bad.csv").write_bytes(b"file,label\n\xff\xfe,a\n")
    with pytest.raises(SourceError, match="cannot be read"):
        load_dataset(tmp_path / "bad.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(SourceError, match="cannot be read"):
        load_dataset(tmp_path / "bad.parquet")
    (tmp_path / "data.xlsx").write_bytes(b"x")
    with pytest.raises(SourceError, match="ending in"):
        load_dataset(tmp_path / "data.xlsx")


def test_strange_partitions(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,fold", "img/0.png,a,0", "img/1.png,b,1")
    manifest = load_dataset(path)
    assert [r.official for r in manifest.records] == [None, None]
    assert manifest.records[1].columns["fold"] == 1.0
    with pytest.raises(SourceError, match="unknown names"):
        load_dataset(path, partition_column="fold")


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    path = table(
        tmp_path, "file,label,patient,age", "img/0.png,0,7,3.5", "img/1.png,1,8,", "img/2.png,1,8,4"
    )
    columns = {
        "file": [f"img/{i}.png" for i in range(3)],
        "label": [0, 1, 1],
        "patient": pa.array([7.0, 8.0, 8.0]),
        "age": [3.5, None, 4.0],
    }
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    one, other = load_dataset(path), load_dataset(tmp_path / "labels.parquet")
    assert one.records == other.records
    assert one.hash == other.hash


def test_expression_goes_before_a_usual_column(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,patient", "img/0.png,a,p", "img/1.png,b,p")
    manifest = load_dataset(path, patient=r"(\d)\.png")
    assert manifest.patients.tolist() == ["0", "1"]
    assert manifest.records[0].columns == {"patient": "p"}
    assert "patient from" not in checks(manifest)["columns-taken"]


def test_table_and_folder_together(tmp_path: Path) -> None:
    path = table(tmp_path / "t", "file,label,who", "img/0.png,normal,1", "img/1.png,tb,2")
    for name in ("Normal/00000001_000.png", "TB/00000002_000.png"):
        (tmp_path / "f" / name).parent.mkdir(parents=True)
        (tmp_path / "f" / name).write_bytes(b"x")
    manifest = load_dataset(path, tmp_path / "f", patient="who")
    assert manifest.patients.tolist() == ["00000001", "00000002", "1", "2"]
    assert manifest.label_array()[:, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.real
@pytest.mark.skipif(
    not (DATA / "external_dev").is_dir(), reason="the real images of THORAX_DATA are not here"
)
def test_the_real_table() -> None:
    manifest = load_dataset(DATA / "external_dev" / "labels.csv")
    described = manifest.describe()
    assert described["classes"] == {"NORMAL": 250, "PNEUMONIA": 250}
    assert described["patients"] == 341
    assert {"age", "sex", "view"} <= set(manifest.records[0].columns)
    folders = load_dataset(DATA / "external_dev")
    assert folders.describe()["patients"] == 341
    assert folders.ids.tolist() == manifest.ids.tolist()
    np.testing.assert_array_equal(folders.label_array(), manifest.label_array())


def test_a_partition_column_with_a_typing_error_is_refused(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.png").write_bytes(b"x")
    table = tmp_path / "t.csv"
    table.write_text("file,label,split\n0.png,a,train\n1.png,b,tset\n2.png,a,test\n3.png,b,train\n")
    with pytest.raises(SourceError, match="unknown names") as caught:
        load_dataset(table)
    assert caught.value.received == "tset"
