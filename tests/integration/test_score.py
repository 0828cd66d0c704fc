"""`plainfilm score`: probabilities of `predict`, and every failure costs no more than it must."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from plainfilm.bundle import Bundle, Rejection, read_bundle
from plainfilm.cli.main import main
from plainfilm.cluster import planning
from plainfilm.cluster.archive import read_row
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Row
from plainfilm.cluster.run_job import run_job
from plainfilm.cluster.score import prepare
from plainfilm.cluster.scoring_job import ScoringJob, ScoringWorker, load_bundle
from plainfilm.cluster.stores import StoreError
from plainfilm.decoding.decode import Reader
from plainfilm.decoding.sandbox import Sandbox
from plainfilm.errors import BundleError, SourceError, StorageError
from plainfilm.evaluation import evaluate_predictions
from plainfilm.pixels import Image, read_image
from plainfilm.records import PixelSpec
from plainfilm.runtime import Predictor
from s3_server import BUCKET, S3Server, start_s3_server

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.slow


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let chunks have at most 10 images."""
    monkeypatch.setattr(planning, "CHUNK_ROWS", 10)


@pytest.fixture
def archive(tmp_path: Path, doubtful_files: dict[str, bytes], draw_grey: Draw) -> Path:
    """Draw 34 files in three folders, some of them unreadable or unlike the training images."""
    root = tmp_path / "archive"
    for n in range(26):
        draw_grey(root / f"{n % 2}" / f"{n}.png", 40 + 6 * n)
    (root / "2").mkdir()
    for name, content in doubtful_files.items():
        (root / "2" / (name if "dicom" in name else f"{name}.png")).write_bytes(content)
    return root


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Return all rows of an output; each URI must have one."""
    rows: list[dict[str, Any]] = parquet.read_table(out / "parts").to_pylist()
    assert len({row["uri"] for row in rows}) == len(rows)
    return rows


@pytest.mark.usefixtures("small_chunks")
def test_rows_are_those_of_predict_to_the_bit(
    archive: Path, make_bundle: MakeBundle, tmp_path: Path, capsys: Capture
) -> None:
    bundle = make_bundle(rejection=Rejection(threshold=0.9, rule="drawn", validation_share=0.0))
    out = tmp_path / "out"
    command = ["score", str(archive), "--bundle", str(bundle.folder), "--out", str(out)]
    assert main([*command, "--workers", "2"]) == 0
    output = capsys.readouterr()
    rows = rows_of(out)
    assert len(rows) == 34
    assert output.out.startswith("34 images, no predicted class: ")
    assert output.out.endswith(f"finished: {out}\n")
    assert "predicting 34/34" in output.err
    predictor = Predictor(bundle)
    predictions = predictor.predict([row["uri"] for row in rows])
    for row, one in zip(rows, predictions, strict=True):
        for label in bundle.task.labels:
            own = row[f"probability_{label}"]
            expected = None if one.rejected else one.probabilities.get(label)
            assert own == expected, "as stored, without rounding"
        assert row["novelty"] == one.novelty
        cells = one.to_row(())
        for name in ("predicted", "rejected", "indeterminate", "reason", "problem"):
            assert row[name] == cells[name]
        content = Path(row["uri"]).read_bytes()
        assert row["bytes"] == len(content)
        assert len(row["sha256"]) == 64
    assert [*rows[0]] == [
        *("uri", "bytes", "sha256", "probability_bright", "predicted", "novelty", "rejected"),
        *("indeterminate", "reason", "problem", "machine"),
    ]
    reasons = {row["reason"] for row in rows}
    assert {None, "truncated", "blank", "unlike-training"} < reasons
    # The same command has nothing to do; another model is refused.
    before = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()} == before
    other = make_bundle(tmp_path / "other", gains=(2.0,))
    command[3] = str(other.folder)
    assert main(command) == 2
    assert "is the output of another job" in capsys.readouterr().err


def read_marked(source: bytes, spec: PixelSpec) -> Image:
    """Read an image; some contents stand for a defect of a decoder, and one for a slow file."""
    if source == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    if source == b"hang":
        time.sleep(600)
    return read_image(source, spec)


def read_slowly(source: bytes, spec: PixelSpec) -> Image:
    """Read an image, and take a while."""
    time.sleep(0.02)
    return read_image(source, spec)


@dataclass(frozen=True)
class SlowJob(ScoringJob):
    """A job that takes 20 ms for each image."""

    reader: Reader = read_slowly


@dataclass(frozen=True)
class DeadlyJob(ScoringJob):
    """A job: its worker dies on a chunk with a file of some name."""

    def open(self) -> ScoringWorker:
        def read(row: Row) -> bytes:
            if row.uri.endswith("13.png"):
                os.kill(os.getpid(), signal.SIGKILL)
            return read_row(row)

        return ScoringWorker(self, read)


@dataclass(frozen=True)
class DistantJob(ScoringJob):
    """A job with an archive: its files with an even number can be cut off."""

    def open(self) -> ScoringWorker:
        def read(row: Row) -> bytes:
            if Path(self.out, "cut").exists() and int(Path(row.uri).stem) % 2 == 0:
                raise StoreError("unreachable", "the store does not answer")
            return read_row(row)

        return ScoringWorker(self, read)


JOBS = {job.__name__: job for job in (SlowJob, DeadlyJob, DistantJob)}


def run_main(job: str, *arguments: str) -> int:
    """Run the command line with another job."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plainfilm.cluster.planning.CHUNK_ROWS", 10)
        patch.setattr("plainfilm.cluster.score.ScoringJob", JOBS.get(job, ScoringJob))
        return main(["score", *arguments])


