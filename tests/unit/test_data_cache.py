"""The cache decodes every image once, even if files fail or processes are killed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from plainfilm import _files
from plainfilm.data import (
    Cache,
    Manifest,
    default_folder,
    fill_cache,
    fingerprint,
    load_dataset,
    make_splits,
)
from plainfilm.data import shards as shards_module
from plainfilm.data.contents import Contents
from plainfilm.data.file_hashes import FileHashes, hash_files
from plainfilm.data.file_index import FileIndex
from plainfilm.data.fill import check_space
from plainfilm.data.record_table import Records
from plainfilm.data.shards import Shard, read_shards, rows_per_shard
from plainfilm.decoding.process import DecodingProcess
from plainfilm.errors import DataError, ImageError, StorageError
from plainfilm.pixels import Image, read_image, read_image_and_text
from plainfilm.records import PixelSpec, Record, Task

DATA = Path(os.environ.get("PLAINFILM_DATA", Path(__file__).parents[3] / "shared" / "data"))
SPEC = PixelSpec(16)
TASK = Task("binary", ("sick",), ("normal", "sick"))


def read_number(path: str, spec: PixelSpec) -> Image:
    """Read a text file with a number as a grey square; some words make the process fail."""
    word = Path(path).read_text().split()[0]
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "leave":
        os._exit(3)
    if word == "broken":
        raise ImageError("corrupt", "the number is broken")
    if word == "defect":
        raise RuntimeError("oh")
    if word == "hungry":
        raise MemoryError
    if word == "greedy":
        return Image(np.ones((3 << 30,), np.uint8)[: spec.size**2].reshape(spec.size, -1))
    if word == "asleep":
        time.sleep(600)
    if word == "slow":
        time.sleep(0.1)
        word = "3"
    if word == "unlucky" and not Path(path).with_suffix(".met").exists():
        Path(path).with_suffix(".met").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "unlucky":
        word = "9"
    if word == "noisy":
        print("noise on standard output", flush=True)
        word = "7"
    if word == "shape":
        return Image(np.zeros((3, 5), np.uint8))
    pixels = np.full((spec.size, spec.size), int(word) % 256, np.uint8)
    return Image(pixels, {"number": float(word), "odd": float("nan"), "kind": "drawn"})


def make(root: Path, words: list[str], age: float = 100) -> Manifest:
    """Write files with an age (seconds) at which the index stores their hashes."""
    root.mkdir(parents=True, exist_ok=True)
    records = []
    for number, word in enumerate(words):
        path = root / f"{number:04d}.txt"
        path.write_text(f"{word} {number if word.isalpha() else ''}")
        os.utime(path, (time.time() - age,) * 2)
        records.append(
            Record(id=path.name, path=str(path), labels=(number % 2,), patient=path.name)
        )
    return Manifest("drawn", TASK, tuple(records))


class Listener:
    """A progress callback that records its calls and may stop the work."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.totals: dict[str, int] = {}
        self.stop_at = stop_at

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        self.totals[stage] = total
        assert done <= total
        if stage == "decoding images" and done == self.stop_at:
            raise KeyboardInterrupt


