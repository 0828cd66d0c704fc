"""The contracts of import-linter fail when a package imports what it must not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter")

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "plainfilm"
ALLOWED = {
    "h11": {"serve"},
    "jax": {"models", "training"},
    "kagglehub": set(),  # in data.sources only
    "keras": {"models", "training"},
    "markdown_it": {"serve"},
    "matplotlib": set(),  # in report.figures only
    "mlflow": {"search"},
    "obstore": {"cluster"},
    "onnx": {"encoders", "importing", "models", "training"},
    "onnxruntime": {"network_session"},
    "optuna": {"search"},
    "pydicom": {"pacs", "phantom", "pixels"},
    "pynetdicom": {"pacs"},
    "python_multipart": {"serve"},
    "ray": {"cluster"},
    "rich": set(),  # in cli.terminal only
    "safetensors": {"models", "training"},
    "starlette": {"serve"},
    "tensorboardX": {"search"},
    "tensorflow": {"models", "training"},
    "torch": {"models", "training"},
}
"""Library to the packages that may import it."""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package and of its contracts."""
    ignored = shutil.ignore_patterns("__pycache__", "page", "*.html", "*.css")
    shutil.copytree(SOURCE, tmp_path / "plainfilm", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_no_other_package_imports_an_optional_library(copy: Path) -> None:
    lines = "".join(f"import {library}\n" for library in ALLOWED)
    modules = {}
    for path in sorted((copy / "plainfilm").iterdir()):
        if path.is_dir() and (path / "__init__.py").exists():
            (path / "planted.py").write_text(lines, encoding="utf-8")
            modules[path.name] = f"plainfilm.{path.name}.planted"
        elif path.suffix == ".py" and path.stem not in ("__init__", "__main__"):
            path.write_text(lines, encoding="utf-8")
            modules[path.stem] = f"plainfilm.{path.stem}"
    done = lint(copy)
    assert done.returncode == 1
    reported = set(re.findall(r"(plainfilm[\w.]*) -> (\w+) ", done.stdout))
    expected = {
        (module, library)
        for library, allowed in ALLOWED.items()
        for package, module in modules.items()
        if package not in allowed
    }
    assert len(modules) > 15 and expected <= reported
    assert not {
        (modules[package], library)
        for library, allowed in ALLOWED.items()
        for package in allowed
        if (modules[package], library) in reported
    }


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("metrics/planted.py", "import plainfilm.data"),
        ("inference/planted.py", "import plainfilm.serve"),
        ("report/planted.py", "import plainfilm.inference"),
        ("planted.py", ""),
    ],
)
def test_packages_import_only_the_packages_below_them(copy: Path, file: str, line: str) -> None:
    assert lint(copy).returncode == 0
    (copy / "plainfilm" / file).write_text(f"{line}\n", encoding="utf-8")
    done = lint(copy)
    assert done.returncode == 1 and "planted" in done.stdout
