"""Plans: which files of a folder are planned, in which chunks, and what repeats."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest

from plainfilm.cluster import planning
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Plan, read_plan
from plainfilm.cluster.planning import make_plan
from plainfilm.cluster.repeats import Repeats
from plainfilm.cluster.uris import normal_uri, path_of
from plainfilm.data.sources.folders.tree import read_tree
from plainfilm.errors import RunError, SourceError, UsageError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def write_files(folder: Path, *names: str, data: bytes = PNG) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def uris(plan: Plan) -> list[str]:
    return [row.uri for chunk in plan.chunks() for row in plan.rows(chunk)]


def test_a_folder_is_planned_as_predict_lists_it(tmp_path: Path) -> None:
    archive = write_files(
        *(tmp_path / "archive", "b/2.png", "b/1.JPEG", "a.png", "b.png", "b-1/x.dcm"),
        *("b/IM0001", "b/1.2.840.5", "b/scan", ".hidden/3.png", "__MACOSX/4.png", "é.tiff"),
    )
    write_files(archive, "README", "notes.txt", "b/DICOMDIR", data=b"text")
    (archive / "link.png").symlink_to("a.png")
    (archive / "again").symlink_to("b")
    (archive / "b" / "loop").symlink_to("..")
    (archive / "broken.png").symlink_to("missing")
    plan = make_plan(open_store(tmp_path / "out"), [archive])
    found = uris(plan)
    assert sorted(found) == sorted(str(archive / one.name) for one in read_tree(archive).walk())
    assert found == sorted(found, key=str.encode)
    assert plan.index.rows == len(found)
    assert plan.index.left_out == {"not an image": 4}  # one of them twice, through the link
    rows = {row.uri: row for chunk in plan.chunks() for row in plan.rows(chunk)}
    assert rows[f"{archive}/a.png"].bytes == len(PNG)
    assert rows[f"{archive}/broken.png"].bytes is None


def test_links_out_of_the_archive_are_not_followed(tmp_path: Path) -> None:
    archive = write_files(tmp_path / "archive", "a.png")
    other = write_files(tmp_path / "archive2", "b.png")
    (archive / "other").symlink_to(other)
    (archive / "b.png").symlink_to(other / "b.png")
    (tmp_path / "named").symlink_to(archive)
    plan = make_plan(open_store(tmp_path / "out"), [tmp_path / "named"])
    assert uris(plan) == [str(tmp_path / "named" / "a.png")]
    assert plan.index.left_out == {"symbolic link out of the archive": 2}


def test_a_folder_that_is_unreachable_for_a_time_stops_the_planning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> Any:
        if path.endswith("b"):
            raise OSError(errno.ESTALE, "Stale file handle", path)
        return scandir(path)

    scandir = os.scandir
    for name in ("a", "b"):
        (tmp_path / "archive" / name).mkdir(parents=True)
        (tmp_path / "archive" / name / "1.png").write_bytes(b"1")
    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(SourceError, match="the folder cannot be listed"):
        make_plan(open_store(tmp_path / "out"), [tmp_path / "archive"])
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_not_utf8_has_a_file_uri(tmp_path: Path) -> None:
    archive = write_files(tmp_path / "archive", "\udce9 1.png")
    (uri,) = uris(make_plan(open_store(tmp_path / "out"), [archive]))
    assert uri.startswith("file:///") and uri.endswith("/%E9%201.png")
    assert path_of(uri).read_bytes() == PNG
    assert normal_uri(uri, "/") == uri


def test_chunks_have_limited_rows_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "CHUNK_ROWS", 5)
    monkeypatch.setattr(planning, "FILE_ROWS", 12)
    monkeypatch.setattr(planning, "CHUNK_BYTES", 4 * len(PNG))
    archive = write_files(tmp_path / "archive", *(f"{n:03d}.png" for n in range(30)))
    write_files(archive, *(f"{n:03d}.png" for n in range(20)), data=PNG[:20])
    write_files(archive, "004.png", data=PNG * 9)
    plan = make_plan(open_store(tmp_path / "out"), [archive])
    # By hand: 4 small, the large one alone, 5 and 2 up to 12; 5, 3 with 20 and 1; then 4 and 4, 4.
    assert [file.chunks for file in plan.index.files] == [(4, 1, 5, 2), (5, 5, 2), (4, 2)]
    assert uris(plan) == [str(archive / f"{n:03d}.png") for n in range(30)]
    assert plan.index.bytes == sum(path.stat().st_size for path in archive.iterdir())


def test_a_plan_is_kept_and_other_archives_are_refused(tmp_path: Path) -> None:
    archive = write_files(tmp_path / "archive", "1.png")
    other = write_files(tmp_path / "other", "2.png")
    store = open_store(tmp_path / "out")
    first = make_plan(store, [archive])
    write_files(archive, "later.png")
    assert uris(make_plan(store, [archive])) == uris(first)
    with pytest.raises(UsageError, match=r"has the plan of other files"):
        make_plan(store, [archive, other])


def test_an_interrupted_plan_begins_again(tmp_path: Path) -> None:
    archive = write_files(tmp_path / "archive", "1.png")
    write_files(tmp_path / "out" / "plan", "00000-killed.parquet", data=b"half")
    store = open_store(tmp_path / "out")
    assert read_plan(store) is None
    plan = make_plan(store, [archive])
    names = sorted(path.name for path in (tmp_path / "out" / "plan").iterdir())
    assert names == sorted(["DONE.json", Path(plan.index.files[0].name).name])


def test_the_first_complete_plan_is_used_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_files(tmp_path / "archive", "1.png")
    store = open_store(tmp_path / "out")
    commit, plans = planning._commit, []

    def another_first(store: planning.Store, index: planning.PlanIndex) -> Plan:
        monkeypatch.setattr(planning, "_commit", commit)
        plans.append(make_plan(store, [archive]))
        write_files(archive, "2.png")
        return commit(store, index)

    monkeypatch.setattr(planning, "_commit", another_first)
    assert make_plan(store, [archive]).identity == plans[0].identity
    assert len(list((tmp_path / "out" / "plan").iterdir())) == 2


@pytest.mark.parametrize("change", ["truncate", "remove"])
def test_a_changed_plan_is_noticed(tmp_path: Path, change: str) -> None:
    archive = write_files(tmp_path / "archive", "1.png")
    store = open_store(tmp_path / "out")
    path = tmp_path / "out" / make_plan(store, [archive]).index.files[0].name
    if change == "truncate":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    with pytest.raises(RunError, match="the plan was changed or is damaged"):
        make_plan(store, [archive])


def test_archives_without_images_are_errors(tmp_path: Path) -> None:
    store = open_store(tmp_path / "out")
    with pytest.raises(SourceError, match="does not exist"):
        make_plan(store, [tmp_path / "missing"])
    write_files(tmp_path / "empty", "notes.txt", data=b"text")
    with pytest.raises(SourceError, match=r"contains no images\n.*only 1 entry not an image"):
        make_plan(store, [tmp_path / "empty"])
    assert read_plan(store) is None


def test_files_of_overlapping_folders_are_planned_once(tmp_path: Path) -> None:
    archive = write_files(tmp_path / "archive", "a/1.png", "b/2.png")
    plan = make_plan(open_store(tmp_path / "out"), [archive, archive / "b"])
    assert uris(plan) == [str(archive / "a/1.png"), str(archive / "b/2.png")]
    assert plan.index.left_out == {"repeated": 1}
    assert len(list((tmp_path / "out" / "plan").iterdir())) == 2


def test_repeats_agree_with_a_set() -> None:
    values = np.random.default_rng(0).integers(0, 3000, 5000).tolist()
    seen: set[int] = set()
    expected = [row for row, value in enumerate(values) if value in seen or seen.add(value)]
    with Repeats() as repeats:
        for start in range(0, 5000, 1000):
            own = [f"s3://a/{value}" for value in values[start : start + 1000]]
            repeats.add(arrow.chunked_array([own]))
        assert repeats.find().tolist() == expected