def numbers(cache: Cache) -> list[int]:
    return cache.all()[:, 0, 0].tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_images_come_in_the_order_of_the_manifest(tmp_path: Path, workers: int) -> None:
    words = [str(n) for n in range(100)]
    manifest = make(tmp_path / "data", words)
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=workers, reader=read_number)
    np.testing.assert_array_equal(cache.ids, manifest.ids)
    assert len(cache) == 100
    assert not cache.left_out
    images = cache.all()
    assert images.shape == (100, 16, 16)
    assert images.dtype == np.uint8
    assert (images == np.arange(100)[:, None, None]).all()
    assert [fact["number"] for fact in cache.metadata] == list(range(100))
    assert "odd" not in cache.metadata[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_second_time_nothing_is_decoded_or_read(tmp_path: Path, workers: int) -> None:
    manifest = make(tmp_path / "data", [*map(str, range(20)), "broken"])
    options = {"folder": tmp_path / "c", "workers": workers, "reader": read_number}
    first, second = Listener(), Listener()
    one = fill_cache(manifest, SPEC, progress=first, **options)  # type: ignore[arg-type]
    two = fill_cache(manifest, SPEC, progress=second, **options)  # type: ignore[arg-type]
    assert first.totals == {"reading files": 21, "decoding images": 21}
    assert second.totals == {}
    assert one.left_out == two.left_out
    assert [item.reason for item in two.left_out] == ["corrupt"]
    np.testing.assert_array_equal(one.all(), two.all())
    assert [*one.metadata] == [*two.metadata] and len(one.metadata) == 20
    np.testing.assert_array_equal(one.hashes, two.hashes)


def test_images_are_found_by_content_and_not_by_path(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    fill_cache(make(tmp_path / "one", ["1", "2", "3"]), SPEC, folder=folder, reader=read_number)
    listener = Listener()
    other = make(tmp_path / "two", ["3", "1", "1", "4"])
    cache = fill_cache(other, SPEC, folder=folder, reader=read_number, progress=listener)
    assert numbers(cache) == [3, 1, 1, 4]
    assert listener.totals == {"reading files": 4, "decoding images": 1}
    assert cache.hashes[1].tolist() == cache.hashes[2].tolist() != cache.hashes[0].tolist()


def test_changed_file_is_decoded_again(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1", "2"])
    options = {"folder": tmp_path / "c", "reader": read_number}
    fill_cache(manifest, SPEC, **options)  # type: ignore[arg-type]
    Path(manifest.records[0].path).write_text("9 ")
    assert numbers(fill_cache(manifest, SPEC, **options)) == [9, 2]  # type: ignore[arg-type]
    # The file was read right after its change, so that its hash is not stored.
    Path(manifest.records[0].path).write_text("8 ")
    assert numbers(fill_cache(manifest, SPEC, **options)) == [8, 2]  # type: ignore[arg-type]


def test_other_specs_and_other_readers_do_not_mix(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1", "2"])
    small = fill_cache(manifest, SPEC, folder=tmp_path / "c", reader=read_number)
    large = fill_cache(manifest, PixelSpec(32), folder=tmp_path / "c", reader=read_number)
    ours = fill_cache(manifest, SPEC, folder=tmp_path / "c")
    assert small.all().shape[1:] == (16, 16)
    assert large.all().shape[1:] == (32, 32)
    assert {item.reason for item in ours.left_out} == {"not-an-image"}
    assert len(ours) == 0
    assert ours.all().shape == (0, 16, 16)


@pytest.mark.parametrize("workers", [0, 2])
def test_files_that_fail_are_left_out(tmp_path: Path, workers: int) -> None:
    words = ["1", "broken", "defect", "hungry", "shape", "noisy", "5"]
    manifest = make(tmp_path / "data", words)
    gone = replace(manifest.records[0], id="gone", path=str(tmp_path / "gone"))
    folder = replace(manifest.records[0], id="folder", path=str(tmp_path))
    manifest = replace(manifest, records=(*manifest.records, gone, folder))
    options = {"folder": tmp_path / "c", "workers": workers, "reader": read_number}
    cache = fill_cache(manifest, SPEC, **options)  # type: ignore[arg-type]
    assert numbers(cache) == [1, 7, 5]
    assert {item.id: item.reason for item in cache.left_out} == {
        "0001.txt": "corrupt",
        "0002.txt": "decoder-failed",
        "0003.txt": "out-of-memory",
        "0004.txt": "decoder-failed",
        "gone": "missing",
        "folder": "unreadable",
    }
    # Only the type of the exception, since its message may quote the file.
    what = next(item.problem for item in cache.left_out if item.id == "0002.txt")
    assert what == "the decoder failed: RuntimeError"
    listener = Listener()
    again = fill_cache(manifest, SPEC, progress=listener, **options)  # type: ignore[arg-type]
    # Temporary failures are tried again; a broken file is not.
    assert listener.totals["decoding images"] == 3
    assert again.left_out == cache.left_out
    assert manifest.drop(cache.left_out).ids.tolist() == list(cache.ids)


def test_process_that_dies_costs_one_file(tmp_path: Path) -> None:
    words = [str(n) for n in range(60)]
    for place, word in ((0, "die"), (1, "leave"), (30, "die"), (59, "die")):
        words[place] = word
    manifest = make(tmp_path / "data", words)
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=2, reader=read_number)
    assert [item.id for item in cache.left_out] == ["0000.txt", "0001.txt", "0030.txt", "0059.txt"]
    assert {item.reason for item in cache.left_out} == {"decoder-died"}
    assert "signal 9" in cache.left_out[0].problem
    assert "exit status 3" in cache.left_out[1].problem
    assert numbers(cache) == [int(word) for word in words if word.isdigit()]


def test_a_process_killed_among_several_files_costs_none(tmp_path: Path) -> None:
    words = [str(n) for n in range(80)]
    words[3] = "unlucky"  # somebody kills the process at this moment
    manifest = make(tmp_path / "data", words)
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=2, reader=read_number)
    assert cache.left_out == ()
    assert numbers(cache) == [9 if word == "unlucky" else int(word) for word in words]


def test_files_that_killed_a_worker_are_not_decoded_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = DecodingProcess._open, list[int]()

    def once(process: DecodingProcess) -> subprocess.Popen[bytes] | None:
        started.append(1)
        return start(process) if len(started) == 1 else None

    monkeypatch.setattr(DecodingProcess, "_open", once)
    manifest = make(tmp_path / "data", ["1", "die", *map(str, range(2, 40))])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=1, reader=read_number)
    assert {item.reason for item in cache.left_out} == {"decoder-died"}
    gone = {int(item.id[:4]) for item in cache.left_out}
    assert 1 in gone and len(gone) <= 16 and 39 not in gone
    assert numbers(cache) == [1 if n == 0 else n for n in range(40) if n not in gone]


def test_select_returns_some_records_of_a_cache(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1", "broken", "3", "4", "broken"])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", reader=read_number)
    part = cache.select(manifest.records.take([3, 1, 0]))
    assert part.ids.tolist() == ["0003.txt", "0000.txt"] and numbers(part) == [4, 1]
    assert part.hashes.tolist() == cache.hashes[[2, 0]].tolist()
    assert [metadata["number"] for metadata in part.metadata] == [4, 1]
    assert [item.id for item in part.left_out] == ["0001.txt"]
    assert part.positions(manifest.records[:1]).tolist() == [1]
    with pytest.raises(DataError):
        part.positions(manifest.records[2:3])
    assert numbers(cache) == [1, 3, 4] and len(cache.select(manifest.records[:0])) == 0
    assert numbers(pickle.loads(pickle.dumps(part))) == [4, 1]


def test_the_cache_of_the_colour_reader_serves_the_plain_reader(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    records = []
    for number, tint in enumerate((0, 90)):
        path = tmp_path / "data" / f"{number}.jpg"
        grey = np.add.outer(np.arange(64), np.arange(64))
        Pillow.fromarray(np.dstack([grey, grey, grey + tint]).astype(np.uint8)).save(path)
        records.append(Record(id=path.name, path=str(path), labels=(0,), patient=path.name))
    manifest = Manifest("drawn", TASK, tuple(records))
    folder, listener = tmp_path / "c", Listener()
    known = fill_cache(manifest, SPEC, folder=folder, reader=read_image_and_text)
    assert [metadata["coloured"] for metadata in known.metadata] == [0, 1]
    plain = fill_cache(manifest, SPEC, folder=folder, progress=listener)
    assert "decoding images" not in listener.totals
    np.testing.assert_array_equal(plain.all(), known.all())
    # In the other direction the metadata lack the colour, and the files are decoded.
    fill_cache(manifest, SPEC, folder=tmp_path / "d")
    fill_cache(manifest, SPEC, folder=tmp_path / "d", reader=read_image_and_text, progress=listener)
    assert listener.totals["decoding images"] == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_disk_memory_and_cache_give_the_same_pixels(tmp_path: Path, workers: int) -> None:
    rng = np.random.default_rng(5)
    grainy = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)
    paths = []
    for kind in ("jpg", "png", "tiff", "bmp", "webp", "gif"):
        paths.append(tmp_path / f"colour.{kind}")
        Pillow.fromarray(grainy).save(paths[-1])
    for kind in ("png", "tiff"):
        paths.append(tmp_path / f"deep.{kind}")
        Pillow.fromarray(grainy[..., 0].astype(np.uint16) * 200).save(paths[-1])
    dicoms = DATA / "dicom" / "chest"
    if dicoms.is_dir():
        paths += [path for path in sorted(dicoms.glob("*.dcm")) if "no_pixel" not in path.name]
    records = tuple(
        Record(id=str(path), path=str(path), labels=(0,), patient=str(path)) for path in paths
    )
    manifest = Manifest("drawn", TASK, records)
    for spec in (PixelSpec(48), PixelSpec(33, "pad", trim=True), PixelSpec(40, "crop")):
        cache = fill_cache(manifest, spec, folder=tmp_path / "c", workers=workers)
        assert len(cache) >= 8
        for row, name in enumerate(cache.ids):
            disk = read_image(name, spec).pixels
            np.testing.assert_array_equal(read_image(Path(name).read_bytes(), spec).pixels, disk)
            np.testing.assert_array_equal(cache.gather([row])[0], disk)


def test_a_named_frame_has_a_cache_of_its_own(tmp_path: Path) -> None:
    pages = [Pillow.new("L", (20, 20), level) for level in (10, 200)]
    pages[0].save(tmp_path / "two.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.tiff")
    records = tuple(
        Record(id=name, path=str(tmp_path / name), labels=(0,), patient=name)
        for name in ("two.tiff", "one.tiff")
    )
    manifest = Manifest("drawn", TASK, records)
    assert numbers(fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=1)) == [10, 10]
    second = PixelSpec(16, frame=1)
    cache = fill_cache(manifest, second, folder=tmp_path / "c", workers=1)
    assert numbers(cache) == [200] and cache.metadata[0]["frame"] == 1
    assert [item.reason for item in cache.left_out] == ["no-such-frame"]
    assert second.key.startswith("16-squash-frame1-") and "frame" not in SPEC.key


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_fill_keeps_finished_shards(tmp_path: Path, workers: int) -> None:
    spec = PixelSpec(2048)
    assert rows_per_shard(2048) == 16
    manifest = make(tmp_path / "data", [str(n) for n in range(20)])
    options = {"folder": tmp_path / "c", "workers": workers, "reader": read_number}
    with pytest.raises(KeyboardInterrupt):
        fill_cache(manifest, spec, progress=Listener(18), **options)  # type: ignore[arg-type]
    listener = Listener()
    cache = fill_cache(manifest, spec, progress=listener, **options)  # type: ignore[arg-type]
    assert listener.totals["decoding images"] == 4
    assert numbers(cache) == list(range(20))
    # Two shards: in any order, within one, repeated.
    for positions in ([19, 0, 17, 3, 3], [5, 6, 7], [15, 16], [], list(range(20))):
        assert cache.gather(positions)[:, 5, 7].tolist() == positions
    with pytest.raises(IndexError):
        cache.gather([20])


