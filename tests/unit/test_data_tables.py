"""Tables of images are listed as a manifest."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import LabelError, SourceError, UsageError

DATA = Path(os.environ.get("PLAINFILM_DATA", Path(__file__).parents[3] / "shared" / "data"))


def table(root: Path, *lines: str, name: str = "labels.csv", files: int = 6) -> Path:
    for number in range(files):
        path = root / "img" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / name


def checks(manifest: Manifest) -> dict[str, str]:
    return {found.check: found.problem for found in manifest.findings}


def groups(manifest: Manifest) -> list[int]:
    """Return for each image the position of the first image of its patient."""
    patients = manifest.patients.tolist()
    return [patients.index(patient) for patient in patients]


def test_columns_with_usual_names_are_chosen_and_reported(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "File,Label,Patient ID,split,age,code,sex",
        "img/0.png,NORMAL,007,train,36,01,F",
        "img/1.png,PNEUMONIA,008,val,,02,M",
        "img\\2.png,NORMAL,008,TEST,41.5,03,",
    )
    manifest = load_dataset(path)
    problem = checks(manifest)["columns-chosen"]
    assert all(f"'{name}'" in problem for name in ("File", "Label", "Patient ID", "split"))
    assert manifest.ids.tolist() == ["img/0.png", "img/1.png", "img/2.png"]
    assert groups(manifest) == [0, 1, 1]
    assert all(re.fullmatch(r"p[0-9a-f]{16}", patient) for patient in manifest.patients)
    assert [r.official for r in manifest.records] == ["train", "validation", "test"]
    assert [dict(r.columns) for r in manifest.records] == [
        {"age": 36.0, "code": "01", "sex": "F"},
        {"code": "02", "sex": "M"},
        {"age": 41.5, "code": "03"},
    ]
    assert Path(manifest.records[2].path) == tmp_path / "img" / "2.png"


def test_named_columns_have_priority(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "file;where;label;diagnosis;patient;nr;set",
        "x;img/0.png;a;tb;p;1;train",
        "x;img/1.png;a;normal;p;2;test",
    )
    manifest = load_dataset(
        path, labels="diagnosis", path_column="where", patient="nr", split_column="set"
    )
    assert manifest.task.classes == ("normal", "tb")
    assert groups(manifest) == [0, 1]
    assert [r.official for r in manifest.records] == ["train", "test"]
    assert manifest.records[0].columns == {"file": "x", "label": "a"}
    assert "columns patient of" in checks(manifest)["identity-columns"]


@pytest.mark.parametrize(
    ("header", "arguments", "message"),
    [
        ("file,path,label", {}, "several columns could be the path: file, path"),
        ("file,class,label", {}, "several columns could be the label"),
        ("file,patient,subject,label", {}, "several columns could be the patient"),
        ("name,label", {}, "no column could be the path"),
        ("file,diagnosis", {}, "no column could be the label"),
        ("file,label", {"labels": "tb"}, "does not exist"),
        ("file,label", {"labels": ["label", "tb"]}, "does not exist"),
        ("file,label", {"path_column": "where"}, "does not exist"),
        ("file,label", {"patient": "who"}, "neither a column nor"),
    ],
)
def test_columns_missing_or_ambiguous(
    tmp_path: Path, header: str, arguments: dict[str, str], message: str
) -> None:
    cells = ["img/0.png" if n in ("file", "path", "name") else "a" for n in header.split(",")]
    other = ["img/1.png" if n in ("file", "path", "name") else "b" for n in header.split(",")]
    path = table(tmp_path, header, ",".join(cells), ",".join(other))
    # A missing named column is a usage error; an ambiguous column is a problem of the data.
    with pytest.raises(UsageError if arguments else SourceError, match=message) as caught:
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
    assert checks(manifest)["label-policy"] == (
        "labels: 2 blank labels (edema 2) count as unknown; "
        "1 uncertain label (effusion 1) counts as unknown"
    )
    assert manifest.records[0].columns == {"age": 3.0}
    with pytest.raises(UsageError, match="positive="):
        load_dataset(path, labels=["edema", "effusion"], positive="edema")


def test_label_columns_must_vary(tmp_path: Path) -> None:
    path = table(tmp_path, "path,a,b,c", "img/0.png,1,0,1", "img/1.png,0,0,", "img/2.png,1,0,1")
    manifest = load_dataset(path, labels=["a", "b", "c"])
    assert checks(manifest)["constant-label"].endswith("b, c")
    with pytest.raises(SourceError, match="both 1 and 0"):
        load_dataset(path, labels=["b", "c"])


def test_unknown_label_value(tmp_path: Path) -> None:
    path = table(tmp_path, "path,a,b", "img/0.png,1,0", "img/1.png,0,perhaps")
    with pytest.raises(LabelError) as caught:
        load_dataset(path, labels=["a", "b"])
    assert "'perhaps' in row 2" in str(caught.value.received)


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


def test_repeated_rows(tmp_path: Path) -> None:
    rows = ["file,label", "img/0.png,a", "img/1.png,b", "img/../img/0.png,a"]
    manifest = load_dataset(table(tmp_path, *rows))
    assert len(manifest) == 2
    assert "1 repeated mention" in checks(manifest)["repeated-files"]
    assert "further columns" not in checks(manifest)["repeated-files"]
    with pytest.raises(LabelError, match="several labels") as caught:
        load_dataset(table(tmp_path, *rows, "img/0.png,b"))
    assert caught.value.received == "img/0.png"


def test_repeated_rows_with_other_values(tmp_path: Path) -> None:
    rows = ["file,label,who,age", "img/0.png,a,1,30", "img/0.png,a,2,31", "img/1.png,b,3,32"]
    manifest = load_dataset(table(tmp_path, *rows), patient="who")
    assert manifest.records[0].columns == {"age": 30.0}
    assert "(1 with other values in further columns)" in checks(manifest)["repeated-files"]
    assert "1 file has several patients" in checks(manifest)["file-of-several-patients"]
    agreeing = ["file,label,who", "img/0.png,a,1", "img/0.png,a,", "img/1.png,b,3"]
    manifest = load_dataset(table(tmp_path, *agreeing), patient="who")
    assert "file-of-several-patients" not in checks(manifest)


IDENTIFYING = (
    *("Patient Name", "PatientsName", "name", "patient_id", "MRN", "Medical record number"),
    *("DOB", "PatientBirthDate", "date of birth", "AccessionNumber", "accession_no"),
    *("StudyInstanceUID", "seriesinstanceuid", "uid", "study_id", "Referring Physician"),
    *("address", "Phone", "E-Mail", "comments", "Nachname", "Geburtsdatum", "date de naissance"),
    *("Prénom", "fecha de nacimiento", "Patienten-ID", "data di nascita"),
    *("Patientenname", "patname", "PatNr", "accno", "acc_nr", "Bemerkung", "Bemerkungen", "remark"),
    *("Kommentare", "Vorname", "vorname_pat", "Fallnummer", "Versichertennummer", "Geburtsname"),
    *("Mittelname", "reviewer_notes", "gebdat", "Krankenkasse", "observaciones"),
)
HARMLESS = (
    *("age", "Patient Age", "PatientSex", "Patient Gender", "view", "View Position", "site"),
    *("hospital_id", "manufacturer", "Follow-up #", "Image Index", "Finding Labels", "bits"),
    *("pleural_fluid", "subgroup", "file_name", "device name", "modality", "race", "fold"),
    *("filename", "classname", "hospitalname", "accuracy", "snr", "finding", "annotation", "path"),
)


@pytest.mark.parametrize("name", IDENTIFYING)
def test_identifying_columns_are_not_kept(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, f"file,label,{name},x", "img/0.png,a,Mueller,5", "img/1.png,b,Doe,6")
    manifest = load_dataset(path, patient=r"(\d)\.png")
    assert manifest.records[0].columns == {"x": 5.0}
    assert f"columns {name} of" in checks(manifest)["identity-columns"]
    assert "Mueller" not in repr(manifest)


def test_other_columns_are_kept(tmp_path: Path) -> None:
    cells = ",".join("v" for _ in HARMLESS)
    header = ",".join(HARMLESS)
    path = table(tmp_path, f"file,label,{header}", f"img/0.png,a,{cells}", f"img/1.png,b,{cells}")
    manifest = load_dataset(path, path_column="file")
    assert set(manifest.records[0].columns) == set(HARMLESS)
    assert "identity-columns" not in checks(manifest)


@pytest.mark.parametrize(
    "cell",
    [
        *("1.2.840.113619.2.5.17", "1985-03-12", "12.03.1985", "3/12/85", "19850312"),
        *("12-Mar-1985", "seen March 3, 1985", "1985-03-12T10:20:00", "Doe^Jane", "j@doe.org"),
        "word " * 60,
    ],
)
def test_identifying_cells_are_not_kept(tmp_path: Path, cell: str) -> None:
    rows = ["file;label;thing", f"img/0.png;a;{cell}", "img/1.png;b;harmless"]
    manifest = load_dataset(table(tmp_path, *rows))
    assert [dict(r.columns) for r in manifest.records] == [{}, {"thing": "harmless"}]
    assert "in thing of" in checks(manifest)["identity-columns"]


@pytest.mark.parametrize(
    "cell", ["41.5", "1.25", "00000013_026.png", "0.143 x 0.143", "3.0.1", "12345678", "a|b", "1/2"]
)
def test_other_cells_are_kept(tmp_path: Path, cell: str) -> None:
    path = table(tmp_path, "file,label,thing", f"img/0.png,a,{cell}", "img/1.png,b,harmless")
    assert load_dataset(path).records[0].columns == {"thing": cell}


def test_a_copy_of_the_patient_column_is_not_kept(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,who,again", "img/0.png,a,K7,K7", "img/1.png,b,K8,K8")
    manifest = load_dataset(path, patient="who")
    assert "K7" not in repr(manifest)
    assert "again" in checks(manifest)["identity-columns"]


def many(folder: Path, columns: dict[str, Callable[[int], str]], rows: int = 24) -> Path:
    """Write a table of two images for each patient."""
    for n in range(rows):
        path = folder / "img" / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    lines = [
        ";".join([f"img/{n}.png", "ab"[n % 2], *(f(n) for f in columns.values())])
        for n in range(rows)
    ]
    return table(folder, ";".join(["file", "label", *columns]), *lines)


def test_text_that_differs_between_patients_is_not_kept(tmp_path: Path) -> None:
    columns: dict[str, Callable[[int], str]] = {
        "who": lambda n: f"K{n // 2}",
        # Each name is in two rows, but differs between patients.
        "wer": lambda n: f"Zyxwanowska{n // 2}, Hildegard",
        "befunder": lambda n: f"ruft wegen Zimmer {n} an" if n % 2 else "",
        "code": lambda n: f"00{n:03d}",
        "age": lambda n: f"{40 + n}",
        "dose": lambda n: f"0,1{n:02d}",
        "dicom_age": lambda n: f"0{40 + n}Y",
        "weight": lambda n: "nan" if n == 3 else f"{50 + n}.5",
        "sex": lambda n: "FM"[n % 2],
        "site": lambda n: "ABCDE"[n // 5],
        "seldom": lambda n: f"device {n}" if n < 9 else "",
    }
    manifest = load_dataset(many(tmp_path, columns), patient="who")
    kept = {name for record in manifest.records for name in record.columns}
    assert kept == {"age", "dose", "dicom_age", "weight", "sex", "site", "seldom"}
    assert "columns wer, befunder, code of" in checks(manifest)["identity-columns"]
    assert not re.search("Hildegard|Zimmer", repr(manifest))


def test_patients_of_file_names_count_as_well(tmp_path: Path) -> None:
    columns: dict[str, Callable[[int], str]] = {
        "wer": lambda n: f"Zyxwanowska{n % 12}, Hildegard",
        "site": lambda n: "ABC"[n % 3],
    }
    path = many(tmp_path, columns, rows=36)
    # There is no patient column, and every name is in three rows.
    (tmp_path / "img").rename(tmp_path / "flat")
    (tmp_path / "img").mkdir()
    lines = path.read_text(encoding="utf-8").splitlines()
    for n in range(36):
        name = f"p{n % 12:02d}-{n}.png"
        (tmp_path / "flat" / f"{n}.png").rename(tmp_path / "img" / name)
        lines[n + 1] = lines[n + 1].replace(f"img/{n}.png", f"img/{name}")
    path.write_text("\n".join(lines), encoding="utf-8")
    manifest = load_dataset(path, patient=r"(p\d+)-")
    assert {name for record in manifest.records for name in record.columns} == {"site"}
    assert "Hildegard" not in repr(manifest)
    assert "columns wer of labels" in checks(manifest)["identity-columns"]


def test_text_that_differs_is_kept_with_few_rows(tmp_path: Path) -> None:
    columns: dict[str, Callable[[int], str]] = {"thing": lambda n: f"thing {n}"}
    nine = load_dataset(many(tmp_path, columns, rows=9), patient=r"(\d+)\.png")
    assert [r.columns["thing"] for r in nine.records] == [f"thing {n}" for n in range(9)]
    ten = load_dataset(many(tmp_path, columns, rows=10), patient=r"(\d+)\.png")
    assert all(not r.columns for r in ten.records)


@pytest.mark.parametrize("name", ["Patientenname", "wer"])
def test_values_that_differ_between_rows_are_not_classes(tmp_path: Path, name: str) -> None:
    path = many(tmp_path, {name: lambda n: f"Zyxwanowska{n}"})
    with pytest.raises(UsageError, match="may identify patients") as caught:
        load_dataset(path, labels=name)
    assert "Zyxwanowska" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "arguments"),
    [
        (("file,label,patient name", "img/0.png,a,SECRET"), {"labels": "patient name"}),
        (("file,label,x", "img/0.png,1,19850312"), {"labels": ["label", "x"]}),
        (("file,label,mrn", "img/0.png,a,SECRET"), {"split_column": "mrn"}),
        (("file,label,split", "img/0.png,a,train", "img/1.png,b,19850312"), {}),
        (("name,label", "SECRET,a"), {"path_column": "name"}),
        (("SECRET,img/0.png,19850312", "OTHER,img/1.png,19850312"), {}),
        (("SECRET,SECRET,19850312", "a,b,c"), {}),
    ],
)
def test_errors_do_not_quote_identities(
    tmp_path: Path, rows: tuple[str, ...], arguments: dict[str, str]
) -> None:
    with pytest.raises((SourceError, LabelError, UsageError)) as caught:
        load_dataset(table(tmp_path, *rows), **arguments)  # type: ignore[arg-type]
    assert "SECRET" not in str(caught.value)
    assert "19850312" not in str(caught.value)


def test_values_that_are_not_classes_are_not_quoted(tmp_path: Path) -> None:
    for n in range(120):
        path = tmp_path / "img" / f"{n}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    rows = [f"img/{n}.png,SECRET{n}" for n in range(120)]
    with pytest.raises(SourceError, match="too many values") as caught:
        load_dataset(table(tmp_path, "file,label", *rows))
    assert "SECRET" not in str(caught.value)


def test_one_file_in_two_splits(tmp_path: Path) -> None:
    path = table(
        tmp_path, "file,label,split", "img/0.png,a,train", "img/1.png,b,train", "img/0.png,a,test"
    )
    manifest = load_dataset(path)
    assert manifest.ids.tolist() == ["img/0.png", "img/0.png#2", "img/1.png"]
    assert "file-in-several-splits" in checks(manifest)


def test_files_that_do_not_exist(tmp_path: Path) -> None:
    path = table(
        tmp_path, "file,label", "img/0.png,a", "img/1.png,b", "img/99.png,b", ",b", "img,b"
    )
    manifest = load_dataset(path)
    assert [item.id for item in manifest.left_out] == ["img", "img/99.png", "row 4"]
    assert {item.reason for item in manifest.left_out} == {"missing"}
    nowhere = table(tmp_path, "file,label", "0.png,a", "1.png,b")
    with pytest.raises(SourceError, match="none of the files") as caught:
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
    with pytest.raises(SourceError, match="the same name"):
        load_dataset(table(tmp_path, "file,label,label", "a,b,c"))
    (tmp_path / "bad.csv").write_bytes(b"file,label\n\xff\xfe,a\n")
    with pytest.raises(SourceError, match="not encoded in UTF-8") as caught:
        load_dataset(tmp_path / "bad.csv")
    assert "line 2: the byte 0xFF" in str(caught.value.received)
    assert "cp1252" in str(caught.value.remedy)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(SourceError, match="cannot be read"):
        load_dataset(tmp_path / "bad.parquet")
    (tmp_path / "data.ods").write_bytes(b"x")
    with pytest.raises(SourceError, match="must be a folder or a table"):
        load_dataset(tmp_path / "data.ods")


def test_unknown_splits(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,fold", "img/0.png,a,0", "img/1.png,b,1")
    manifest = load_dataset(path)
    assert [r.official for r in manifest.records] == [None, None]
    assert manifest.records[1].columns["fold"] == 1.0
    with pytest.raises(SourceError, match="unknown names"):
        load_dataset(path, split_column="fold")


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


def test_a_pattern_has_priority_over_a_usual_column(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,patient", "img/0.png,a,p", "img/1.png,b,p")
    manifest = load_dataset(path, patient=r"(\d)\.png")
    assert groups(manifest) == [0, 1]
    assert manifest.records[0].columns == {}
    assert "patient from" not in checks(manifest)["columns-chosen"]


def test_table_and_folder_together(tmp_path: Path) -> None:
    path = table(tmp_path / "t", "file,label,who", "img/0.png,normal,1", "img/1.png,tb,2")
    for name in ("Normal/00000001_000.png", "TB/00000002_000.png"):
        (tmp_path / "f" / name).parent.mkdir(parents=True)
        (tmp_path / "f" / name).write_bytes(b"x")
    manifest = load_dataset(path, tmp_path / "f", patient="who")
    assert groups(manifest) == [0, 1, 2, 3]
    assert manifest.label_array()[:, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.real
@pytest.mark.skipif(
    not (DATA / "external_dev").is_dir(), reason="the real images of PLAINFILM_DATA are not here"
)
def test_the_real_table() -> None:
    manifest = load_dataset(DATA / "external_dev" / "labels.csv")
    described = manifest.describe()
    assert described.classes == {"NORMAL": 250, "PNEUMONIA": 250}
    assert described.patients == 341
    assert {"age", "sex", "view"} <= set(manifest.records[0].columns)
    folders = load_dataset(DATA / "external_dev")
    assert folders.describe().patients == 341
    assert folders.ids.tolist() == manifest.ids.tolist()
    np.testing.assert_array_equal(folders.label_array(), manifest.label_array())


def test_a_split_column_with_a_typing_error_is_rejected(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.png").write_bytes(b"x")
    table = tmp_path / "t.csv"
    table.write_text("file,label,split\n0.png,a,train\n1.png,b,tset\n2.png,a,test\n3.png,b,train\n")
    with pytest.raises(SourceError, match="unknown names") as caught:
        load_dataset(table)
    assert caught.value.received == "tset"
