"""Data sets are named after their folders and tables, or a folder above where these repeat."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from plainfilm.cli.sources import add_source_arguments, load_each
from plainfilm.data import load_dataset
from plainfilm.data.sources.root_names import name_roots


def draw_hospitals(root: Path, *names: str) -> list[Path]:
    """Write a table ``labels.csv`` for each hospital, and empty images."""
    tables = []
    for name in names:
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(4):
            (folder / f"{number}.png").write_bytes(b"x")
        rows = "\n".join(f"{number}.png,{number % 2}" for number in range(4))
        tables.append(folder / "labels.csv")
        tables[-1].write_text(f"file,label\n{rows}\n")
    return tables


@pytest.mark.parametrize(
    ("roots", "names"),
    [
        (["a/labels.csv", "b/labels.csv"], ["a", "b"]),
        (["a/labels.csv.gz", "b/test.csv"], ["labels", "test"]),
        (["x/one/labels.csv", "x/two/labels.csv", "labels.csv"], ["one", "two", None]),
        (["one/x/labels.csv", "two/x/labels.csv"], ["one", "two"]),
        (["a/labels.csv", "b/labels.csv", "other/a"], ["labels", "labels-2", "a"]),
        (["a/labels.csv", "a/labels.parquet"], ["labels", "labels-2"]),
    ],
)
def test_names_that_repeat_come_from_a_folder_above(
    roots: list[str], names: list[str | None], tmp_path: Path
) -> None:
    found = name_roots([tmp_path / root for root in roots])
    assert len(set(found)) == len(found)
    assert [own for own, name in zip(found, names, strict=True) if name] == list(
        filter(None, names)
    )


def test_ids_and_data_sets_are_named_after_the_hospital(tmp_path: Path) -> None:
    tables = draw_hospitals(tmp_path, "hospital_a", "hospital_b")
    together = load_dataset(*tables)
    assert {own.id.split("/")[0] for own in together.records} == {"hospital_a", "hospital_b"}
    assert together.name == "hospital_a"
    parser = ArgumentParser()
    add_source_arguments(parser)
    each = load_each(parser.parse_args([str(table) for table in tables]))
    assert [own.name for own in each] == ["hospital_a", "hospital_b"]
    alone = load_each(parser.parse_args([str(tables[0])]))
    assert [own.name for own in alone] == ["labels"]
