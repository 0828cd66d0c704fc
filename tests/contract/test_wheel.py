"""Tests the built wheel: its files, its metadata, and the commands in a clean environment."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    if importlib.util.find_spec("hatchling"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    else:  # pip fetches the builder, if it can
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(out), "."]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode and not importlib.util.find_spec("hatchling"):
        pytest.skip("hatchling is not installed and could not be fetched")
    assert done.returncode == 0, done.stderr
    (made,) = out.glob("*.whl")
    return made


def sources() -> set[str]:
    """Return every file of the package in the checkout."""
    return {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "plainfilm").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_it_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == sources()
    assert "plainfilm/py.typed" in inside
    assert any(name.endswith(".html") for name in inside)
    assert {
        f"plainfilm/recipes/{name}.toml" for name in ("swift", "standard", "tutorial")
    } <= inside


def test_its_metadata(wheel: Path) -> None:
    import plainfilm

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (path,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
        (entries,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "plainfilm = plainfilm.cli.main:main" in archive.read(entries).decode()
    assert metadata["Name"] == "plainfilm"
    assert metadata["Version"] == plainfilm.__version__
    assert any(".dist-info/" in name and name.endswith("LICENSE") for name in names)
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [line for line in core if line.startswith(("keras", "tensorflow", "torch", "jax"))]


@pytest.fixture(scope="module")
def clean_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with its core dependencies alone; return the folder of the commands."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    # The pip of this environment; a pip of its own, and compiling all files, take half a minute.
    command = [sys.executable, "-m", "pip", "--python", str(commands / "python"), "install"]
    command += ["--quiet", "--no-input", "--no-compile"]
    command += ["--disable-pip-version-check", "--constraint", ROOT / "constraints.txt", wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode and "No matching distribution found" in done.stderr:
        pytest.skip("the core dependencies could not be fetched")
    assert done.returncode == 0, done.stderr
    return commands


def test_the_commands_of_the_readme_work_in_a_clean_environment(
    clean_environment: Path, make_bundle: Any, draw_grey: Any, tmp_path: Path
) -> None:
    """Only the wheel and its core dependencies are installed; the checkout is not on the path."""
    bundle = make_bundle().folder
    for grey in range(60, 200, 7):
        name = "bright" if grey >= 128 else "dark"
        draw_grey(tmp_path / "hospital" / name / f"{grey}.png", grey)

    def run(*arguments: object) -> str:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [clean_environment / "plainfilm", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "evaluate a run or bundle" in run("--help")
    rows = [
        json.loads(row)
        for row in run("predict", bundle, "hospital", "--format", "jsonl").splitlines()
    ]
    assert len(rows) == 20
    assert all(0 <= row["probabilities"]["bright"] <= 1 for row in rows)
    out = tmp_path / "evaluation"
    assert "auroc" in run("evaluate", bundle, "hospital", "--out", out, "--positive", "bright")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html")
    availability = json.loads(run("doctor", "--json"))["purposes"]
    assert not availability["predict, evaluate, compare"]["missing"]
    assert availability["train, demo on TensorFlow"]["missing"]
