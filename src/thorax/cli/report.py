"""Write the report of an evaluated run again, without scoring anything."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "thorax report runs/first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``thorax report``."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of an evaluated run")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="default: in the run's folder"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``thorax report``."""
    from thorax.cli.terminal import shown
    from thorax.report import rewrite_report

    print(f"report: {shown(rewrite_report(args.run_folder, args.out))}")
    return 0
