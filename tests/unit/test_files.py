"""Files are written completely or not at all; storage errors have clear messages."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm import _files
from plainfilm.errors import StorageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_text(tmp_path: Path) -> None:
    _files.write_bytes(tmp_path / "a" / "b.bin", b"\0\xff")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"\0\xff"
    _files.write_text(tmp_path / "c.txt", "Röntgen\n")
    assert (tmp_path / "c.txt").read_bytes() == b"R\xc3\xb6ntgen\n"
    assert names(tmp_path) == ["a", "c.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    _files.write_text(path, "old")
    with pytest.raises(RuntimeError), _files.atomic_path(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old", "a reader must not see half a file"
        assert temporary.parent == path.parent, "a rename across disks is not atomic"
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["kept.txt"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), _files.atomic_path(tmp_path / "new") as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_a_file_obeys_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        _files.write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for write in (
        lambda: _files.write_bytes(tmp_path / "file" / "below", b""),
        lambda: _files.make_folder(tmp_path / "file"),
        lambda: _files.make_folder(tmp_path / "file" / "below"),
    ):
        with pytest.raises(StorageError, match="a file is in the way"):
            write()


def test_a_folder_in_the_way_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        _files.write_bytes(tmp_path / "taken", b"")
    assert names(tmp_path) == ["taken"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_without_permission_to_write(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        _files.make_folder(tmp_path / "locked")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EACCES, "cannot be written"),
        (errno.EROFS, "cannot be written"),
        (errno.ENOTDIR, "in the way"),
        (errno.EIO, "cannot be written"),
    ],
)
def test_storage_errors_have_clear_messages(number: int, words: str) -> None:
    error = _files.explain_oserror(OSError(number, os.strerror(number)), "place")
    assert isinstance(error, StorageError)
    assert words in str(error)
    assert "place" in str(error)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="full"), _files.atomic_path(tmp_path / "a") as temporary:
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"\0")
        temporary.write_bytes(b"never")
    assert names(tmp_path) == []


def test_make_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    folder = _files.make_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert names(folder) == []
    assert _files.make_folder(folder) == folder


def test_canonical_json_is_one_text_for_one_value() -> None:
    assert _files.canonical_json({"b": [1, 2.5, None], "a": "ä"}) == '{"a":"ä","b":[1,2.5,null]}'
    assert _files.hash_json({"a": 1, "b": 2}) == _files.hash_json({"b": 2, "a": 1})
    assert _files.hash_json({"a": 1}) != _files.hash_json({"a": 2})
    with pytest.raises(ValueError, match="JSON compliant"):
        _files.canonical_json({"a": math.nan})


def test_json_files_come_back(tmp_path: Path) -> None:
    value = {"z": 1, "a": [0.1, "ß", None, True]}
    _files.write_json(tmp_path / "v.json", value)
    assert _files.parse_json((tmp_path / "v.json").read_bytes()) == value
    text = (tmp_path / "v.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["z", "a"], "keys stay in the order they were given"
    with pytest.raises(ValueError, match="JSON compliant"):
        _files.write_json(tmp_path / "n.json", {"a": math.inf})
    assert names(tmp_path) == ["v.json"]


def test_hashes_are_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "data").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert _files.hash_file(tmp_path / "data") == expected
    assert _files.hash_bytes(data) == _files.hash_bytes(memoryview(data)) == expected


SPECIAL = ("fifo", "socket", "folder", "loop", "/dev/zero", "/dev/null")


@pytest.fixture
def special(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that makes a path that is not a regular file."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")

    def make(kind: str) -> Path:
        path = tmp_path / "special"
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(tmp_path):
                one.bind("special")
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to("special" if kind == "loop" else kind)
        return path

    return make


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_are_read(kind: str, special: Callable[[str], Path]) -> None:
    path = special(kind)
    for read in (_files.read_regular, _files.read_json, _files.hash_file):
        with pytest.raises(OSError) as error:
            read(path)
        assert _files.reason_of(error.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 40)  # without content
    with pytest.raises(OSError, match="more than 268,435,456"):
        _files.read_json(tmp_path / "large")
    with pytest.raises(OSError, match="more than 3"):
        _files.read_regular(tmp_path / "large", 3)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", "", "\ufeff{}", "{"])
def test_json_that_is_none_is_a_value_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"."):
        _files.read_json(tmp_path / "v.json")


def test_a_name_that_is_not_utf_8_is_written_as_an_escape(tmp_path: Path) -> None:
    name = os.fsdecode(b"r\xf6ntgen.png")
    _files.write_json(tmp_path / "v.json", {name: 1})
    assert json.loads((tmp_path / "v.json").read_bytes()) == {name: 1}
    assert _files.hash_json(name)


@pytest.mark.parametrize("name", ["x" * 255, "ö" * 127, "a\nb\t"])
def test_every_name_that_the_disk_allows_can_be_written(name: str, tmp_path: Path) -> None:
    _files.write_text(tmp_path / name, "text")
    assert names(tmp_path) == [name]


@pytest.mark.skipif(os.name == "nt", reason="there the age of a file decides")
def test_leftovers_of_killed_processes_are_removed_but_not_what_is_being_written(
    tmp_path: Path,
) -> None:
    program = (
        "import sys, time; from pathlib import Path; from plainfilm._files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as part: print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program]
    killed, writing = (
        subprocess.Popen([*command, str(tmp_path / name)], stdout=subprocess.PIPE, text=True)
        for name in ("killed", "writing")
    )
    with killed, writing:
        for process in (killed, writing):
            assert process.stdout is not None
            assert process.stdout.readline()
        killed.kill()
        killed.wait()
        (tmp_path / ".of another program.part").touch()
        left = names(tmp_path)
        assert len(left) == 3
        _files.write_text(tmp_path / "new", "text")
        gone = {name for name in left if name.startswith(".killed.")}
        assert names(tmp_path) == sorted({*left, "new"} - gone)
        assert len(gone) == 1
        writing.kill()
