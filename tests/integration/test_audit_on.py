"""`plainfilm audit --on`: the findings of an audit without it, whatever interrupts it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest

from plainfilm.audit.evidence import grey_ranges, summarise
from plainfilm.audit.pipeline import Audit, audit_dataset
from plainfilm.cli.main import main
from plainfilm.cluster import planning
from plainfilm.cluster.audit import _ManifestSource, audit_on
from plainfilm.cluster.evidence_job import EvidenceJob
from plainfilm.cluster.ledger import Ledger
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import read_plan
from plainfilm.cluster.planning import write_plan
from plainfilm.data import load_dataset
from plainfilm.data.housekeeping import clear_cache, list_cache, prune_cache
from plainfilm.errors import PlainfilmError, UsageError
from plainfilm.phantom import write_dataset
from planting import FLAWS, plant

pytestmark = pytest.mark.slow

CHUNK = 36


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let chunks have at most 36 images."""
    monkeypatch.setattr(planning, "CHUNK_ROWS", CHUNK)


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw 100 images and plant every flaw that concerns single files."""
    folder = tmp_path_factory.mktemp("flawed") / "set"
    write_dataset(folder, images={"train": 70, "test": 30}, size=128, workers=2)
    changed: set[str] = set()
    for flaw in FLAWS:
        if not flaw.startswith("sh"):  # shift and shortcuts
            planted = plant(folder, flaw, count=2, strength=0.8, avoid=changed)
            changed.update(name for one in planted for name in one.files)
    return folder


@pytest.fixture(scope="module")
def expected(flawed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Audit the flawed images in the usual way."""
    return content(audit_dataset(flawed, cache=tmp_path_factory.mktemp("cache"), workers=2))


def content(audit: Audit) -> dict[str, Any]:
    """Return the document of an audit without its time."""
    values: dict[str, Any] = audit.document.to_json()
    del values["created"]
    return values


def on_local(folder: Path, cache: Path, **options: Any) -> dict[str, Any]:
    """Audit with two workers."""
    return content(
        audit_on(load_dataset(folder, one_class=True), cache=cache, workers=2, **options)
    )


def parts_of(cache: Path) -> dict[str, int]:
    """Return the parts in a cache, with the time of their writing."""
    return {path.name: path.stat().st_mtime_ns for path in cache.glob("audit/*/parts/*.parquet")}


def test_findings_are_those_of_an_audit_without_it(
    flawed: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    found = on_local(flawed, tmp_path)
    checks = {finding["check"] for finding in found["findings"]}
    assert {"near-duplicate", "truncated", "rotated", "patient-in-several-splits"} <= checks
    assert found == expected
    assert len(parts_of(tmp_path)) > 2
    assert not list(tmp_path.rglob("*.u8")), "no image is stored"


def test_findings_on_ray_are_the_same(
    flawed: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    assert on_local(flawed, tmp_path, on="ray") == expected


def test_an_interrupted_call_is_continued(
    flawed: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    def interrupt(stage: str, done: int, total: int, detail: str = "") -> None:
        if stage == "collecting evidence" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_local(flawed, tmp_path, progress=interrupt)
    before = parts_of(tmp_path)
    assert before
    assert on_local(flawed, tmp_path) == expected
    after = parts_of(tmp_path)
    assert len(after) > len(before)
    assert before.items() <= after.items(), "the parts that were done are kept"


def test_a_file_that_is_missing_is_looked_for_again(flawed: Path, tmp_path: Path) -> None:
    manifest = load_dataset(flawed, one_class=True)
    first = Path(manifest.records[0].path)
    kept = first.with_name(".kept")
    first.rename(kept)
    try:
        found = {one.check: one for one in audit_on(manifest, cache=tmp_path, workers=2).findings}
    finally:
        kept.rename(first)
    assert found["missing"].files == (manifest.records[0].id,)
    again = audit_on(manifest, cache=tmp_path, workers=2)
    assert "missing" not in {one.check for one in again.findings}


def test_rows_with_a_temporary_error_are_read_again(
    flawed: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    on_local(flawed, tmp_path)
    store = open_store(next(tmp_path.glob("audit/*")))
    plan = read_plan(store)
    assert plan is not None
    ledger = Ledger(store, plan, EvidenceJob().identity(), document="audit.json")
    chunk = next(plan.chunks())
    table = ledger.read(chunk)
    reasons = arrow.array(["decoder-died", *table["reason"].to_pylist()[1:]], arrow.string())
    table = table.set_column(table.column_names.index("reason"), "reason", reasons)
    ledger.commit(chunk, table, {"decoder-died": 1}, replace=True)
    assert on_local(flawed, tmp_path) == expected


def test_the_evidence_is_part_of_the_cache(flawed: Path, tmp_path: Path) -> None:
    on_local(flawed, tmp_path)
    (entry,) = list_cache(tmp_path)
    assert entry.folder.parent.name == "audit"
    assert entry.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.*"))
    foreign = entry.folder / "parts" / "mine.txt"
    foreign.touch()
    assert prune_cache(tmp_path, days=1) == 0
    for path in entry.folder.rglob("*"):
        os.utime(path, (1e9, 1e9))
    assert prune_cache(tmp_path, days=1) == entry.bytes
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [foreign]
    foreign.unlink()
    clear_cache(tmp_path)
    assert not list(tmp_path.iterdir())


def test_on_and_quick_exclude_each_other(
    flawed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(flawed), "--on", "local", "--quick"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    with pytest.raises(UsageError, match="engine"):
        on_local(flawed, tmp_path, on="unknown")
    assert main(["audit", str(tmp_path / "missing"), "--on", "unknown"]) == 2
    assert "engine" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["audit.json", "plan/DONE.json", "plan/0*.parquet"])
def test_damaged_evidence_is_removed_from_the_cache(
    flawed: Path, tmp_path: Path, name: str
) -> None:
    source = _ManifestSource(load_dataset(flawed, one_class=True))
    store = open_store(tmp_path / "audit" / source.key)
    plan = write_plan(store, [source], column=None)
    Ledger(store, plan, EvidenceJob().identity(), document="audit.json")
    next(Path(store.uri).glob(name)).write_bytes(b"x")
    with pytest.raises(PlainfilmError) as caught:
        on_local(flawed, tmp_path)
    assert caught.value.remedy == f"remove the folder {store.uri}, and run the same command again"


def test_the_command_writes_the_same_document(
    flawed: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "audit.json"
    command = ["audit", str(flawed), "--on", "local", "--workers", "2"]
    assert main([*command, "--json", str(out), "--cache", str(tmp_path / "cache")]) == 0
    written = json.loads(out.read_text())
    del written["created"]
    assert written == json.loads(json.dumps(expected))


def test_summaries_do_not_depend_on_the_other_images() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 128, 128), dtype=np.uint8)
    whole = summarise(images)
    for row in (0, 17, 39):
        alone = summarise(images[row : row + 1])
        for name in ("thumbnails", "histograms", "styles", "grey_range"):
            assert np.array_equal(
                getattr(whole, name)[row], getattr(alone, name)[0], equal_nan=True
            )
    assert np.array_equal(grey_ranges(whole.histograms), whole.grey_range)
