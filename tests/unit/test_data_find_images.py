"""Rows of tables are found as images: by path, by name in a tree, by a template."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import SourceError, UsageError


def files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def table(root: Path, cells: Sequence[str], header: str = "image") -> Path:
    """Write a table whose rows alternate between two classes."""
    lines = [f"{cell},{'ab'[n % 2]}" for n, cell in enumerate(cells)]
    path = root / "t.csv"
    path.write_text("\n".join([f"{header},label", *lines]) + "\n", encoding="utf-8")
    return path


def found(manifest: Manifest) -> list[str]:
    return sorted(manifest.ids.tolist())


def problems(manifest: Manifest) -> dict[str, str]:
    return {one.check: one.problem for one in manifest.findings}


@pytest.mark.parametrize("ending", ["", ".png", ".PNG", ".dcm"])
def test_names_are_found_in_a_tree(tmp_path: Path, ending: str) -> None:
    files(tmp_path, "s1/images/1.2.3.png", "s2/images/1.2.40.png", "s2/notes/1.2.3.txt")
    path = table(tmp_path, [f"1.2.3{ending}", f"1.2.40{ending}"])
    manifest = load_dataset(path, images=tmp_path)
    assert found(manifest) == ["s1/images/1.2.3.png", "s2/images/1.2.40.png"]
    assert problems(manifest)["files-found"].startswith("2 files of t.csv were found by name")
    other = "2 of them with another ending than in the table"
    assert (other in problems(manifest)["files-found"]) is (ending == ".dcm")
    with pytest.raises(SourceError, match="none of the files"):
        load_dataset(path)  # without images=, no tree is searched
    with pytest.raises(SourceError, match="images= is not a folder"):
        load_dataset(path, images=tmp_path / "nowhere")


def test_existing_paths_need_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    monkeypatch.setattr(os, "walk", lambda *_, **__: pytest.fail("the tree was searched"))
    manifest = load_dataset(table(tmp_path, ["a/1.png", "a/2.png"]), images=tmp_path)
    assert found(manifest) == ["a/1.png", "a/2.png"]
    assert "files-found" not in problems(manifest)


def test_a_few_files_at_other_paths_are_a_warning(tmp_path: Path) -> None:
    files(tmp_path, "1.png", "2.png", "backup/3.png", "s/4.png", "s/5.png")
    manifest = load_dataset(table(tmp_path, ["1.png", "2.png", "3.png"]), images=tmp_path)
    (warned,) = (one for one in manifest.findings if one.check == "files-found")
    assert (warned.severity, warned.files) == ("warning", ("backup/3.png",))
    manifest = load_dataset(table(tmp_path, ["4", "5"]), images=tmp_path)
    assert "files-found" in {one.check for one in manifest.findings if one.severity == "note"}


def test_a_name_of_several_files_is_ambiguous(tmp_path: Path) -> None:
    files(tmp_path, "full/1.png", "small/1.png", "full/2.png", "full/3.png")
    manifest = load_dataset(table(tmp_path, ["1.png", "2.png", "3.png"]), images=tmp_path)
    assert found(manifest) == ["full/2.png", "full/3.png"]
    (left_out,) = manifest.left_out
    assert left_out.reason == "ambiguous"
    assert "full/1.png, small/1.png" in left_out.problem
    assert problems(manifest)["ambiguous-files"].startswith("1 file in t.csv has a name")
    with pytest.raises(SourceError, match="fit several files each") as caught:
        load_dataset(table(tmp_path, ["1.png"]), images=tmp_path)
    assert "full/ and small/" in str(caught.value)


def test_numbers_that_lost_their_zeros(tmp_path: Path) -> None:
    files(tmp_path, "a/0001.png", "b/0012.png")
    path = table(tmp_path, ["1", "12.0"])
    manifest = load_dataset(path, images=tmp_path)
    assert found(manifest) == ["a/0001.png", "b/0012.png"]
    assert "other leading zeros" in problems(manifest)["files-found"]
    files(tmp_path, "a/12.0.png")  # one name is right, so the others are, too
    with pytest.raises(SourceError, match="only one class"):
        load_dataset(path, images=tmp_path)


def test_masks_are_not_images(tmp_path: Path) -> None:
    files(tmp_path, "images/1.png", "masks/1.png", "ManualMask/leftMask/1.png", "images/2.png")
    files(tmp_path, "masks/3.png", "labels/2.png")
    manifest = load_dataset(table(tmp_path, ["1", "2", "3"]), images=tmp_path)
    assert found(manifest) == ["images/1.png", "images/2.png"]
    assert [one.reason for one in manifest.left_out] == ["missing"]


def test_folders_that_differ_between_rows_must_be_right(tmp_path: Path) -> None:
    files(tmp_path, "train/p1/s1/v.jpg", "train/p3/s1/v.jpg")
    cells = [f"Set-v1.0/train/p{n}/s1/v.jpg" for n in (1, 3, 2)]
    manifest = load_dataset(table(tmp_path, cells), images=tmp_path)
    assert found(manifest) == ["train/p1/s1/v.jpg", "train/p3/s1/v.jpg"]
    assert problems(manifest)["missing-files"].startswith("1 file in t.csv does not exist")


def test_a_missing_file_of_an_existing_folder_is_missing(tmp_path: Path) -> None:
    files(tmp_path, "images/1.png", "images/2.png", "other/3.png")
    cells = ["images/1.png", "images/2.png", "images/3.png"]
    manifest = load_dataset(table(tmp_path, cells), images=tmp_path)
    assert found(manifest) == ["images/1.png", "images/2.png"]


def test_flattened_folders_are_found_if_names_are_unique(tmp_path: Path) -> None:
    files(tmp_path, "flat/1.png", "flat/2.png")
    manifest = load_dataset(table(tmp_path, ["part1/1.png", "part2/2.png"]), images=tmp_path)
    assert found(manifest) == ["flat/1.png", "flat/2.png"]


def test_names_in_another_form_of_unicode(tmp_path: Path) -> None:
    files(tmp_path, "x/Ae\u0301.png", "x/B.png")
    manifest = load_dataset(table(tmp_path, ["A\u00e9.png", "b.png"]), images=tmp_path)
    assert len(manifest) == 2


def test_rows_without_a_name(tmp_path: Path) -> None:
    files(tmp_path, "1.png")
    with pytest.raises(SourceError, match="none of the files"):
        load_dataset(table(tmp_path, ["", ""]), images=tmp_path)


def test_links_to_folders_above_end(tmp_path: Path) -> None:
    files(tmp_path, "x/1.png", "x/2.png")
    (tmp_path / "x" / "again").symlink_to(tmp_path, target_is_directory=True)
    manifest = load_dataset(table(tmp_path, ["1", "2"]), images=tmp_path)
    assert found(manifest) == ["x/1.png", "x/2.png"]


def test_a_template_builds_paths(tmp_path: Path) -> None:
    files(tmp_path, "f/p10/10032/s5/a.jpg", "f/p11/11045/s6/a.jpg")
    path = tmp_path / "t.csv"
    path.write_text("subject,study,name,label\n10032,5.0,a,x\n11045,6.0,a,y\n11045,7.0,,y\n")
    template = "f/p{subject:.2}/{subject}/s{study}/{name}.jpg"
    manifest = load_dataset(path, path_column=template)
    assert found(manifest) == ["f/p10/10032/s5/a.jpg", "f/p11/11045/s6/a.jpg"]
    assert [(one.id, one.problem) for one in manifest.left_out] == [
        ("row 3", "the cell of the path is blank")
    ]
    with pytest.raises(UsageError, match="has subject, study, name, label"):
        load_dataset(path, path_column=template, labels="x")


@pytest.mark.parametrize("template", ["{nowhere}.png", "{image", "{image!r}", "{image:d}", "{}x"])
def test_templates_are_checked(tmp_path: Path, template: str) -> None:
    files(tmp_path, "1.png")
    with pytest.raises(UsageError, match="path_column=") as caught:
        load_dataset(table(tmp_path, ["1.png"]), path_column=template)
    assert "'p{subject:.2}/{study}/{image}.jpg'" in str(caught.value)
