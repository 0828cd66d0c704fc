"""What is installed is what works: the wheel holds every file that is not Python."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

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
    assert {"plainfilm/py.typed", "plainfilm/report/html/page.html"} <= inside
    assert {
        f"plainfilm/recipes/{name}.toml" for name in ("swift", "standard", "tutorial")
    } <= inside


def test_its_metadata(wheel: Path) -> None:
    import plainfilm

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(archive.read(metadata).decode())
        (entries,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "plainfilm = plainfilm.cli.main:main" in archive.read(entries).decode()
    assert told["Name"] == "plainfilm"
    assert told["Version"] == plainfilm.__version__
    assert any(".dist-info/" in name and name.endswith("LICENSE") for name in names)
    core = [line for line in told.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [line for line in core if line.startswith(("keras", "tensorflow", "torch", "jax"))]


def test_it_works_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Unpacked, and with the checkout out of sight."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path / "site")!r})
import plainfilm
assert plainfilm.__file__.startswith({str(tmp_path)!r}), plainfilm.__file__
from importlib import resources
from plainfilm.config import load_recipe, recipe_names
for name in recipe_names():
    load_recipe(name)
assert len(recipe_names()) >= 3
assert "<html" in (resources.files("plainfilm.report") / "html" / "page.html").read_text("utf-8")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
