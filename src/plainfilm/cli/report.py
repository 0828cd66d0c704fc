"""Write the report of an evaluation again, without scoring anything; also as PDF."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "plainfilm report runs/first --pdf report.pdf"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm report``."""
    parser.add_argument(
        "run_folder",
        type=Path,
        metavar="RUN_OR_EVALUATION",
        help="folder of an evaluated run, or of an evaluation",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="RUN_OR_BUNDLE",
        help="what was evaluated (default: the run that the folder lies in)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="default: in the evaluation's folder"
    )
    parser.add_argument(
        "--pdf",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE.pdf",
        help="print it as well, with Chromium or Chrome (default: beside the page)",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``plainfilm report``."""
    from plainfilm.cli.terminal import shown
    from plainfilm.report import print_pdf, rewrite_report

    page = rewrite_report(args.run_folder, args.out, model=args.model)
    print(f"report: {shown(page)}")
    if args.pdf is not None:
        out = page.with_suffix(".pdf") if args.pdf == Path() else args.pdf
        print(f"PDF: {shown(print_pdf(page, out))}")
    return 0
