"""A report as PDF, printed by a browser that is already there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from plainfilm._files import atomic_path
from plainfilm.errors import MissingExtraError, StorageError, UsageError

__all__ = ["find_browser", "print_pdf"]

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
    # Nothing is asked of any network: the page has no address to ask.
    "--proxy-server=127.0.0.1:9",
)


def find_browser() -> str | None:
    """Return the path of Chromium or Chrome, or None.

    ``PLAINFILM_CHROMIUM`` names one; else those of the usual names are looked for.
    """
    named = os.environ.get("PLAINFILM_CHROMIUM")
    if named:
        return shutil.which(named)
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def print_pdf(page: Path, out: Path) -> Path:
    """Print an HTML page of ours to a PDF file.

    Parameters
    ----------
    page
        The HTML file.
    out
        Where the PDF goes.

    Raises
    ------
    MissingExtraError
        If there is no Chromium or Chrome.
    UsageError
        If the page is not there.
    StorageError
        If the browser fails or takes longer than two minutes.
    """
    if not page.is_file():
        raise UsageError(f"there is no page {page} to print")
    browser = find_browser()
    if browser is None:
        raise MissingExtraError(
            "a PDF is printed by Chromium or Chrome, and neither is here",
            received=os.environ.get("PLAINFILM_CHROMIUM"),
            remedy="install one, or name it in PLAINFILM_CHROMIUM; or print the HTML page by hand",
        )
    with (
        tempfile.TemporaryDirectory(prefix="plainfilm-pdf-") as profile,
        atomic_path(out) as temporary,
    ):
        command = [
            browser,
            *_QUIET,
            # The browser's own sandbox refuses to start for root, as in most containers.
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
