"""Lists of URIs: their columns, forms of paths, repeats and errors."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Plan, Row
from plainfilm.cluster.planning import make_plan
from plainfilm.errors import SourceError, UsageError


def plan_text(tmp_path: Path, text: str, name: str = "list.csv", **options: str) -> Plan:
    (tmp_path / name).write_text(text, "utf-8")
    return make_plan(open_store(tmp_path / "out"), [tmp_path / name], **options)


def rows(plan: Plan) -> list[Row]:
    return [row for chunk in plan.chunks() for row in plan.rows(chunk)]


def test_every_form_of_a_path_is_planned_once(tmp_path: Path) -> None:
    forms = ["a/1.png", "./a//1.png", f"{tmp_path}/a/1.png", "b/../a/1.png"]
    forms += [(tmp_path / "a/1.png").as_uri(), "s3://bucket/a/1.png", "s3://bucket/a/1.png"]
    plan = plan_text(tmp_path, "file\n" + "\n".join(forms) + "\n")
    assert [row.uri for row in rows(plan)] == [f"{tmp_path}/a/1.png", "s3://bucket/a/1.png"]
    assert plan.index.left_out == {"repeated": 5}
    assert plan.index.sources[0].root == f"{tmp_path}/a"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "id,URI,bytes\n1,/a/x.png,10\n2,/a/y.png,\n"),
        ("list.csv", '\ufeffuri;note;bytes\r\n/a/x.png;"one\ntwo";10\r\n/a/y.png;;\r\n'),
        ("list.tsv", "bytes\tpath\n10\t/a/x.png\n\t/a/y.png\n\t\n"),
        ("list.csv", 'file,uri,bytes\nother,"/a/x.png",10\nother,/a/y.png,\nother,,\n'),
    ],
)
def test_lists_have_the_separators_and_columns_that_occur(
    tmp_path: Path, name: str, text: str
) -> None:
    plan = plan_text(tmp_path, text, name)
    assert rows(plan) == [("/a/x.png", 10, None), ("/a/y.png", None, None)]
    assert plan.index.sources[0].root == "/a"
    assert set(plan.index.left_out) <= {"blank"}


def test_cells_that_a_spreadsheet_would_run_are_read_back(tmp_path: Path) -> None:
    plan = plan_text(tmp_path, "file\n'=1.png\n'tis.png\n")
    assert [row.uri for row in rows(plan)] == [f"{tmp_path}/=1.png", f"{tmp_path}/'tis.png"]


def test_a_column_is_named(tmp_path: Path) -> None:
    text = "path,Location\n/wrong.png,/right.png\n"
    assert rows(plan_text(tmp_path, text, column="Location"))[0].uri == "/right.png"
    with pytest.raises(UsageError, match="has the plan of other files"):
        plan_text(tmp_path, text)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="a column is for lists"):
        make_plan(open_store(tmp_path / "out2"), [tmp_path / "folder"], column="Location")


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary<values=string>"])
def test_parquet_lists_of_any_text_type(tmp_path: Path, kind: str) -> None:
    values = [f"/archive/{number:05d}.png" for number in range(10_000)]
    random.Random(0).shuffle(values)
    column = arrow.array([*values, None, values[5], ""], arrow.string())
    if kind == "dictionary<values=string>":
        column = column.dictionary_encode()
    elif kind == "large_string":
        column = column.cast(arrow.large_string())
    parquet.write_table(arrow.table({"uri": column, "label": [0] * 10_003}), tmp_path / "l.parquet")
    plan = make_plan(open_store(tmp_path / "out"), [tmp_path / "l.parquet"])
    assert [row.uri for row in rows(plan)] == values
    sizes = [chunk.rows for chunk in plan.chunks()]
    assert sizes[:16] == [256] * 16
    assert sizes[16:20] == [256, 272, 289, 307], "a 16th of the rows before"
    assert plan.index.left_out == {"blank": 2, "repeated": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no column uri or file or path"),
        ("a,b\n1,2\n", "has no column uri or file or path"),
        ("uri\n", "contains no URIs"),
        ("uri\n\n,\n", "cannot be read"),
        ("uri,b\n/a.png\n", "cannot be read"),
        ("uri\nhttps://host/a.png\n", "this URI cannot be read, in the list"),
        ("uri\nfile://host/a.png\n", "a file: URI must contain"),
        ("uri,bytes\n/secret.png,many\n", "cannot be read"),
    ],
)
def test_errors_of_lists(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SourceError, match=problem) as caught:
        plan_text(tmp_path, text)
    assert "/secret.png" not in str(caught.value)


def test_a_wrong_cell_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="column 3, Row #3, conversion error to int64"):
        plan_text(tmp_path, "uri,x,bytes\na.png,,1\nb.png,,many\n")
    with pytest.raises(SourceError, match="Row #3, Expected 2 columns, got 1"):
        plan_text(tmp_path, "uri,bytes\na.png,1\nb.png\n")


def test_a_list_that_is_no_parquet_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        plan_text(tmp_path, "uri\n/a.png\n", "list.parquet")
    (tmp_path / "list.txt").write_text("/a.png")
    with pytest.raises(SourceError, match="neither a folder nor a list"):
        make_plan(open_store(tmp_path / "out"), [tmp_path / "list.txt"])


def test_a_changed_list_is_refused(tmp_path: Path) -> None:
    plan_text(tmp_path, "uri\n/a.png\n")
    with pytest.raises(UsageError, match=r"list\.csv \(SHA-256 .*; planned: .*\(SHA-256 "):
        plan_text(tmp_path, "uri\n/b.png\n")  # of the same size