def test_damaged_shard_is_decoded_again(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1", "2", "3"])
    options = {"folder": tmp_path / "c", "reader": read_number}
    fill_cache(manifest, SPEC, **options)  # type: ignore[arg-type]
    (pixels,) = (tmp_path / "c").glob("*/*.u8")
    whole = pixels.read_bytes()
    pixels.write_bytes(whole[:-1])
    assert numbers(fill_cache(manifest, SPEC, **options)) == [1, 2, 3]  # type: ignore[arg-type]
    assert pixels.read_bytes() == whole
    pixels.with_suffix(".json").write_text('{"schema": 1, "hash')
    for index in (tmp_path / "c" / "files").iterdir():
        index.write_text("[]")
    assert numbers(fill_cache(manifest, SPEC, **options)) == [1, 2, 3]  # type: ignore[arg-type]
    pixels.unlink()
    assert numbers(fill_cache(manifest, SPEC, **options)) == [1, 2, 3]  # type: ignore[arg-type]


def test_several_processes_fill_one_cache(tmp_path: Path) -> None:
    manifests = [make(tmp_path / "data", [str(n) for n in range(200)])] * 3
    manifests.append(make(tmp_path / "other", [str(n) for n in range(100, 300)]))
    caches: dict[int, Cache] = {}

    def fill(number: int) -> None:
        caches[number] = fill_cache(
            manifests[number], SPEC, folder=tmp_path / "c", workers=0, reader=read_number
        )

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        assert numbers(caches[number]) == list(range(200))
    assert numbers(caches[3]) == [n % 256 for n in range(100, 300)]
    assert not list((tmp_path / "c").rglob("*.part"))


def test_incomplete_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1"])
    options = {"folder": tmp_path / "c", "reader": read_number}
    fill_cache(manifest, SPEC, **options)  # type: ignore[arg-type]
    (shard,) = (tmp_path / "c").glob("*/*.u8")
    old = shard.parent / ".x.u8.a1b2c3d4.part"
    old.touch()
    os.utime(old, (0, 0))
    with _files.atomic_path(shard.parent / "y.u8") as new:
        fill_cache(make(tmp_path / "data", ["2"]), SPEC, **options)  # type: ignore[arg-type]
        assert not old.exists()
        assert new.exists()


def test_positions(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1", "broken", "3"])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", reader=read_number)
    assert cache.positions(manifest.records.take([2, 0])).tolist() == [1, 0]
    with pytest.raises(DataError, match="not in the cache"):
        cache.positions(manifest.records[1:2])


@pytest.mark.parametrize(
    ("rows", "read"),
    [
        ([3], 0),
        (range(0, 90, 7), 0),
        (range(5, 60), 1),
        (range(59, 4, -3), 1),
        (range(0, 90, 5), 18),
        ([4, 4, *range(80, 60, -1)], 1),
    ],
)
def test_few_images_come_from_the_map_and_many_from_the_file(
    tmp_path: Path, rows: list[int], read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make(tmp_path / "data", [*map(str, range(90))])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=0, reader=read_number)
    reads, read_into = list[int](), shards_module._read_into

    def counted(file: Any, first: int, out: Any) -> None:
        reads.append(first)
        read_into(file, first, out)

    monkeypatch.setattr(shards_module, "_read_into", counted)
    assert cache.gather(rows)[:, 5, 7].tolist() == [*rows]
    assert len(reads) == read


def test_images_of_several_shards_in_any_order(tmp_path: Path) -> None:
    for third in range(3):
        words = [*map(str, range(30 * third, 30 * third + 30))]
        manifest = make(tmp_path / f"{third}", words)
        fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=0, reader=read_number)
    manifest = make(tmp_path / "data", [*map(str, range(90))])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=0, reader=read_number)
    assert len(cache._shards) == 3
    shuffled = np.random.default_rng(0).permutation(90)
    assert (cache.gather(shuffled)[:, 0, 0] == shuffled).all()
    assert numbers(cache) == [*range(90)]
    assert cache.gather([])[:, 0, 0].tolist() == []


