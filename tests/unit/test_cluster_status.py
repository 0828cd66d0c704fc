"""The status of a job, from its files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from plainfilm.cli.main import main
from plainfilm.cluster import planning
from plainfilm.cluster.ledger import Ledger
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.planning import make_plan
from plainfilm.cluster.status import describe_status, read_status
from plainfilm.errors import RunError, UsageError


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(planning, "CHUNK_ROWS", 10)
    listed = "\n".join(f"s3://bucket/{number}.png" for number in range(95))
    (tmp_path / "list.csv").write_text(f"uri\n{listed}\n")
    store = open_store(tmp_path / "out")
    return Ledger(store, make_plan(store, [tmp_path / "list.csv"]), {"bundle": "b"})


def commit(ledger: Ledger, number: int, seconds_ago: float) -> None:
    chunk = ledger.to_do()[0]
    table = arrow.table({"uri": [row.uri for row in ledger.plan.rows(chunk)]})
    ledger.commit(chunk, table, {"truncated": number, "changed": 1})
    then = time.time() - seconds_ago
    os.utime(Path(ledger.store.uri, chunk.part), (then, then))


def test_the_status_of_a_job(ledger: Ledger, tmp_path: Path) -> None:
    status = read_status(tmp_path / "out")
    assert (status.rows_done, status.rate, status.counts) == (0, None, {})
    for number, ago in enumerate((5000, 4000, 300, 200, 100)):
        commit(ledger, number, ago)
    ledger.fail(ledger.to_do()[2], "the worker died", 3)
    status = read_status(tmp_path / "out")
    assert (status.job, status.rows, status.chunks) == ("score", 95, 10)
    assert (status.rows_done, status.chunks_done, status.finished) == (50, 5, False)
    assert status.counts == {"changed": 5, "truncated": 10}
    assert status.rate == pytest.approx(30 / 600, rel=0.01)
    assert status.seconds_left == pytest.approx(45 * 600 / 30, rel=0.01)
    assert describe_status(status)[1:] == [
        "done: 50 images, 5 chunks (52 %)",
        "0.05 images a second, 15 min left",
        "no result: 10 truncated, 5 changed",
        "failed: 00000-00007: the worker died",
    ]


def test_the_rate_of_a_young_job_is_since_its_first_part(ledger: Ledger, tmp_path: Path) -> None:
    for ago in (20, 10, 1):
        commit(ledger, 0, ago)
    assert read_status(tmp_path / "out").rate == pytest.approx(20 / 20, rel=0.1)


def test_a_finished_job(ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    while ledger.to_do():
        commit(ledger, 0, 0)
    ledger.finish()
    assert main(["score", "status", str(tmp_path / "out"), "--format", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["finished"] and shown["rows_done"] == 95
    assert shown["counts"] == {"changed": 10, "truncated": 0}
    assert main(["score", "status", str(tmp_path / "out")]) == 0
    assert "finished" in capsys.readouterr().out.splitlines()
    next((tmp_path / "out" / "parts").iterdir()).unlink()
    status = read_status(tmp_path / "out")
    assert not status.finished and status.chunks_done == 9
    assert status.counts == {"changed": 9, "truncated": 0}


@pytest.mark.parametrize("content", ["", "[]", "{}", "3"])
def test_damaged_files_of_an_output_are_no_defects(
    ledger: Ledger, tmp_path: Path, content: str
) -> None:
    chunk = ledger.to_do()[0]
    failed = tmp_path / "out" / "failed"
    ledger.fail(chunk, "the worker died", 3)
    for name in (f"{chunk.name}.json", "notes.txt", "other.json"):
        (failed / name).write_text(content)
    (line,) = read_status(tmp_path / "out").failed.values()
    assert "is damaged" in line
    commit(ledger, 0, 0)
    assert read_status(tmp_path / "out").failed == {}
    path = tmp_path / "out" / chunk.part
    table = parquet.read_table(path)
    metadata = {**table.schema.metadata, b"plainfilm.counts": content.encode()}
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    if content not in ("{}", "[]"):
        with pytest.raises(RunError, match="a part cannot be used"):
            read_status(tmp_path / "out")


def test_no_job_and_a_damaged_part_are_errors(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no job"):
        read_status(tmp_path / "none")
    commit(ledger, 0, 0)
    (part,) = (tmp_path / "out" / "parts").iterdir()
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(RunError, match="a part cannot be used"):
        read_status(tmp_path / "out")
