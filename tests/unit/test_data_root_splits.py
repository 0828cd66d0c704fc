"""Official splits of tables: from columns, names of tables, and folders in paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from plainfilm.data import Manifest, load_dataset, make_splits
from plainfilm.errors import SourceError


def tables(
    root: Path, contents: Mapping[str, str], folders: tuple[str, ...] = ("",), n: int = 4
) -> list[Path]:
    """Write tables of ``n`` images each; ``contents`` has their further columns by name."""
    paths = []
    for name, column in contents.items():
        header, _, cells = column.partition(":")
        lines = [f"file,label,{header}" if header else "file,label"]
        for number in range(n):
            folder = folders[number % len(folders)]
            file = root / folder / f"{name}{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
            values = cells.split(",")
            cell = f",{values[number % len(values)]}" if header else ""
            lines.append(f"{file.relative_to(root)},{'ab'[number // 2 % 2]}{cell}")
        (root / f"{name}.csv").write_text("\n".join(lines))
        paths.append(root / f"{name}.csv")
    return paths


def counts(manifest: Manifest) -> dict[str | None, int]:
    return dict(Counter(record.official for record in manifest.records))


def problems(manifest: Manifest) -> dict[str, str]:
    return {found.check: found.problem for found in manifest.findings}


def test_tables_named_after_splits_keep_them(tmp_path: Path) -> None:
    names = dict.fromkeys(("train", "cxr_valid", "test_list"), "")
    manifest = load_dataset(*tables(tmp_path, names, n=4))
    assert counts(manifest) == {"train": 4, "validation": 4, "test": 4}
    text = problems(manifest)["splits-from-names"]
    assert text.endswith("train from train; validation from cxr_valid; test from test_list")
    assert "split-disagreement" not in problems(manifest)


def test_rows_of_the_test_table_are_never_trained_on(tmp_path: Path) -> None:
    manifest = make_splits(load_dataset(*tables(tmp_path, {"more": "", "test": ""}, n=40)))
    assert {r.id for r in manifest.records if r.split == "test"} == {
        r.id for r in manifest.records if r.id.startswith("test/")
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("nih_train", "nih_test"), {"train": 4, "test": 4}),
        (("train_COVIDx9A", "val_COVIDx9A"), {"train": 4, "validation": 4}),
        (("train_positive", "test_negative"), {"train": 4, "test": 4}),
        (("pcr_test", "ward"), {None: 8}),
        (("train_val_list", "test_list"), {"train": 4, "test": 4}),
        (("nih_train", "nih_test", "siteb"), {"train": 4, "test": 4, None: 4}),
        (("siteb", "nih_test"), {"test": 4, None: 4}),
        (("train_test_split_train", "train_test_split_test"), {"train": 4, "test": 4}),
        (("nih_train_val", "nih_test"), {"train": 4, "test": 4}),
        (("pcr_train", "pcr_test"), {"train": 4, "test": 4}),
    ],
)
def test_other_words_in_names_of_tables(
    tmp_path: Path, names: tuple[str, ...], expected: dict[str | None, int]
) -> None:
    manifest = load_dataset(*tables(tmp_path, dict.fromkeys(names, "")))
    assert counts(manifest) == expected
    warned = len(expected) > 1 and None in expected
    assert ("images-without-split" in problems(manifest)) == warned


@pytest.mark.parametrize("names", [("train",), ("test_a", "test_b"), ("ward_1", "ward_2")])
def test_names_that_do_not_differ_in_meaning_give_no_split(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    manifest = load_dataset(*tables(tmp_path, dict.fromkeys(names, "")))
    assert set(counts(manifest)) == {None}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("split:train,test", {"train": 2, "test": 2}),
        ("Dataset_type:TRAIN,Validate", {"train": 2, "validation": 2}),
        ("subset:dev,holdout", {"validation": 2, "test": 2}),
        ("partition:training set,", {"train": 2, None: 2}),
        ("fold:0,1", {None: 4}),
        ("dataset:NIH,test", {None: 4}),
        ("stage:train,test", {"train": 2, "test": 2}),
        ("Split 1:train,val,test,", {"train": 1, "validation": 1, "test": 1, None: 1}),
        ("view:train,PA,test,AP", {None: 4}),
        ("mode:train,train", {None: 4}),
        ("is_test:0,1", {None: 2, "test": 2}),
        ("isTest:False,True", {None: 2, "test": 2}),
        ("In test set:0,1", {None: 2, "test": 2}),
        ("invalid:0,1", {None: 4}),
        ("is_valid:0,1", {None: 4}),
        ("test:0,1", {None: 4}),
        ("set:train,test,unused,test", {"train": 1, "test": 2, None: 1}),
    ],
)
def test_split_columns(tmp_path: Path, column: str, expected: dict[str | None, int]) -> None:
    manifest = load_dataset(*tables(tmp_path, {"t": column}))
    assert counts(manifest) == expected
    found = problems(manifest)["columns-chosen"]
    assert ("split from" in found) == (set(expected) != {None})


def test_a_certain_column_counts_before_a_possible_one(tmp_path: Path) -> None:
    (path,) = tables(tmp_path, {"t": "split:train,test"})
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},set", *(f"{line},test" for line in lines[1:])]))
    assert counts(load_dataset(path)) == {"train": 2, "test": 2}


def two_columns(root: Path, column: str, name: str, cells: list[str]) -> Path:
    (path,) = tables(root, {"t": column})
    first, *lines = path.read_text().splitlines()
    rows = [f"{line},{cell}" for line, cell in zip(lines, cells, strict=True)]
    path.write_text("\n".join([f"{first},{name}", *rows]))
    return path


def test_columns_of_splits_that_disagree_are_named(tmp_path: Path) -> None:
    cells = ["test", "test", "train", "test"]
    path = two_columns(tmp_path, "stage:train,test", "cohort", cells)
    with pytest.raises(SourceError, match="could be the split: stage, cohort"):
        load_dataset(path)
    manifest = load_dataset(path, split_column="cohort")
    assert counts(manifest) == {"train": 1, "test": 3}
    path = two_columns(tmp_path, "stage:train,test", "split", cells)
    manifest = load_dataset(path)
    assert counts(manifest) == {"train": 1, "test": 3}
    text = problems(manifest)["split-disagreement"]
    assert text.startswith("1 row has another split in the column 'stage'")
    path = two_columns(tmp_path, "stage:train,test", "mode", ["train", "test"] * 2)
    assert counts(load_dataset(path)) == {"train": 2, "test": 2}


def test_marks_of_several_splits(tmp_path: Path) -> None:
    path = two_columns(tmp_path, "is_test:0,1", "is_val", list("1000"))
    assert counts(load_dataset(path)) == {"validation": 1, "test": 2, None: 1}
    path = two_columns(tmp_path, "is_test:0,1", "is_val", list("0100"))
    with pytest.raises(SourceError, match="a row of the table is in several splits"):
        load_dataset(path)


def test_unknown_names_of_splits_are_reported(tmp_path: Path) -> None:
    manifest = load_dataset(*tables(tmp_path, {"t": "split:treino,teste"}))
    text = problems(manifest)["split-column-not-used"]
    assert text.endswith("has no known name of a split (teste, treino) and was not used")
    paths = tables(tmp_path, {"t": "set:train,test,unused,test"})
    for manifest in (load_dataset(*paths), load_dataset(*paths, split_column="set")):
        assert problems(manifest)["images-without-split"].startswith("1 row has no split, since")
    with pytest.raises(SourceError, match="unknown names") as caught:
        load_dataset(*tables(tmp_path, {"t": "split:train,test,unused,test"}))
    assert "split_column=" in str(caught.value)


@pytest.mark.parametrize("folders", [("train", "test", "more"), ("test", "more", "more")])
def test_folders_of_paths_are_splits_if_some_rows_have_none(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    (path,) = tables(tmp_path, {"all": ""}, folders=folders, n=12)
    manifest = load_dataset(path)
    expected = Counter({"train": "train", "test": "test"}.get(folder) for folder in folders)
    assert counts(manifest) == {split: 4 * number for split, number in expected.items()}
    without = f"{4 * expected[None]} images have no split"
    assert problems(manifest)["images-without-split"].startswith(without)


def test_folders_of_paths_are_splits_if_they_differ(tmp_path: Path) -> None:
    (path,) = tables(tmp_path, {"all": ""}, folders=("cxr/train/p1", "cxr/valid/p2"))
    manifest = load_dataset(path)
    assert counts(manifest) == {"train": 2, "validation": 2}
    assert problems(manifest)["splits-from-folders"].endswith("train 2, validation 2")
    (mixed,) = tables(tmp_path, {"mixed": ""}, folders=("cxr/train/p1", "cxr/more/p2"))
    assert counts(load_dataset(mixed)) == {None: 4}
    (one,) = tables(tmp_path, {"one": ""}, folders=("cxr/train/p1",))
    assert counts(load_dataset(one)) == {None: 4}


def test_a_column_decides_and_disagreement_is_reported(tmp_path: Path) -> None:
    contents = {"train": "split:train,test", "test": "split:test"}
    manifest = load_dataset(*tables(tmp_path, contents))
    assert counts(manifest) == {"train": 2, "test": 6}
    (found,) = [f for f in manifest.findings if f.check == "split-disagreement"]
    assert (found.severity, found.count) == ("warning", 2)
    assert found.files == ("train/train1.png", "train/train3.png")
    (path,) = tables(tmp_path, {"all": "split:test,test"}, folders=("train", "test"))
    manifest = load_dataset(path)
    assert counts(manifest) == {"test": 4}
    assert problems(manifest)["split-disagreement"].startswith("2 images have another split")