def test_a_shard_that_becomes_shorter_is_an_error(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", [*map(str, range(90))])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=0, reader=read_number)
    [pixels] = (tmp_path / "c").rglob("*.u8")
    os.truncate(pixels, 1000)
    with pytest.raises(StorageError, match="disappeared from the cache"):
        cache.all()


def test_an_open_cache_keeps_its_images_when_files_are_removed(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", [*map(str, range(90))])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=0, reader=read_number)
    for path in (tmp_path / "c").rglob("*.u8"):
        path.unlink()
    assert numbers(cache) == [*range(90)]


def test_only_rows_of_the_own_data_set_are_kept_in_memory(tmp_path: Path) -> None:
    options = {"folder": tmp_path / "c", "workers": 0, "reader": read_number}
    many = make(tmp_path / "many", [*map(str, range(40)), "broken"])
    fill_cache(many, SPEC, **options)  # type: ignore[arg-type]
    few = make(tmp_path / "few", ["7", "200", "broken"])
    cache = fill_cache(few, SPEC, **options)  # type: ignore[arg-type]
    assert numbers(cache) == [7, 200]
    assert [one.reason for one in cache.left_out] == ["corrupt"]
    assert [fact["number"] for fact in cache.metadata] == [7, 200]
    assert len(cache._shards) == 2  # 7 is in the shard of the other data set
    [place] = (tmp_path / "c").glob("16-*")
    path = few.records[0].path
    contents = Contents(FileHashes([path], cache.hashes[:1], np.zeros((1, 2), np.int64), {}))
    for shard in read_shards(place, 16):
        contents.add(shard)
    assert len(contents.missing()) == 0 and contents.failures == {}
    [metadata] = contents.to_cache(replace(few, records=few.records[:1]), SPEC).metadata
    assert metadata["number"] == 7


def test_a_file_is_not_a_cache_folder(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1"])
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        fill_cache(manifest, SPEC, folder=tmp_path / "file" / "c", reader=read_number)


SCRIPT = """
import json, os, sys
print("once", flush=True)
sys.path[:0] = [sys.argv[1]]
import test_data_cache as t
from pathlib import Path
manifest = t.make(Path(sys.argv[2]) / "data", [str(n) for n in range(80)])
if len(sys.argv) > 3:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    cache = t.fill_cache(manifest, t.SPEC, folder=Path(sys.argv[2]) / "c", workers=2,
                         reader=t.read_number)
    print(json.dumps(t.numbers(cache)))
except t.StorageError as error:
    print("storage", error.problem)
"""


def run_script(tmp_path: Path, *more: str) -> list[str]:
    """Run a script without a main guard."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", Path(__file__).parent, tmp_path, *more],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    assert run_script(tmp_path) == ["once", json.dumps(list(range(80)))]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are a matter of POSIX")
def test_full_disk_is_an_error_and_leaves_no_incomplete_shard(tmp_path: Path) -> None:
    assert run_script(tmp_path, "limited")[1].startswith("storage")
    (place,) = (tmp_path / "c").glob("16-*")
    assert not list(place.iterdir())


def test_too_little_disk_space_is_an_error_before_decoding(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="too little space") as caught:
        check_space(tmp_path / "c", 10**18)
    assert "1000000000.0 GB needed" in str(caught.value)
    check_space(tmp_path / "c", 1)


def test_reader_that_cannot_be_imported_is_used_in_this_process(tmp_path: Path) -> None:
    seen: list[int] = []

    def local(path: str, spec: PixelSpec) -> Image:
        seen.append(os.getpid())
        return read_number(path, spec)

    manifest = make(tmp_path / "data", ["1", "2"])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=2, reader=local)
    assert numbers(cache) == [1, 2]
    assert set(seen) == {os.getpid()}


def test_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1", "2"])

    def meddle(path: str, spec: PixelSpec) -> Image:
        drawn = read_number(path, spec)
        if drawn.metadata["number"] == 1:
            Path(path).write_text("99 ")
        return drawn

    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", reader=meddle)
    assert [item.reason for item in cache.left_out] == ["changed"]
    assert numbers(cache) == [2]


def test_file_index_does_not_store_files_that_may_still_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("1")

    def read() -> list[str]:
        listener = Listener()
        files = hash_files([str(path)], tmp_path / "i", listener)
        assert files.digests.tobytes() == hashlib.sha256(path.read_bytes()).digest()
        return [*listener.totals]

    assert read() == read() == ["reading files"]
    os.utime(path, (1000, 1000))
    assert (read(), read()) == (["reading files"], [])
    os.utime(path, (1001, 1001))
    assert (read(), read()) == (["reading files"], [])


def test_file_index_of_many_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [f"/data/{n % 300}/{n}.png" for n in range(5000)]
    stamps = rng.integers(0, 2**60, (5000, 2))
    digests = rng.integers(0, 2, (5000, 32), np.uint8)  # many end with zeros
    for rows in (slice(0, 3000), slice(2000, 5000)):
        FileIndex(tmp_path).store(paths[rows], stamps[rows], digests[rows])
    index, order = FileIndex(tmp_path), rng.permutation(5000)
    found, known = index.find([paths[row] for row in order], stamps[order])
    assert known.all() and (found == digests[order]).all()
    stamps[7, 1] += 1
    found, known = index.find(paths, stamps)
    assert np.flatnonzero(~known).tolist() == [7] and not found[7].any()
    index.store(paths[7:8], stamps[7:8], digests[8:9])
    assert (index.find(paths[7:8], stamps[7:8])[0] == digests[8]).all()
    assert not any(b"data" in path.read_bytes() for path in tmp_path.iterdir())  # no names


def test_damaged_and_older_files_of_the_index_are_replaced(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", ["1", "2"])
    paths = [record.path for record in manifest.records]
    first = hash_files(paths, tmp_path / "c", Listener())
    [stored] = (tmp_path / "c" / "files").iterdir()
    stored.write_bytes(b"damaged")
    stored.with_suffix(".json").write_text("{}")  # as earlier versions wrote it
    for stages in ({"reading files": 2}, {}):
        listener = Listener()
        assert (hash_files(paths, tmp_path / "c", listener).digests == first.digests).all()
        assert listener.totals == stages
    assert [*(tmp_path / "c" / "files").iterdir()] == [stored]


def test_hashes_before_an_interruption_are_kept(tmp_path: Path) -> None:
    manifest = make(tmp_path / "data", [*map(str, range(200))])
    paths = [record.path for record in manifest.records]

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if done > 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hash_files(paths, tmp_path / "c", stop)
    listener = Listener()
    hash_files(paths, tmp_path / "c", listener)
    assert 0 < listener.totals["reading files"] < 150


def test_memory_for_each_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash takes 32 bytes, the location 8, nine numbers 72, two texts 8, and the id 20."""
    monkeypatch.setattr("plainfilm.data.cache._MAPPED", 0)
    count, each = 20_000, 1000
    digests = np.random.default_rng(0).integers(0, 256, (count, 32), np.uint8)
    ids = [f"images/{number:09d}.png" for number in range(count)]
    labels = np.zeros((count, 1), np.float32)
    manifest = Manifest("drawn", TASK, Records.from_columns(labels, id=ids, path=ids, patient=ids))
    metadata = {f"number {n}": n for n in range(9)} | {"format": "png", "mode": "L"}
    tracemalloc.start()
    try:
        contents = Contents(FileHashes(ids, digests, np.zeros((count, 2), np.int64), {}))
        for start in range(0, count, each):
            rows = tuple({**metadata, "number 0": start + n} for n in range(each))
            contents.add(Shard(tmp_path / f"{start}.u8", digests[start : start + each], rows, {}))
        cache = contents.to_cache(manifest, SPEC)
        del contents, rows
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.metadata[count - 1]["number 0"] == count - 1
    assert held / count < 160


def test_only_some_of_many_shards_are_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plainfilm.data.cache._MAPPED", 2)
    monkeypatch.setattr(shards_module, "_ROWS", 10)
    manifest = make(tmp_path / "data", [*map(str, range(90))])
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c", workers=0, reader=read_number)
    assert (len(cache._maps), len(cache._shards)) == (2, 9)
    order = np.random.default_rng(0).permutation(90)
    assert cache.gather(order)[:, 0, 0].tolist() == order.tolist()
    for path in (tmp_path / "c").rglob("*.u8"):
        path.unlink()
    with pytest.raises(StorageError, match="disappeared"):
        cache.all()
    mapped = np.flatnonzero(cache._places[:, 0] < 2)
    assert cache.gather(mapped)[:, 0, 0].tolist() == mapped.tolist()


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("PLAINFILM_CACHE")
    assert default_folder().name == "plainfilm"


def test_a_cache_folder_that_cannot_be_written_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "x.png").write_bytes(b"an image")
    record = Record(id="x.png", path=str(tmp_path / "x.png"), labels=(0.0,), patient="p")
    manifest = Manifest("data", Task("binary", ("b",), ("a", "b")), (record,))
    with pytest.raises(StorageError, match="cannot be") as caught:
        fill_cache(manifest, SPEC, folder=tmp_path / "file" / "cache")
    assert "cache= or the variable PLAINFILM_CACHE" in str(caught.value.remedy)


def test_real_reader_and_fingerprint(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(30):
        path = tmp_path / "data" / ("normal", "sick")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (40 + number, 30)
        Pillow.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(path)
    manifest = make_splits(load_dataset(tmp_path / "data"))
    cache = fill_cache(manifest, SPEC, folder=tmp_path / "c")
    expected = np.stack([read_image(r.path, SPEC).pixels for r in manifest.records])
    np.testing.assert_array_equal(cache.all(), expected)
    found = fingerprint(manifest, cache).to_json()
    json.dumps(found, allow_nan=False)
    assert found["images"] == 30
    assert found["hash"] == manifest.hash
    assert found["formats"] == {"png": 30}
    assert found["width"]["median"] == 30
    assert found["height"]["minimum"] == 40
    assert found["height"]["maximum"] == 69
    assert found["prevalence"]["all"] == {"sick": 0.5}
    train = expected[manifest.splits == "train"].astype(float)
    assert found["intensity"]["images"] == len(train)
    assert found["intensity"]["mean"] == pytest.approx(train.mean(), abs=1e-3)
    assert found["intensity"]["std"] == pytest.approx(train.std(), abs=1e-3)
    assert fingerprint(manifest).formats is None


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(
    not (DATA / "kermany_originals").is_dir(),
    reason="the real images of PLAINFILM_DATA are not here",
)
def test_the_real_images(tmp_path: Path) -> None:
    manifest = load_dataset(DATA / "kermany_originals")
    spec = PixelSpec(64)
    cache = fill_cache(manifest, spec, folder=tmp_path / "c", workers=2)
    assert len(cache) == 120
    for number in range(0, 120, 17):
        expected = read_image(manifest.records[number].path, spec)
        np.testing.assert_array_equal(cache.gather([number])[0], expected.pixels)
        assert cache.metadata[number]["width"] == expected.metadata["width"]
    start = time.process_time()
    fill_cache(manifest, spec, folder=tmp_path / "c")
    assert time.process_time() - start < 0.5
