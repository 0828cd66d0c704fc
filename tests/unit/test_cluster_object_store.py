"""Object stores, against a server on loopback that fails as real ones do."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

pytest.importorskip("obstore")
pytest.importorskip("moto")

from plainfilm.cluster import object_store, planning
from plainfilm.cluster.ledger import Ledger
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Plan
from plainfilm.cluster.planning import make_plan
from plainfilm.cluster.stores import Store, StoreError
from plainfilm.errors import PlainfilmError, SourceError, UsageError
from s3_server import BUCKET, S3Server, start_s3_server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
FAST = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=2),
    "backoff": {"init_backoff": timedelta(milliseconds=5), "max_backoff": timedelta(seconds=0.05)},
}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with start_s3_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_store, "RETRY", FAST)
        object_store.connect.cache_clear()
        yield server
    object_store.connect.cache_clear()


@pytest.fixture
def store(server: S3Server, request: pytest.FixtureRequest) -> Iterator[Store]:
    yield open_store(f"s3://{BUCKET}/{request.node.name}")
    server.recover()


def uris(plan: Plan) -> list[str]:
    return [row.uri for chunk in plan.chunks() for row in plan.rows(chunk)]


def test_objects_are_written_once_and_read(store: Store) -> None:
    assert not store.exists("parts/a")
    assert store.put_new("parts/a", b"first")
    assert not store.put_new("parts/a", b"second")
    assert store.exists("parts/a") and store.read("parts/a") == b"first"
    store.replace("parts/a", b"third")
    store.put_new("parts/deep/b", b"not directly in the folder")
    assert [(entry.name, entry.size) for entry in store.entries("parts")] == [("parts/a", 5)]
    assert list(store.entries("none")) == []
    store.remove("parts/a")
    store.remove("parts/a")
    assert not store.exists("parts/a")


def test_a_part_of_an_object_is_read_without_the_rest(store: Store) -> None:
    data = bytes(range(256)) * 4000
    store.put_new("large", data)
    with store.open("large") as file:
        assert file.seek(-10, io.SEEK_END) == len(data) - 10
        assert file.read() == data[-10:]
        file.seek(1000)
        assert file.read(300_000) == data[1000:301_000]


def test_an_answer_of_503_is_tried_again(store: Store, server: S3Server) -> None:
    server.fail("503 Slow Down", times=2)
    assert store.put_new("a", b"data")
    server.fail("500 Internal Server Error", method="GET", times=2)
    assert store.read("a") == b"data"


def test_a_part_is_committed_once_although_its_answer_is_lost(
    store: Store, server: S3Server
) -> None:
    server.fail("lost", method="PUT")
    store.put_new("a", b"first")
    assert store.read("a") == b"first"
    assert not store.put_new("a", b"second")


def test_of_two_writers_at_the_same_time_one_commits(store: Store, server: S3Server) -> None:
    barrier, won = threading.Barrier(4), []

    def write(number: int) -> None:
        barrier.wait()
        won.append((store.put_new("a", b"%d" % number), number))

    threads = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(first for first, _ in won) == [False, False, False, True]
    assert store.read("a") == b"%d" % max(won)[1]
    # S3 answers with a conflict if two such requests overlap, which does not say that one succeeds.
    server.fail("409 ConditionalRequestConflict", method="PUT")
    assert not store.put_new("a", b"other")
    server.fail("409 ConditionalRequestConflict", method="PUT")
    assert store.put_new("b", b"other") == store.exists("b")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("503 SlowDown", "unreachable"),
        ("403 AccessDenied", "unreachable"),
        ("401 Unauthorized", "unreachable"),
        ("400 ExpiredToken", "unreachable"),
        ("403 InvalidObjectState", "unreadable"),
        ("404 NoSuchKey", "missing"),
        ("404 NoSuchBucket", "unreachable"),
        ("412 PreconditionFailed", "changed"),
    ],
)
def test_errors_have_a_reason_and_no_credentials(
    store: Store, server: S3Server, status: str, reason: str
) -> None:
    server.fail(status, times=100)
    with pytest.raises(StoreError) as caught:
        store.read("a")
    assert caught.value.reason == reason
    assert status.partition(" ")[0] in str(caught.value)
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "AKIA" not in shown and "secret" not in shown


def test_a_refused_connection_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "RETRY", FAST)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreError, match="no answer") as caught:
        open_store("s3://nowhere/a").read("b")
    assert caught.value.reason == "unreachable"
    object_store.connect.cache_clear()


def test_a_changed_object_is_noticed(store: Store) -> None:
    store.put_new("a.png", b"first")
    uri = f"{store.uri}/a.png"
    (found,) = object_store.list_objects(store.uri)
    assert object_store.get(uri, found["size"], found["e_tag"]) == b"first"
    store.replace("a.png", b"other")
    with pytest.raises(StoreError) as caught:
        object_store.get(uri, found["size"], found["e_tag"])
    assert caught.value.reason == "changed"
    with pytest.raises(StoreError) as caught:
        object_store.get(uri, 3)
    assert caught.value.reason == "changed"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIAKEY:secret@bucket/a",
        "az://container/a.png?sv=2024&sig=secret",
        "s3://bucket/a?X-Amz-Signature=secret",
        "https://user:secret@host/a.png",
    ],
)
def test_a_uri_with_credentials_is_refused_and_not_shown(tmp_path: Path, uri: str) -> None:
    with pytest.raises(UsageError, match="contains credentials") as caught:
        open_store(uri)
    assert "secret" not in str(caught.value)
    (tmp_path / "list.csv").write_text(f"uri\n{uri}\n")
    with pytest.raises(PlainfilmError, match="contains credentials") as caught:
        make_plan(open_store(tmp_path / "out"), [tmp_path / "list.csv"])
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "out" / "plan").exists() or not any((tmp_path / "out/plan").iterdir())


@pytest.mark.parametrize("endpoint", ["localhost:9000", "http://", "http://a b", "http://a:99999"])
def test_a_wrong_endpoint_is_refused(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(UsageError, match="is not the URL of an endpoint"):
        object_store.connect(f"s3://{len(endpoint)}-bucket")


def test_a_key_that_cannot_be_listed_is_named(store: Store) -> None:
    boto3 = pytest.importorskip("boto3")
    _, prefix = object_store.split(store.uri)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"{prefix}/a/b//1.png", Body=PNG)
    with pytest.raises(StoreError, match=f"the key {prefix}/a/b//1.png") as caught:
        list(object_store.list_objects(store.uri))
    assert "rename the object" in str(caught.value)


def test_a_prefix_is_planned_by_names(store: Store) -> None:
    names = ["a.png", "b/1.2.840.7", "b/IM0001", "b/é ?.DCM", "c.jpeg"]
    others = ["README", "b/notes.txt", "b/.hidden.png", "__MACOSX/a.png", "folder/"]
    for name in (*names, *others[:-1]):
        store.put_new(f"archive/{name}", PNG)
    plan = make_plan(store, [f"{store.uri}/archive/"])
    assert uris(plan) == [f"{store.uri}/archive/{name}" for name in names]
    assert plan.index.left_out == {"not an image": 2}
    row = plan.rows(next(plan.chunks()))[0]
    assert row.bytes == len(PNG)
    assert object_store.get(*row) == PNG
    with pytest.raises(SourceError, match="contains no images"):
        make_plan(open_store(f"{store.uri}/other"), [f"{store.uri}/none"])


def test_a_job_in_an_object_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "CHUNK_ROWS", 4)
    listed = [f"s3://{BUCKET}/a/{number}.png" for number in range(10)]
    file = io.BytesIO()
    parquet.write_table(arrow.table({"file": listed, "bytes": [5] * 10}), file)
    store.put_new("list.parquet", file.getvalue())
    plan = make_plan(store, [f"{store.uri}/list.parquet"])
    assert uris(plan) == listed
    ledger = Ledger(store, plan, {"bundle": "b"})
    for chunk in ledger.to_do():
        table = arrow.table({"uri": [row.uri for row in plan.rows(chunk)]})
        assert ledger.commit(chunk, table, {"missing": 1})
        assert not ledger.commit(chunk, table, {})
    done = Ledger(store, plan, {"bundle": "b"}).finish()
    assert done is not None and (done.rows, done.counts) == (10, {"missing": 3})
    assert arrow.concat_tables(ledger.tables())["uri"].to_pylist() == listed
    text = b"".join(store.read(entry.name) for entry in store.entries("parts"))
    assert b"AKIA" not in text + store.read("score.json") + store.read("plan/DONE.json")
    with pytest.raises(UsageError, match="another job"):
        Ledger(store, plan, {"bundle": "c"})
