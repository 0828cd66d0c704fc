"""Tables are read from the files that Excel, hospitals and archives write."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plainfilm.data import load_dataset
from plainfilm.data.sources.tables.files import is_table, read_table, table_name
from plainfilm.errors import MissingExtraError, PlainfilmError, SourceError, UsageError

EXPECTED = {"file": ["a.png", "b.png"], "label": ["ü", "x y"], "age": ["3", ""]}
LINES = ("file,label,age", "a.png,ü,3", "b.png,x y,")


def write(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def joined(delimiter: str = ",", end: str = "\n") -> str:
    return end.join(line.replace(",", delimiter) for line in LINES) + end


@pytest.mark.parametrize(
    "text",
    [
        *(joined(delimiter) for delimiter in ",;\t|"),
        *(joined(end=end) for end in ("\r\n", "\r")),
        "\ufeff" + joined(";"),
        "sep=;\r\n" + joined(";"),
        "\r\n\r\n" + joined(),
        "Export of ward 3\n" + joined(),
        "Export of ward 3;;\n;;\n" + joined(";"),
        joined(end=",,,\r\n"),
        "file,label,age\n" + joined(end=",\n").split("\n", 1)[1],
        joined().replace("label,age", "label,age,"),
        joined() + ",,\n , ,\n\n",
        'file, label, "age"\n"a.png", "ü", 3\nb.png, x y,\n',
        'file;label;age\n"a.png";ü;3\nb.png;"x y";\n',
    ],
)
def test_habits_of_programs(tmp_path: Path, text: str) -> None:
    assert read_table(write(tmp_path, text)).columns == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark(tmp_path: Path, encoding: str) -> None:
    assert read_table(write(tmp_path, joined("\t").encode(encoding))).columns == EXPECTED


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, joined(end="\r\n").encode("cp1252"))
    with pytest.raises(SourceError, match="not encoded in UTF-8") as caught:
        read_table(path)
    assert str(caught.value.received).endswith("line 2: the byte 0xFC")
    assert "encoding=" in str(caught.value.remedy)
    assert read_table(path, encoding="cp1252").columns == EXPECTED
    with pytest.raises(UsageError, match="encoding=") as usage:
        read_table(path, encoding="klingon")
    assert usage.value.received == "'klingon'"
    unmarked = write(tmp_path, joined().replace("ü", "u").encode("utf-16-le"))
    with pytest.raises(SourceError, match="NUL") as caught:
        read_table(unmarked)
    assert "utf-16-le" in str(caught.value.remedy)
    assert read_table(unmarked, encoding="utf-16-le").columns["file"] == ["a.png", "b.png"]


def test_cells_may_contain_other_delimiters(tmp_path: Path) -> None:
    path = write(tmp_path, "file;dose;why\na.png;0,1;a|b\nb.png;0,2;a, b|c\n")
    assert read_table(path).columns["why"] == ["a|b", "a, b|c"]
    path = write(tmp_path, "file label\na.png x\nb.png  y\n", "list.txt")
    assert read_table(path).columns == {"file": ["a.png", "b.png"], "label": ["x", "y"]}
    one = write(tmp_path, "file\nmy scan 1.png\nmy scan 2.png\n", "list.txt")
    assert read_table(one).columns == {"file": ["my scan 1.png", "my scan 2.png"]}
    assert read_table(one, delimiter="space").ragged == []


def test_a_table_of_one_column_has_no_lines_above_its_header(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "file\na.png\nb.png\nc,d.png\nTotal,3\n"))
    assert table.columns == {"file": ["a.png", "b.png"]}
    assert table.ragged == [4, 5]


@pytest.mark.parametrize("delimiter", [";", "semicolon"])
def test_a_named_delimiter_is_used(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path, "file,x;label,y\na,b;c,d\n")
    assert read_table(path, delimiter=delimiter).columns == {"file,x": ["a,b"], "label,y": ["c,d"]}
    with pytest.raises(UsageError, match="one character"):
        read_table(path, delimiter="::")


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv.gz", "T.CSV.GZ", "t.txt"])
def test_compressed_text(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, gzip.compress(joined("\t").encode()), name)
    assert is_table(name)
    assert table_name(path).casefold() == "t"
    assert read_table(path).columns == EXPECTED
    with pytest.raises(SourceError, match="cannot be read"):
        read_table(write(tmp_path, path.read_bytes()[:20], name))


def test_nameless_columns_with_cells_get_a_name(tmp_path: Path) -> None:
    path = write(tmp_path, ",file,label,,\n0,a.png,x,5,\n1,b.png,y,,\n")
    assert read_table(path).columns == {
        "column 1": ["0", "1"],
        "file": ["a.png", "b.png"],
        "label": ["x", "y"],
        "column 4": ["5", ""],
    }


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the table is empty"),
        (b"\n \n", "the table is empty"),
        (b"file,label\n", "no rows below its header"),
        (b"file,label\na,b,c\nd,e,f\n", "no line of the table has as many cells as its header"),
        (b"file,label\na,b\nb,a\nc,b,c\nx", ""),
        (b'file,label\na,"b\nc,d\n', "cannot be read"),
        (b"file,file\na,b\n", "the same name"),
        (b"<!DOCTYPE html><html>", "not a table"),
        (b"%PDF-1.7", "not a table"),
        (b'[{"file": "a.png"}]', "not a table"),
        (b"\x89PNG\r\n", "not a table"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "not a table"),
        (b"PAR1", "cannot be read"),
        (b"PK\x03\x04", "workbook cannot be read|openpyxl"),
    ],
)
def test_reasons_are_true(tmp_path: Path, data: bytes, problem: str) -> None:
    path = write(tmp_path, data)
    if not problem:
        assert read_table(path).ragged == [4, 5]
        return
    with pytest.raises((SourceError, MissingExtraError), match=problem):
        read_table(path)


def test_skipped_lines_are_reported(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path, b"x", f"{name}.png")
    manifest = load_dataset(write(tmp_path, "Export\nfile,label\na.png,x\nb.png,y\n"))
    found = {one.check: one.problem for one in manifest.findings}
    assert found["lines-skipped"] == "t.csv: 1 line above the header is not used"


def test_parquet_is_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pq.write_table(pa.table({"file": ["a.png"], "labels": [["a", "b"]]}), path)
    assert read_table(path).columns == {"file": ["a.png"], "labels": ["['a', 'b']"]}


def test_the_first_sheet_of_a_workbook_is_read(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Export"], ["file", "label", "age"], ["a.png", "ü", 3.0], [], ["b.png", "x y"]):
        book.active.append(row)
    book.create_sheet("more").append(["a"])
    book.save(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx")
    assert table.columns == EXPECTED
    assert table.notes == ["1 line above the header is not used", "1 further sheet is not used"]


def test_the_extra_for_workbooks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(MissingExtraError) as caught:
        read_table(write(tmp_path, b"PK\x03\x04", "t.xlsx"))
    assert "[excel]" in str(caught.value)


HEADERLESS = ("img/0.png negative\n", "img/1.png positive\n", "img/2.png negative\n")


def test_a_table_without_a_header(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "img").mkdir(exist_ok=True)
        (tmp_path / "img" / f"{number}.png").write_bytes(b"x")
    path = tmp_path / "train.txt"
    path.write_text("".join(HEADERLESS))
    remedy = "if the first line is already data, name the columns with header="
    for label in (None, "finding"):
        with pytest.raises(PlainfilmError, match=remedy) as caught:
            load_dataset(path, labels=label, path_column="file" if label else None)
        assert "img/0" not in str(caught.value)
    manifest = load_dataset(path, header=["file", "label"])
    assert manifest.ids.tolist() == ["img/0.png", "img/1.png", "img/2.png"]
    assert manifest.label_array().ravel().tolist() == [0, 1, 0]
    path.write_text("file label\n" + "".join(HEADERLESS))
    assert load_dataset(path, header="file, label").hash == manifest.hash


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("file", "no line of the table has as many cells as its header"),
        ("file,label,x", "no line of the table has as many cells as its header"),
        ("file,file", "header= needs different names"),
    ],
)
def test_names_of_columns_that_do_not_fit(tmp_path: Path, header: str, message: str) -> None:
    (tmp_path / "t.csv").write_text("".join(HEADERLESS))
    with pytest.raises(PlainfilmError, match=message):
        load_dataset(tmp_path / "t.csv", header=header)
