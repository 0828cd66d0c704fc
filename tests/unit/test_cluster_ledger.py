"""The ledger: parts are written once, read with their number of rows, and belong to one job."""

from __future__ import annotations

from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from plainfilm.cluster import local_store, planning
from plainfilm.cluster.ledger import Ledger, Share
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Chunk, Plan
from plainfilm.cluster.planning import make_plan
from plainfilm.cluster.stores import StoreError
from plainfilm.errors import RunError, UsageError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def write_files(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(PNG)
    return folder


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(planning, "CHUNK_ROWS", 3)
    archive = write_files(tmp_path / "archive", *(f"{n}.png" for n in range(10)))
    return make_plan(open_store(tmp_path / "out"), [archive])


def open_ledger(plan: Plan, **identity: object) -> Ledger:
    return Ledger(plan.store, plan, {"bundle": "b1", **identity})


def table_of(plan: Plan, chunk: Chunk) -> arrow.Table:
    return arrow.table({"uri": [row.uri for row in plan.rows(chunk)], "sha256": ["0"] * chunk.rows})


def test_a_job_is_continued_to_its_end(plan: Plan, tmp_path: Path) -> None:
    ledger = open_ledger(plan)
    first, *others = ledger.to_do()
    assert [chunk.rows for chunk in (first, *others)] == [3, 3, 3, 1]
    assert ledger.commit(first, table_of(plan, first), {})
    assert ledger.finish() is None
    again = open_ledger(plan)
    assert again.to_do() == others
    for chunk in others:
        assert again.commit(chunk, table_of(plan, chunk), {"truncated": 1})
    done = again.finish()
    assert done is not None
    assert (done.rows, done.parts, done.counts) == (10, 4, {"truncated": 3})
    read = arrow.concat_tables(again.tables(["uri"]))["uri"].to_pylist()
    assert read == [str(tmp_path / "archive" / f"{n}.png") for n in range(10)]
    # Any program reads the parts as one data set.
    assert parquet.read_table(tmp_path / "out" / "parts").num_rows == 10


def test_the_first_part_wins(plan: Plan) -> None:
    ledger = open_ledger(plan)
    chunk = ledger.to_do()[0]
    table = table_of(plan, chunk)
    assert ledger.commit(chunk, table, {})
    assert not ledger.commit(chunk, table.set_column(1, "sha256", [["1"] * 3]), {})
    assert ledger.read(chunk)["sha256"].to_pylist() == ["0"] * 3
    ledger.commit(chunk, table.set_column(1, "sha256", [["1"] * 3]), {}, replace=True)
    assert ledger.read(chunk)["sha256"].to_pylist() == ["1"] * 3


def test_a_part_must_have_the_rows_of_its_chunk(plan: Plan) -> None:
    ledger = open_ledger(plan)
    first, *_, last = ledger.to_do()
    with pytest.raises(ValueError, match="1 rows"):
        ledger.commit(first, table_of(plan, last), {})


@pytest.mark.parametrize("damage", ["truncated", "empty", "rows", "job"])
def test_a_damaged_part_is_noticed(plan: Plan, tmp_path: Path, damage: str) -> None:
    ledger = open_ledger(plan)
    for chunk in ledger.to_do():
        ledger.commit(chunk, table_of(plan, chunk), {})
    path = tmp_path / "out" / "parts" / "00000-00001.parquet"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "rows":
        table = parquet.read_table(path)
        parquet.write_table(table.slice(1), path)
    else:
        parquet.write_table(parquet.read_table(path).replace_schema_metadata({}), path)
    with pytest.raises(RunError, match="a part cannot be used: parts/00000-00001"):
        list(ledger.tables())
    with pytest.raises(RunError, match="a part cannot be used: parts/00000-00001"):
        ledger.finish()
    path.unlink()
    assert [chunk.name for chunk in ledger.to_do()] == ["00000-00001"]


def test_another_job_is_refused_with_what_differs(plan: Plan, tmp_path: Path) -> None:
    open_ledger(plan, decoder=3)
    with pytest.raises(UsageError, match="decoder: 4, stored: 3"):
        open_ledger(plan, decoder=4)
    with pytest.raises(UsageError, match="decoder: nothing, stored: 3"):
        open_ledger(plan)
    (tmp_path / "out" / "score.json").write_text("{")
    with pytest.raises(UsageError, match=r"score\.json cannot be read"):
        open_ledger(plan, decoder=3)


def test_a_job_on_another_plan_is_refused(plan: Plan, tmp_path: Path) -> None:
    open_ledger(plan)
    for path in (tmp_path / "out" / "plan").iterdir():
        path.unlink()
    write_files(tmp_path / "archive", "more.png")
    other = make_plan(open_store(tmp_path / "out"), [tmp_path / "archive"])
    with pytest.raises(UsageError, match="plan: "):
        open_ledger(other)


def test_shares_are_disjoint_and_complete(plan: Plan) -> None:
    ledger = open_ledger(plan)
    shares = [ledger.to_do(Share.parse(f"{k}/3")) for k in (1, 2, 3)]
    assert sorted(chunk for share in shares for chunk in share) == ledger.to_do()
    assert sorted(map(len, shares)) == [1, 1, 2]
    for text in ("0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5"):
        with pytest.raises(UsageError, match="a share must be K/N"):
            Share.parse(text)


def test_failures_are_recorded_until_the_chunk_is_done(plan: Plan) -> None:
    ledger = open_ledger(plan)
    first, second, *_ = ledger.to_do()
    ledger.fail(first, "the worker died", 3)
    ledger.fail(second, "the worker died", 3)
    ledger.commit(first, table_of(plan, first), {})
    assert ledger.failed() == {second.name: "the worker died"}
    assert second in ledger.to_do()


def test_stores_without_links_rename_under_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(local_store.os, "link", no_links)
    store = open_store(tmp_path)
    assert store.put_new("parts/a", b"first")
    assert not store.put_new("parts/a", b"second")
    assert store.read("parts/a") == b"first"
    # A claim of a killed process is ignored after some time.
    (tmp_path / "parts" / ".b.claim").touch()
    monkeypatch.setattr(local_store, "_CLAIM_SECONDS", 0.05)
    assert store.put_new("parts/b", b"first")
    assert [path.name for path in sorted((tmp_path / "parts").iterdir())] == ["a", "b"]


def test_missing_objects_are_a_reason(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StoreError) as caught:
        store.read("none")
    assert caught.value.reason == "missing"
    assert not store.exists("none")
    assert list(store.entries("none")) == []
