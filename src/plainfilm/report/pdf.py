"""Prints a report to PDF with an installed browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from plainfilm._files import atomic_path
from plainfilm.errors import MissingExtraError, StorageError, UsageError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 120
_QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # The page loads nothing; the proxy ensures that the browser does not either.
    "--proxy-server=127.0.0.1:9",
)


def find_browser() -> str | None:
    """Return the path of Chromium or Chrome, or None.

    ``PLAINFILM_CHROMIUM`` names it; otherwise the usual names are searched for.
    """
    named = os.environ.get("PLAINFILM_CHROMIUM")
    if named:
        return shutil.which(named)
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def print_pdf(page: Path, out: Path) -> Path:
    """Print the HTML file ``page`` to the PDF file ``out``.

    Raises
    ------
    MissingExtraError
        If Chromium or Chrome is not installed.
    UsageError
        If the page does not exist.
    StorageError
        If the browser fails or takes longer than two minutes.
    """
    if not page.is_file():
        raise UsageError(f"there is no page {page}")
    browser = find_browser()
    if browser is None:
        raise MissingExtraError(
            "printing a PDF requires Chromium or Chrome",
            received=os.environ.get("PLAINFILM_CHROMIUM"),
            remedy="install one, or set PLAINFILM_CHROMIUM to its path, "
            "or print the HTML page manually",
        )
    with (
        tempfile.TemporaryDirectory(prefix="plainfilm-pdf-") as profile,
        atomic_path(out) as temporary,
    ):
        command = [
            browser,
            *_QUIET,
            # The sandbox of the browser does not start for root, as in most containers.
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
            f"--print-to-pdf={temporary.resolve()}",
            page.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StorageError(
                "the browser did not print the page in time", received=f"{_SECONDS} s"
            ) from error
        if done.returncode or not temporary.is_file() or not temporary.stat().st_size:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise StorageError("the browser could not print the page", received=last[0])
    return out
