"""Metadata in columns are the mappings that they were made of."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from plainfilm.data.metadata import Metadata

ROWS = [
    {"format": "png", "width": 40, "spacing": 0.125, "view": "PA"},
    {"width": 2**53 - 1, "format": "jpeg"},
    {},
    {"view": "PA", "width": -3.5, "spacing": "unknown"},  # text and numbers of one name
]


def test_rows_are_those_given() -> None:
    metadata = Metadata.of(ROWS)
    assert [*metadata] == ROWS and len(metadata) == 4
    assert [metadata[row] for row in range(-4, 4)] == ROWS + ROWS
    assert [*metadata[1:3]] == ROWS[1:3] and [*metadata[::-2]] == ROWS[::-2]
    assert all(
        type(value) is int for row in metadata[:2] for name, value in row.items() if name == "width"
    )
    assert Metadata.of(metadata) is metadata
    with pytest.raises(IndexError):
        metadata[4]


def test_columns() -> None:
    metadata = Metadata.of(ROWS)
    assert metadata.names == {"format", "width", "spacing", "view"}
    np.testing.assert_array_equal(metadata.numbers("width"), [40, 2**53 - 1, np.nan, -3.5])
    np.testing.assert_array_equal(metadata.numbers("spacing"), [0.125, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(metadata.numbers("format"), [np.nan] * 4)
    assert metadata.values("spacing") == [0.125, None, None, "unknown"]
    assert metadata.values("view") == ["PA", None, None, "PA"]
    assert metadata.values("absent") == [None] * 4


def test_some_rows() -> None:
    part = Metadata.of(ROWS).take([3, 0, 3])
    assert [*part] == [ROWS[3], ROWS[0], ROWS[3]] and part.names == {*ROWS[0]}
    assert Metadata.of(ROWS).take([2]).names == set() and [*part.take([])] == []
    assert [*pickle.loads(pickle.dumps(part))] == [*part]


def test_rows_in_pieces_and_any_order() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            name: f"{name}{rng.integers(9)}" if name < "c" else float(rng.integers(9))
            for name in "abcd"
            if rng.random() < 0.7
        }
        for _ in range(10_000)
    ]
    metadata, order = Metadata(10_000), rng.permutation(10_000)
    for start in range(0, 10_000, 999):
        at = order[start : start + 999]
        metadata.put(at, [rows[row] for row in at])
    assert [*metadata] == rows
    assert metadata.values("a") == [row.get("a") for row in rows]
