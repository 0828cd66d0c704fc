"""Official lists of files assign splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainfilm.data import Manifest, load_dataset, make_splits
from plainfilm.errors import LabelError, SourceError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with ten images of two classes, the first of each with the same name."""
    for label in ("healthy", "ill"):
        for number in range(5):
            path = tmp_path / "data" / label / f"{number if number == 0 else label}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    return tmp_path


def write(root: Path, name: str, *lines: str) -> Path:
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / name


def splits(manifest: Manifest) -> dict[str, str]:
    return {one.id: one.official for one in manifest.records if one.official}


def checks(manifest: Manifest) -> dict[str, tuple[str, int]]:
    return {one.check: (one.problem, one.count) for one in manifest.findings}


def test_names_with_and_without_folders_and_endings(root: Path) -> None:
    train = write(root, "train_val_list.txt", "healthy1.png", "ill1", "x/ill/00.png", "gone.png")
    test = write(root, "test_list.txt", "healthy2", "", "ill\\ill2.jpg")
    manifest = load_dataset(root / "data", split_lists=[train, test])
    assert splits(manifest) == {
        "healthy/healthy1.png": "train",
        "healthy/healthy2.png": "test",
        "ill/00.png": "train",
        "ill/ill1.png": "train",
        "ill/ill2.png": "test",
    }
    found = checks(manifest)
    assert found["splits-from-lists"][0].endswith("test_list.txt: train 3, test 2")
    assert found["split-list-names"] == ("1 name of train_val_list.txt is not in the data", 1)
    assert found["not-in-split-lists"] == ("5 images are in none of the lists of splits", 5)
    assert {one.split for one in make_splits(manifest).records if one.official == "test"} == {
        "test"
    }


def test_lists_replace_a_column(root: Path) -> None:
    rows = ["file,label,split", "healthy/healthy1.png,a,train", "ill/ill1.png,b,test"]
    table = write(root / "data", "t.csv", *rows)
    lists = [write(root, "train.txt", "ill1"), write(root, "validation.txt", "healthy1.png")]
    manifest = load_dataset(table, split_lists=lists)
    assert splits(manifest) == {"healthy/healthy1.png": "validation", "ill/ill1.png": "train"}
    assert checks(manifest)["split-disagreement"][1] == 2


def test_lists_replace_folders_and_names_of_tables(tmp_path: Path) -> None:
    for name in ("train/a/1", "train/b/2", "test/a/3", "test/b/4"):
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    test = write(tmp_path, "test_list.txt", "1.png", "4.png")
    manifest = load_dataset(tmp_path / "data", split_lists=test)
    assert splits(manifest) == {"train/a/1.png": "test", "test/b/4.png": "test"}
    assert checks(manifest)["not-in-split-lists"][1] == 2
    paths = [
        write(tmp_path / "data", "train.csv", "file,label", "train/a/1.png,a", "train/b/2.png,b"),
        write(tmp_path / "data", "test.csv", "file,label", "test/a/3.png,a", "test/b/4.png,b"),
    ]
    manifest = load_dataset(*paths, split_lists=write(tmp_path, "test_list.txt", "2.png"))
    assert splits(manifest) == {"train/train/b/2.png": "test"}


@pytest.mark.parametrize(
    ("name", "lines", "error", "message"),
    [
        ("names.txt", ["ill1.png"], UsageError, "does not say its split"),
        ("test.txt", ["00.png"], SourceError, "fit several images each"),
        ("test.txt", ["1 2 healthy"], SourceError, "names no image of the data"),
        ("test.txt", [], SourceError, "names no image of the data"),
        ("test.txt", ["ill4.png"], LabelError, "1 image is in lists of several splits"),
    ],
)
def test_lists_are_checked(
    root: Path, name: str, lines: list[str], error: type[Exception], message: str
) -> None:
    lists = [write(root, "train.txt", "ill4.png"), write(root, name, *lines)]
    with pytest.raises(error, match=message):
        load_dataset(root / "data", split_lists=lists)


def test_a_list_that_does_not_exist(root: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        load_dataset(root / "data", split_lists=root / "test_list.txt")
