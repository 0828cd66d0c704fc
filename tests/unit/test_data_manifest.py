"""The manifest stores records without loss and checks them."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from plainfilm._files import hash_json
from plainfilm.data import LeftOut, Manifest
from plainfilm.data.counts import LabelCounts
from plainfilm.errors import LabelError, SourceError, SplitError, StorageError
from plainfilm.records import Finding, Record, Task

BINARY = Task("binary", ("TB",), ("normal", "TB"))
MANY = Task("multilabel", ("edema", "effusion"), ("edema", "effusion"))


def small() -> Manifest:
    records = (
        Record(id="a/1", path="/x/a/1", labels=(1.0, 0.0), patient="p", split="train"),
        Record(id="ü/2", path="/x/2", labels=(math.nan, 0.0), patient="p", split="train"),
        Record(
            id="c", path="/x/c", labels=(0.0, 1.0), patient="q", split="test", official="test",
            columns={"age": 3.5, "sex": "F"},
        ),
    )  # fmt: skip
    return Manifest(
        "some",
        MANY,
        records,
        (LeftOut("d", "/x/d", "empty", "the file is empty"),),
        (Finding(check="a-check", severity="warning", problem="This.", count=2, files=("c", "d")),),
    )


def same(one: Manifest, other: Manifest) -> bool:
    """Compare with NaN equal to NaN."""
    return repr(one) == repr(other)


def test_arrays() -> None:
    manifest = small()
    labels = manifest.label_array()
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, [[1, 0], [math.nan, 0], [0, 1]])
    assert manifest.ids.tolist() == ["a/1", "ü/2", "c"]
    assert manifest.patients.tolist() == ["p", "p", "q"]
    assert manifest.splits.tolist() == ["train", "train", "test"]
    empty = replace(manifest, records=())
    assert empty.label_array().shape == (0, 2)
    assert len(empty.ids) == 0


def test_written_and_read_again(tmp_path: Path) -> None:
    manifest = small()
    manifest.write(tmp_path / "deep" / "manifest.parquet")
    again = Manifest.read(tmp_path / "deep" / "manifest.parquet")
    assert same(again, manifest)
    assert again.hash == manifest.hash
    schema = pq.read_schema(tmp_path / "deep" / "manifest.parquet")
    types = {field.name: str(field.type) for field in schema}
    assert types == {
        "id": "string",
        "path": "string",
        "patient": "string",
        "split": "string",
        "official": "string",
        "label.edema": "int8",
        "label.effusion": "int8",
        "column.age": "double",
        "column.sex": "string",
    }
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["manifest.parquet"]


def test_no_records_survive_a_round_trip(tmp_path: Path) -> None:
    manifest = replace(small(), records=())
    manifest.write(tmp_path / "m.parquet")
    assert same(Manifest.read(tmp_path / "m.parquet"), manifest)


def test_hash_depends_only_on_the_content() -> None:
    manifest = small()
    moved = [replace(r, path="/other" + r.path) for r in manifest.records]
    assert (
        replace(manifest, name="x", findings=(), records=tuple(moved[::-1])).hash == manifest.hash
    )
    first, *rest = manifest.records
    changes = [
        replace(first, id="other"),
        replace(first, labels=(0.0, 0.0)),
        replace(first, labels=(math.nan, 0.0)),
        replace(first, patient="other"),
        replace(first, split=None),
    ]
    hashes = {replace(manifest, records=(change, *rest)).hash for change in changes}
    hashes.add(manifest.hash)
    hashes.add(replace(manifest, task=replace(MANY, kind="multiclass")).hash)
    assert len(hashes) == 7


def test_hash_is_that_of_one_json_text() -> None:
    def numbered(number: int) -> Record:
        labels = (float(number % 2), math.nan if number % 5 else 0.0)
        name = f"{(number * 7919) % 10_000:05d}"
        return Record(id=name, path=name, labels=labels, patient=name, split="train")

    manifest = Manifest("many", MANY, tuple(map(numbered, range(9000))))
    rows = [
        [r.id, r.patient, r.split, [None if math.isnan(v) else int(v) for v in r.labels]]
        for r in manifest.records
    ]
    assert manifest.hash == hash_json({"task": asdict(MANY), "rows": sorted(rows)})
    none = replace(manifest, records=())
    assert none.hash == hash_json({"task": asdict(MANY), "rows": []})


def test_hash_does_not_depend_on_the_spelling_of_patient_keys() -> None:
    manifest = small()
    other = {"p": "z-of-another-salt", "q": "a-of-another-salt"}
    renamed = [replace(r, patient=other[r.patient]) for r in manifest.records]
    assert replace(manifest, records=tuple(renamed)).hash == manifest.hash
    separate = [replace(r, patient=r.id) for r in manifest.records]
    assert replace(manifest, records=tuple(separate)).hash != manifest.hash


def _rewrite(path: Path, **metadata: str) -> None:
    table = pq.read_table(path)
    new = {**table.schema.metadata, **{f"plainfilm.{k}".encode(): v for k, v in metadata.items()}}
    pq.write_table(table.replace_schema_metadata(new), path)


def test_rejected_files(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    with pytest.raises(SourceError, match="does not exist"):
        Manifest.read(path)
    small().write(path)
    for schema in ("2", "99"):
        _rewrite(path, schema=schema)
        with pytest.raises(SourceError, match=f"schema {schema}"):
            Manifest.read(path)
    small().write(path)
    _rewrite(path, hash="0" * 64)
    with pytest.raises(SourceError, match="changed after"):
        Manifest.read(path)
    small().write(path)
    _rewrite(path, task="{}")
    with pytest.raises(SourceError, match="damaged"):
        Manifest.read(path)
    small().write(path)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 2), path)
    with pytest.raises(SourceError, match="changed after"):
        Manifest.read(path)
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(SourceError, match="not a manifest"):
        Manifest.read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SourceError, match="cannot be read"):
        Manifest.read(path)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        small().write(tmp_path / "file" / "m.parquet")


def test_select_and_drop() -> None:
    manifest = small()
    assert manifest.select("test").ids.tolist() == ["c"]
    with pytest.raises(SplitError, match="validation"):
        manifest.select("validation")
    with pytest.raises(SplitError, match="one of"):
        manifest.select("val")  # type: ignore[arg-type]
    gone = LeftOut("c", "/x/c", "truncated", "it ends too early")
    dropped = manifest.drop([gone, gone])
    assert dropped.ids.tolist() == ["a/1", "ü/2"]
    assert [item.id for item in dropped.left_out] == ["d", "c"]
    assert dropped.drop([gone]).left_out == dropped.left_out


def test_describe() -> None:
    described = small().describe()
    assert described.images == 3
    assert described.patients == 2
    assert described.classes["edema"] == LabelCounts(1, 1, 1)
    assert described.left_out == {"empty": 1}
    assert list(described.splits) == ["train", "test"]
    assert described.splits["test"].classes["effusion"] == LabelCounts(1, 0, 0)
    rows = [(0.0,), (1.0,), (1.0,)]
    records = tuple(Record(id=str(i), path="", labels=r, patient="p") for i, r in enumerate(rows))
    assert Manifest("n", BINARY, records).describe().classes == {"normal": 1, "TB": 2}


@pytest.mark.parametrize("labels", [(1.0, 0.0), (), (0.5,), (2.0,), (math.inf,)])
def test_labels_outside_of_the_schema(labels: tuple[float, ...]) -> None:
    with pytest.raises(LabelError, match="1 label of 1, 0 or NaN"):
        Manifest("n", BINARY, (Record(id="a", path="a", labels=labels, patient="a"),))


def test_ids_must_be_unique() -> None:
    record = Record(id="a", path="a", labels=(1.0,), patient="a")
    with pytest.raises(LabelError, match="ids of records repeat"):
        Manifest("n", BINARY, (record, record))
