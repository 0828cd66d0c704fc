"""Planned files are read as they were planned, and every failure has its reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from plainfilm.cluster import archive
from plainfilm.cluster.archive import read_row
from plainfilm.cluster.local_store import explain_read
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Row
from plainfilm.cluster.planning import make_plan
from plainfilm.cluster.stores import StoreError
from plainfilm.errors import ImageError
from plainfilm.pixels import LIMITS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "archive" / "study" / "1.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    (tmp_path / "archive" / "2.png").write_bytes(b"content")
    return path


def planned(path: Path) -> Row:
    found = path.stat()
    return Row(str(path), found.st_size, str(int(found.st_mtime)))


def reason_of(row: Row, *roots: Path) -> str:
    with pytest.raises(StoreError) as caught:
        read_row(row, [str(root) for root in roots])
    return caught.value.reason


def test_a_file_is_read_with_what_is_known_of_it(path: Path) -> None:
    assert read_row(planned(path)) == b"content"
    assert read_row(Row(str(path), None, None)) == b"content"
    assert read_row(Row(path.as_uri(), 7, None)) == b"content"


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"more content"),
        lambda path: os.utime(path, (0, 0)),
    ],
)
def test_a_changed_file_is_noticed(path: Path, change: Callable[[Path], object]) -> None:
    row = planned(path)
    change(path)
    assert reason_of(row) == "changed"


def test_a_missing_file_is_missing_unless_the_archive_is(path: Path, tmp_path: Path) -> None:
    row, root = planned(path), tmp_path / "archive"
    path.unlink()
    assert reason_of(row, root) == "missing"
    assert reason_of(row, tmp_path / "other") == "missing"
    path.parent.rmdir()
    assert reason_of(row, root) == "missing"
    (root / "2.png").unlink()  # as a folder to which no disk is mounted
    assert reason_of(row, root) == "unreachable"
    root.rmdir()
    assert reason_of(row, root) == "unreachable"


def test_the_roots_of_a_plan_are_those_of_its_files(path: Path, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    (tmp_path / "list.csv").write_text(f"uri\n{path}\n{root}/2.png\ns3://bucket/a.png\n")
    plan = make_plan(open_store(tmp_path / "out"), [tmp_path / "list.csv", root / "study"])
    assert plan.index.roots == (str(root), str(root / "study"))


def test_a_folder_and_a_pipe_are_unreadable(path: Path, tmp_path: Path) -> None:
    assert reason_of(Row(str(path.parent), None, None)) == "unreadable"
    os.mkfifo(tmp_path / "pipe.png")
    assert reason_of(Row(str(tmp_path / "pipe.png"), None, None)) == "unreadable"


def test_what_is_no_path_has_a_reason_and_keys_are_not_checked_for_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text("uri\nfile:///a%00b.png\nx\0y.png\n")
    plan = make_plan(open_store(tmp_path / "out"), [tmp_path / "list.csv"])
    rows = plan.rows(next(plan.chunks()))
    assert [reason_of(row) for row in rows] == ["unreadable"] * len(rows)
    pytest.importorskip("obstore")
    from plainfilm.cluster import object_store

    monkeypatch.setattr(object_store, "get", lambda uri, *_: uri.encode())
    for uri in ("s3://bucket/y;key=2.jpeg", "az://bucket/a&signature=b.jpeg", "s3://bucket/a?sig="):
        assert read_row(Row(uri, 7, "etag")) == uri.encode()


def test_errors_of_a_network_mount_are_temporary() -> None:
    import errno

    for number, reason in ((errno.ESTALE, "unreachable"), (errno.EACCES, "unreadable")):
        assert explain_read(OSError(number, os.strerror(number)), "a.png").reason == reason


def test_a_file_that_is_too_large_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LIMITS", replace(LIMITS, bytes=6))
    with pytest.raises(ImageError) as caught:
        read_row(planned(path))
    assert caught.value.reason == "too-large"