def start(job: str, *arguments: object) -> subprocess.Popen[str]:
    """Start the command line with another job in a process of its own."""
    here = Path(__file__).parent
    folders = [str(here), str(here.parent)]
    # Processes that a shell starts in the background ignore Ctrl-C.
    code = (
        f"import signal, sys; sys.path[:0] = {folders!r}; from test_score import run_main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "sys.exit(run_main(*sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, job, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def images(tmp_path: Path, draw_grey: Draw) -> Path:
    """Draw 60 images."""
    for n in range(60):
        draw_grey(tmp_path / "images" / f"{n:02d}.png", 40 + 3 * n)
    return tmp_path / "images"


@pytest.fixture
def arguments(images: Path, make_bundle: MakeBundle, tmp_path: Path) -> list[str]:
    """Return the arguments of a call with two workers."""
    bundle = make_bundle().folder
    return [
        *(str(images), "--bundle", str(bundle), "--out", str(tmp_path / "out"), "--workers", "2")
    ]


def wait_for_parts(out: Path, count: int) -> None:
    until = time.monotonic() + 60
    while len([*(out / "parts").glob("*.parquet")]) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def descendants(pid: int) -> set[int]:
    """Return the processes below a process."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                own = int(path.parent.name)
                found |= {own} | descendants(own)
    return found


def all_end(pids: set[int]) -> bool:
    """Wait for a few seconds until processes have ended."""
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


def predicted_rows(out: Path, images: Path) -> list[dict[str, Any]]:
    """Return the rows of an output, after checking that every image has a prediction."""
    rows = rows_of(out)
    assert sorted(row["uri"] for row in rows) == sorted(map(str, images.iterdir()))
    assert {row["reason"] for row in rows} == {None}
    return rows


def test_a_killed_worker_costs_no_row(arguments: list[str], images: Path, tmp_path: Path) -> None:
    running = start("SlowJob", *arguments)
    wait_for_parts(tmp_path / "out", 1)
    workers = [pid for pid in descendants(running.pid) if os.getpgid(pid) == pid]
    assert len(workers) == 2
    group = descendants(workers[0]) | {workers[0]}
    assert len(group) == 2, "a worker and its decoding process"
    os.kill(workers[0], signal.SIGKILL)
    output, errors = running.communicate(timeout=60)
    assert (running.returncode, output.splitlines()[0]) == (0, "60 images"), errors
    predicted_rows(tmp_path / "out", images)
    assert all_end(group)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_command_ends_its_processes_and_is_continued(
    arguments: list[str], images: Path, tmp_path: Path, number: int
) -> None:
    running = start("SlowJob", *arguments)
    wait_for_parts(tmp_path / "out", 2)
    processes = descendants(running.pid)
    assert len(processes) == 4
    os.kill(running.pid, number)
    _, errors = running.communicate(timeout=10)
    assert all_end(processes)
    if number == signal.SIGINT:
        assert running.returncode == 130
        assert "the same command continues" in errors
        assert "Traceback" not in errors
    parts = {path: path.read_bytes() for path in (tmp_path / "out" / "parts").glob("*.parquet")}
    assert 2 <= len(parts) < 6
    assert not (tmp_path / "out" / "DONE.json").exists()
    assert run_main("", *arguments) == 0
    assert {path: path.read_bytes() for path in parts} == parts, "they were not written again"
    predicted_rows(tmp_path / "out", images)


def test_two_commands_work_on_one_output(
    arguments: list[str], images: Path, tmp_path: Path
) -> None:
    running = [start("SlowJob", *arguments) for _ in range(2)]
    for one in running:
        _, errors = one.communicate(timeout=60)
        assert one.returncode == 0, errors
    predicted_rows(tmp_path / "out", images)
    assert (tmp_path / "out" / "DONE.json").exists()
    assert len([*(tmp_path / "out" / "plan").glob("*.parquet")]) == 1


@pytest.mark.parametrize("on", ["local", "ray"])
def test_hostile_files_cost_a_row_each(
    arguments: list[str], images: Path, tmp_path: Path, on: str
) -> None:
    if on == "ray":
        pytest.importorskip("ray")
    whole = (images / "31.png").read_bytes()
    for name, content in {"03": b"die", "14": b"hang", "25": whole[:50], "36": b""}.items():
        (images / f"{name}.png").write_bytes(content)
    job, ledger = prepare([images], arguments[2], tmp_path / "out")
    job = replace(job, reader=read_marked, sandbox=Sandbox(seconds=1))
    driven = run_job(job, ledger, stage="predicting", on=on, workers=2)
    assert (driven.rows, driven.failed) == (60, {})
    reasons = {Path(row["uri"]).stem: row["reason"] for row in rows_of(tmp_path / "out")}
    found = {name: reason for name, reason in reasons.items() if reason}
    expected = {"03": "decoder-died", "14": "decoder-timeout", "25": "truncated", "36": "empty"}
    assert found == expected
    assert driven.counts == dict.fromkeys(expected.values(), 1)


def test_changed_and_missing_files_have_a_row_and_can_be_asked_again(
    arguments: list[str], images: Path, tmp_path: Path, capsys: Capture
) -> None:
    prepare([images], arguments[2], tmp_path / "out")
    (images / "05.png").write_bytes((images / "06.png").read_bytes() + b"more")
    (images / "17.png").write_bytes(b"no image")
    os.utime(images / "17.png", (1e9, 1e9))
    kept = tmp_path / "28.png"
    (images / "28.png").rename(kept)
    assert run_main("", *arguments) == 0
    assert "60 images, no predicted class: 2 changed, 1 missing\n" in capsys.readouterr().out
    before = {row["uri"]: row for row in rows_of(tmp_path / "out")}
    reasons = {Path(uri).stem: row["reason"] for uri, row in before.items() if row["reason"]}
    assert reasons == {"05": "changed", "17": "changed", "28": "missing"}
    kept.rename(images / "28.png")
    assert run_main("", *arguments) == 0, "without the option they are not asked again"
    assert "1 missing" in capsys.readouterr().out
    assert run_main("", *arguments, "--retry-errors") == 0
    assert "60 images, no predicted class: 2 changed\n" in capsys.readouterr().out
    after = {row["uri"]: row for row in rows_of(tmp_path / "out")}
    assert [Path(uri).stem for uri in before if after[uri] != before[uri]] == ["28"]
    assert [*after] == [*before], "the order of the plan"


def test_an_outage_stops_the_job_and_writes_no_error_rows(
    arguments: list[str], images: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    prepare([images], arguments[2], out)
    (out / "cut").touch()
    assert run_main("DistantJob", *arguments) == 1
    errors = capsys.readouterr().err
    assert "the archive cannot be reached\n" in errors
    assert "the same command continues" in errors
    assert not (out / "parts").exists()
    (out / "cut").unlink()
    assert run_main("DistantJob", *arguments) == 0
    predicted_rows(out, images)


def test_a_chunk_that_fails_three_times_is_named_and_the_rest_goes_on(
    arguments: list[str], images: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert run_main("DeadlyJob", *arguments) == 1
    output = capsys.readouterr()
    assert "the chunk 00000-00001 failed: a worker process died (signal 9)" in output.err
    assert "1 chunk failed; the same command tries it again" in output.err
    assert len(rows_of(out)) == 50
    assert [path.name for path in (out / "failed").iterdir()] == ["00000-00001.json"]
    assert run_main("", *arguments) == 0
    predicted_rows(out, images)
    assert not [*(out / "failed").iterdir()]


def test_shares_together_are_the_whole(
    arguments: list[str], images: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run_main("", *arguments, "--share", "2/2") == 0
    assert "not finished" in capsys.readouterr().out
    assert len(rows_of(tmp_path / "out")) == 30
    assert run_main("", *arguments, "--share", "1/2") == 0
    assert "finished: " in capsys.readouterr().out
    predicted_rows(tmp_path / "out", images)


def test_an_output_is_evaluated_as_the_table_of_predict(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path, capsys: Capture
) -> None:
    data = tmp_path / "hospital"
    for n in range(40):
        grey = 128 + (1 if n % 2 else -1) * (n % 5 * 12 - 10)
        draw_grey(data / ("bright" if n % 2 else "dark") / f"{n}.png", grey)
    bundle, out = str(make_bundle().folder), tmp_path / "out"
    assert main(["score", str(data), "--bundle", bundle, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["predict", bundle, str(data), "--format", "csv"]) == 0
    (tmp_path / "table.csv").write_text(capsys.readouterr().out)
    found = [
        evaluate_predictions(
            table,
            data,
            positive="bright",
            thresholds=0.5,
            n_bootstrap=20,
            out=tmp_path / f"evaluation-{n}",
        )
        for n, table in enumerate((out, tmp_path / "table.csv"))
    ]
    ours, theirs = ({k: v.value for k, v in one.metrics.items()} for one in found)
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert 0.5 < ours["auroc"] < 1
    locked = evaluate_predictions(
        out, data, positive="bright", n_bootstrap=20, out=tmp_path / "locked"
    )
    points = read_bundle(bundle).operating_points
    judged = locked.document.labels["bright"].operating_points
    assert {name: one.threshold for name, one in judged.items()} == {
        one.name: one.threshold for one in points
    }
    assert "no-validation" not in {one.check for one in locked.document.findings}
    for content, problem in ((b"x", "a part cannot be used"), (None, "is not finished")):
        part = next((out / "parts").iterdir())
        part.unlink() if content is None else part.write_bytes(content)
        with pytest.raises(SourceError, match=problem):
            evaluate_predictions(out, data, positive="bright", out=tmp_path / "other")
    (out / "DONE.json").unlink()
    with pytest.raises(SourceError, match="is not finished"):
        evaluate_predictions(out, data, positive="bright", out=tmp_path / "other")


@pytest.mark.parametrize(
    "wrong", [["--on", "foo"], ["--workers", "0"], ["--share", "3/2"], ["--format", "json"]]
)
def test_wrong_options_are_refused_before_anything_is_written(
    arguments: list[str], tmp_path: Path, wrong: list[str]
) -> None:
    assert main(["score", *arguments, *wrong]) == 2
    assert not (tmp_path / "out").exists()


def test_a_damaged_copy_of_the_model_is_made_again(
    arguments: list[str], images: Path, tmp_path: Path
) -> None:
    job, ledger = prepare([images], arguments[2], tmp_path / "out")
    copy = tmp_path / "out" / "bundle"
    (copy / "bundle.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=f"damaged: {copy}") as caught:
        load_bundle(ledger.store)
    assert caught.value.remedy == f"remove {copy}, and run the same command again"
    shutil.rmtree(copy)
    prepare([images], arguments[2], tmp_path / "out")
    assert load_bundle(ledger.store).id == job.bundle


def test_the_work_goes_on_when_the_reader_of_the_log_ends(
    arguments: list[str], images: Path, tmp_path: Path
) -> None:
    with start("SlowJob", *arguments) as running:
        assert running.stderr is not None
        running.stderr.close()
        assert running.wait(60) == 0
    predicted_rows(tmp_path / "out", images)


def test_a_folder_that_was_not_planned_is_a_warning(
    arguments: list[str], images: Path, capsys: Capture
) -> None:
    (images / "away").symlink_to("/")
    assert run_main("", *arguments) == 0
    assert "not planned: 1 symbolic link out of the archive" in capsys.readouterr().err


def test_a_full_disk_for_temporary_files_is_an_error_with_a_remedy(
    arguments: list[str], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null")
    with pytest.raises(StorageError, match="temporary files"):
        prepare([images, images / ".."], arguments[2], images.parent / "out")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    with start_s3_server() as server:
        yield server


def test_an_object_store_is_scored_into_another_although_it_fails_at_times(
    arguments: list[str], images: Path, server: S3Server, tmp_path: Path, capsys: Capture
) -> None:
    archive, out = (open_store(f"s3://{BUCKET}/{name}") for name in ("archive", "scores"))
    for path in images.iterdir():
        archive.put_new(path.name, path.read_bytes())
    command = [archive.uri, "--bundle", arguments[2], "--out", out.uri, "--workers", "2"]
    server.fail("403 Forbidden", method="GET", path="/archive/", times=math.inf)
    assert run_main("", *command) == 1
    assert "the archive cannot be reached\n" in capsys.readouterr().err
    assert not [*out.entries("parts")]
    server.recover()
    server.fail("503 Slow Down", method="GET", path="/archive/3", times=3)
    server.fail("403 Forbidden", method="GET", path="/archive/05.png", times=math.inf)
    assert run_main("", *command) == 0
    assert "60 images, no predicted class: 1 unreachable\n" in capsys.readouterr().out
    server.recover()
    assert run_main("", *command, "--retry-errors") == 0
    output = capsys.readouterr()
    assert output.out == f"60 images\nfinished: {out.uri}\n"
    for entry in out.entries("parts"):
        path = tmp_path / "copy" / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out.read(entry.name))
        assert server.environment["AWS_SECRET_ACCESS_KEY"].encode() not in path.read_bytes()
    assert run_main("", *arguments) == 0
    ours, theirs = (rows_of(tmp_path / name) for name in ("copy", "out"))
    assert [row["uri"] for row in ours] == [f"{archive.uri}/{n:02d}.png" for n in range(60)]
    for one, other in zip(ours, theirs, strict=True):
        assert {**one, "uri": ""} == {**other, "uri": ""}
