"""Write the report of an evaluation again, without new predictions; also as PDF."""

from __future__ import annotations

import argparse
from pathlib import Path

from plainfilm.cli.sources import options_of

EXAMPLE = "plainfilm report runs/first --pdf report.pdf"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_folder",
        type=Path,
        metavar="RUN_OR_EVALUATION",
        help="folder of an evaluated run, of an evaluation, or of a cross-validation",
    )
    add = options_of(parser)
    add(
        "--model RUN_OR_BUNDLE",
        "the model that was evaluated (default: the run that contains the folder)",
        type=Path,
    )
    words = "file to write (default: report.html in the evaluation's folder)"
    add("--out FILE.html", words, type=Path)
    words = "also write a PDF, with Chromium or Chrome (default: next to the page)"
    add("--pdf FILE.pdf", words, type=Path, nargs="?", const=Path())
    words = "also write the tables (CSV, LaTeX, Markdown) and figures (PDF, SVG) for a paper"
    add("--paper FOLDER", words, type=Path)
    words = "width of these figures, e.g. 180mm (default: 85mm, a column)"
    add("--width WIDTH", words)


def run(args: argparse.Namespace) -> int:
    from plainfilm.cli.terminal import shown
    from plainfilm.errors import UsageError
    from plainfilm.report import print_pdf, rewrite_report
    from plainfilm.report.paper.export import COLUMN, PaperFiles, parse_width

    if args.pdf is not None and args.pdf != Path() and args.pdf.suffix.lower() != ".pdf":
        raise UsageError("the file of --pdf must end in .pdf", received=args.pdf)
    if args.width is not None and args.paper is None:
        raise UsageError("--width is for the figures of --paper", remedy="add --paper FOLDER")
    paper = None
    if args.paper is not None:
        paper = PaperFiles(args.paper, parse_width(args.width or f"{COLUMN:g}mm"))
    page = rewrite_report(args.run_folder, args.out, model=args.model, paper=paper)
    print(f"report: {shown(page)}")
    if paper is not None:
        print(f"files for a paper: {shown(paper.folder)}")
    if args.pdf is not None:
        out = page.with_suffix(".pdf") if args.pdf == Path() else args.pdf
        print(f"PDF: {shown(print_pdf(page, out))}")
    return 0
