"""Every damaged file of a run is an error with a sentence, or is not needed; nothing waits."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plainfilm.cli.main import main
from plainfilm.errors import PlainfilmError
from plainfilm.evaluation import evaluate

if not hasattr(os, "mkfifo"):
    pytest.skip("this system has no named pipes", allow_module_level=True)

Damage = Callable[[Path], None]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(target: str) -> Damage:
    def to_link(path: Path) -> None:
        path.unlink()
        path.symlink_to(target or path.name)

    return to_link


def text(content: str | bytes) -> Damage:
    return lambda path: (
        path.write_bytes(content if isinstance(content, bytes) else content.encode()) and None
    )


def change(**values: object) -> Damage:
    def write(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_bytes()) | values), encoding="utf-8")

    return write


DAMAGES: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": text(""),
    "truncated": truncate,
    "garbage": text(bytes(range(256))),
    "folder": to_folder,
    "pipe": to_pipe,
    "loop": link(""),
    "endless": link("/dev/zero"),
}
JSON: dict[str, Damage] = {
    "a list": text("[]"),
    "null": text("null"),
    "another schema": change(schema=99),
    "a schema of text": change(schema="1"),
    "nested": text("[" * 100_000),
    "long numbers": text('{"schema": ' + "9" * 6000 + "}"),
    "NaN": text('{"schema": NaN}'),
}
EVALUATION: dict[str, Damage] = {
    "n is huge": change(n=10**400),
    "n is text": change(n="3"),
    "labels are a list": change(labels=[]),
    "the model is empty": change(model={}),
    "unknown key": change(surprise=1),
}


@pytest.fixture(scope="module")
def evaluated(tiny_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with an evaluation."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(tiny_run.folder, folder)
    evaluate(folder, robustness=False, n_bootstrap=20, workers=0)
    return folder


@pytest.fixture
def copy(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the run; reports are read, but not drawn."""
    for name in ("build_report", "write_model_card"):
        monkeypatch.setattr(f"plainfilm.report.gather.{name}", lambda *_, **__: Path("report.html"))
    for name in ("_samples", "_worst"):
        monkeypatch.setattr(f"plainfilm.report.gather.{name}", lambda *_: ())
    return Path(shutil.copytree(evaluated, tmp_path / "run"))


def cases() -> Iterator[Any]:
    files = ("plan.json", "manifest.parquet", "evaluation/evaluation.json")
    files += ("evaluation/predictions.parquet", "evaluation/manifest.parquet")
    for file in (*files, "augmented.npz", "history.csv", "audit.json"):
        damages = {**DAMAGES, **(JSON if file.endswith(".json") else {})}
        if file == "evaluation/evaluation.json":
            damages |= EVALUATION
        for name, damage in damages.items():
            yield pytest.param(file, damage, id=f"{file} {name}")


# The report does without these, and says so.
OPTIONAL = {("audit.json", None), ("augmented.npz", "missing"), ("history.csv", "missing")}
OPTIONAL |= {("augmented.npz", "loop"), ("history.csv", "loop"), ("history.csv", "empty")}


@pytest.mark.parametrize(("file", "damage"), [*cases()])
def test_a_damaged_file_is_a_sentence(
    file: str,
    damage: Damage,
    copy: Path,
    evaluated: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    damage(copy / file)
    name = request.node.callspec.id.removeprefix(f"{file} ")
    needed = not {(file, None), (file, name)} & OPTIONAL
    verbs = [["report", str(copy)]]
    if file.startswith("evaluation/"):
        verbs.append(["compare", str(copy), str(evaluated)])
    for words in verbs:
        status = main(words)
        error = capfd.readouterr().err
        assert status == (0 if not needed else 2 if words[0] == "compare" else 1), error
        assert "a defect" not in error
        assert not needed or "received:" in error or "remedy:" in error or "lacks" in error


@pytest.mark.parametrize(
    ("file", "name"),
    [
        *[("state.safetensors", name) for name in ("empty", "truncated", "folder", "pipe")],
        ("best.safetensors", "pipe"),
        ("best.safetensors", "missing"),
        ("plan.json", "pipe"),
        ("plan.json", "loop"),
        (".lock", "pipe"),
    ],
)
def test_a_damaged_run_is_continued_or_an_error_with_a_remedy(
    file: str, name: str, train_tiny: Any, run_copy: Path
) -> None:
    shutil.rmtree(run_copy / "bundle")
    (run_copy / ".lock").touch()
    DAMAGES[name](run_copy / file)
    with pytest.raises(PlainfilmError) as error:
        train_tiny(run_copy)
    assert error.value.remedy or error.value.received
