"""Compare two models by their evaluations of the same images.

Differences are B minus A. With a margin, chosen beforehand, it also tests non-inferiority of B.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import options_of

if TYPE_CHECKING:
    from plainfilm.evaluation.document import ComparisonDocument
    from plainfilm.evaluation.document.several import ComparedModel, ComparisonRow

EXAMPLE = "plainfilm compare runs/swift runs/standard --margin auroc=0.01 --out comparison"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, metavar="A", help="run or evaluation")
    parser.add_argument("second", type=Path, metavar="B", help="run or evaluation")
    add = options_of(parser)
    add(
        "--margin METRIC=X",
        "non-inferiority margin: the largest acceptable loss of B (X alone: for the AUROC)",
        action="append",
        default=[],
    )
    add("--metrics NAME[,NAME...]", "metrics to compare (default: the usual ones)")
    add("--out FOLDER", "folder for JSON, CSV and a figure", type=Path)


def run(args: argparse.Namespace) -> int:
    from plainfilm.cli.terminal import shown
    from plainfilm.evaluation.comparison import METRICS, compare

    margins = _margins(args.margin)
    names = [name.strip() for name in args.metrics.split(",")] if args.metrics else [*METRICS]
    names = list(dict.fromkeys([*names, *margins]))
    found = compare(args.first, args.second, metrics=names, margins=margins, out=args.out)
    for line in _lines(found.document):
        print(line)
    if found.folder is not None:
        from plainfilm.report.figures import write_comparison_figure

        path = write_comparison_figure(found.document, found.folder)
        print(f"written: {shown(found.folder)}  (figure: {path.name})")
    return 0


def _margins(texts: Sequence[str]) -> dict[str, float]:
    from plainfilm.errors import UsageError

    margins = {}
    for text in texts:
        name, equals, number = text.partition("=")
        name, number = (name.strip(), number) if equals else ("auroc", name)
        if name in margins:
            raise UsageError(f"two margins are given for {name}", received=", ".join(texts))
        try:
            margins[name] = float(number)
        except ValueError:
            raise UsageError(
                "a margin has the form METRIC=NUMBER", received=text, remedy="e.g. auroc=0.02"
            ) from None
    return margins


def _lines(document: ComparisonDocument) -> list[str]:
    from plainfilm._text import plural
    from plainfilm.cli.terminal import table

    lines = [
        f"A: {_name(document.first)}",
        f"B: {_name(document.second)}",
        f"{document.dataset.name}, {document.dataset.split}: {plural(document.n, 'image')} of "
        f"{plural(document.patients, 'patient')}",
    ]
    for label, rows in document.labels.items():
        if len(document.labels) > 1:
            lines.append(f"\n{label}")
        head = ("metric", "A", "B", "B - A", "95 % interval", "p", "adjusted")
        lines.append(table([head, *map(_row, rows)], right=(1, 2, 3)))
        lines += _sentences(label, rows)
    return lines


def _name(model: ComparedModel) -> str:
    return f"{model.name} ({model.recipe}, seed {model.seed}, bundle {model.id[:12]})"


def _row(row: ComparisonRow) -> tuple[str, ...]:
    gap = row.difference
    if math.isnan(gap.value):
        return (row.metric, "", "", "undefined", gap.reason or "", "", "")
    limited = math.isfinite(gap.high - gap.low)
    bounds = f"{gap.low:+.3f} to {gap.high:+.3f}" if limited else gap.reason or "no limits"
    values = f"{row.first.value:.3f}", f"{row.second.value:.3f}", f"{gap.value:+.3f}"
    return (row.metric, *values, bounds, _p(row.p), _p(row.p_adjusted))


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _sentences(label: str, rows: Sequence[ComparisonRow]) -> list[str]:
    """Return the verdicts on the margins and the detectable differences in words."""
    lines = []
    for row in rows:
        if row.verdict is not None:
            words = {
                "superior": "B is better: the interval is above 0",
                "non-inferior": f"B is non-inferior to A with the margin {row.margin:g}",
                "inferior": f"B is worse than A by more than the margin {row.margin:g}",
                "not shown": f"non-inferiority with the margin {row.margin:g} is not shown",
            }[row.verdict]
            lines.append(f"{row.metric} of {label}: {words}")
    found = [f"{row.metric} {row.detectable:.3f}" for row in rows if row.detectable is not None]
    if found:
        lines.append(f"difference detectable with 80 % power on these images: {', '.join(found)}")
    return lines
