"""The documentation site builds, and no warning is raised."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")
pytest.importorskip("numpydoc")
pytest.importorskip("pydata_sphinx_theme")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    # A copy: the pages that are generated from docstrings are written next to the sources.
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs, ignore=shutil.ignore_patterns("generated"))
    (tmp_path / "src").symlink_to(ROOT / "src", target_is_directory=True)
    for page in ROOT.glob("*.md"):
        shutil.copy(page, tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", docs, tmp_path / "site"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    for page in ("index", "how-to/use-from-python", "reference/generated/plainfilm.train"):
        assert (site / f"{page}.html").is_file()
    assert "project/security.html" in (site / "explanation" / "serving.html").read_text("utf-8")
