"""The table of records: equal to a tuple of records, whatever is asked of it."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plainfilm.data import Manifest
from plainfilm.data.counts import class_names
from plainfilm.data.record_table import Records
from plainfilm.records import UNKNOWN, Record, Split, Task

SPLITS: tuple[Split | None, ...] = ("train", "validation", "test", None)
TASK = Task("multilabel", ("mass", "effusion"), ("mass", "effusion"))
HASH = "67cab01677ab086ac815a779532faa662e8589e13434e5fd0d352ffe7007ca1c"


def drawn(count: int = 40) -> tuple[Record, ...]:
    """Return records with every kind of label, split and column."""
    values = (1.0, 0.0, UNKNOWN)
    return tuple(
        Record(
            id=f"é{(7 * row) % count:03d}.png",
            path=f"/data/{row}.png",
            labels=(values[row % 3], values[row // 3 % 3]),
            patient=f"p{row // 3}",
            split=SPLITS[row % 4],
            official=SPLITS[row // 4 % 4],
            columns={"age": 30.0 + row % 5, "view": "PA"} if row % 3 else {"sex": "F"},
        )
        for row in range(count)
    )


def test_a_table_of_records_is_the_sequence_it_was_made_of() -> None:
    records = drawn()
    table = Records.of(records, 2)
    assert len(table) == 40
    assert [*table] == [*records]
    assert table == records
    assert table != records[1:]
    assert table[-3] == records[-3]
    assert table[np.intp(5)] == records[5]
    assert table[3:30:4] == records[3:30:4]
    assert records[7] in table
    assert pickle.loads(pickle.dumps(table)) == records
    with pytest.raises(IndexError):
        table[40]


def test_columns_are_those_of_the_records_after_each_selection() -> None:
    records = drawn()
    mask = np.arange(40) % 7 != 2
    rows = np.flatnonzero(mask)[::-1]
    whole = Records.of(records, 2)
    for table, own in (
        (whole, records),
        (whole.where(mask), [one for one, kept in zip(records, mask, strict=True) if kept]),
        (whole.take(rows), [records[row] for row in rows]),
        (whole[30:] + whole[:4], records[30:] + records[:4]),
        (whole[:0], ()),
    ):
        assert table == own
        assert table.ids.tolist() == [one.id for one in own]
        assert table.paths == [one.path for one in own]
        assert table.patients.tolist() == [one.patient for one in own]
        assert table.splits.tolist() == [one.split or "" for one in own]
        assert table.officials.tolist() == [one.official or "" for one in own]
        assert table.known_splits.tolist() == [one.split or one.official or "" for one in own]
        labels = np.array([one.labels for one in own], np.float32).reshape(-1, 2)
        np.testing.assert_array_equal(table.labels, labels)
        assert table.order().tolist() == sorted(range(len(own)), key=lambda row: own[row].id)
        first = [*dict.fromkeys(one.patient for one in own)]
        assert table.groups.tolist() == [first.index(one.patient) for one in own]
        assert table.patient_count == len(first)
        assert {*table.column_names} == {name for one in own for name in one.columns}
        for name in table.column_names:
            assert table.column(name) == [one.columns.get(name) for one in own]


def test_records_are_found_by_id() -> None:
    records = drawn()
    table = Records.of(records, 2)
    assert table.find(records[9].id) == records[9]
    assert table.find("other") is None
    ids = {records[3].id, records[8].id, "other"}
    assert table.contains_ids(ids).tolist() == [one.id in ids for one in records]
    assert table.ids_where(table.contains_ids(ids)) == [records[3].id, records[8].id]
    assert table.repeated_id() is None
    assert (table[:9] + table[4:6]).repeated_id() == records[4].id


def test_fields_are_replaced_for_all_records() -> None:
    records = drawn()
    table = Records.of(records, 2)
    assert table.replace(split="test", official="") == [
        replace(one, split="test", official=None) for one in records
    ]
    paths = [f"/other/{row}" for row in range(40)]
    assert table.replace(path=paths).paths == paths
    labels = np.zeros((40, 1), np.float32)
    assert table.replace(labels=labels)[0].labels == (0.0,)
    marked = table.with_column("site", ["A", None] * 20).with_column("age", [1.0] * 40)
    assert marked.column("site") == ["A", None] * 20
    assert marked.column("age") == [1.0] * 40
    assert table == records


def test_a_column_of_texts_and_numbers_is_a_column_of_texts() -> None:
    one, other = drawn(2)
    mixed = Records.of(
        [replace(one, columns={"age": 30.0}), replace(other, columns={"age": "?"})], 2
    )
    assert mixed.column("age") == ["30.0", "?"]


def test_names_of_classes_are_those_of_each_record() -> None:
    table = Records.of(drawn(), 2)
    several = Task("multiclass", ("a", "b"), ("a", "b"))
    binary = Task("binary", ("ill",), ("well", "ill"))
    for task, labels in (
        (TASK, table.labels),
        (several, table.labels),
        (binary, table.labels[:, :1]),
    ):
        expected = [task.class_of([float(value) for value in row]) for row in labels]
        assert class_names(task, labels).tolist() == expected


def test_a_manifest_has_the_hash_that_it_had_as_a_tuple(tmp_path: Path) -> None:
    manifest = Manifest("drawn", TASK, drawn(5000))  # more records than are hashed at once
    assert manifest.hash == HASH
    manifest.write(tmp_path / "m.parquet")
    again = Manifest.read(tmp_path / "m.parquet")
    assert again.hash == HASH
    assert again.records == manifest.records
    assert all(
        value is UNKNOWN for one in again.records[:9] for value in one.labels if value != value
    )
    assert not math.isnan(again.records[0].labels[0])


def test_a_million_records_take_less_than_256_bytes_each() -> None:
    count = 20_000
    names = [
        f"images/patient{row // 2:06d}/study{row % 2}/view1_frontal_{row}.jpg"
        for row in range(count)
    ]
    table = Records.from_columns(
        np.zeros((count, 2), np.float32),
        {"age": [float(row % 90) for row in range(count)], "view": ["PA", "AP"] * (count // 2)},
        id=names,
        path=[f"/data/chexpert/{name}" for name in names],
        patient=[f"{row // 2:032x}" for row in range(count)],
        official=["train"] * count,
    )
    assert (table.table.nbytes + table.labels.nbytes) / count < 256


def test_the_labels_are_a_copy_that_cannot_be_changed() -> None:
    labels = np.zeros((40, 2), np.float32)
    table = Records.of(drawn(), 2).replace(labels=labels)
    labels[0, 0] = 1
    assert table.labels[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        table.labels[0, 0] = 1
