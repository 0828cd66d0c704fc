"""`plainfilm score`: probabilities of `predict`, and every failure costs no more than it must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from plainfilm.bundle import Bundle
from plainfilm.cli.main import main
from plainfilm.cluster import planning
from plainfilm.runtime import Predictor

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
    from plainfilm.bundle import Rejection

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
