"""Download a public data set, show its licence and citation, and verify it."""

from __future__ import annotations

import argparse
from pathlib import Path

from plainfilm.cli.sources import options_of

EXAMPLE = "plainfilm fetch kermany --out chest_xray"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=["kermany"], help="name of the data set")
    options_of(parser)("--out FOLDER", "folder to download to", type=Path, required=True)


def run(args: argparse.Namespace) -> int:
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.data import KERMANY, fetch_kermany

    print(KERMANY.notice)
    with show_progress() as progress:
        folder = fetch_kermany(args.out, progress=progress)
    print(f"verified: {shown(folder)}")
    return 0
