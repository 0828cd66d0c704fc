"""Compare models by their evaluations of the same images.

Every further model is compared with A; differences are B minus A. With a margin, chosen beforehand,
it also tests non-inferiority.
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
    from plainfilm.evaluation.document.several import ComparedModel, ComparedPair, ComparisonRow

EXAMPLE = "plainfilm compare runs/swift runs/standard --margin auroc=0.01 --out comparison"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, metavar="A", help="run or evaluation")
    parser.add_argument(
        "others", type=Path, metavar="B", nargs="+", help="runs or evaluations to compare with A"
    )
    add = options_of(parser)
    add(
        "--margin METRIC=X",
        "non-inferiority margin: the largest acceptable loss of B (X alone: for the AUROC)",
        action="append",
        default=[],
    )
    add("--all-pairs", "compare every pair, not only with A")
    add("--metrics NAME[,NAME...]", "metrics to compare (default: the usual ones)")
    add("--out FOLDER", "folder for JSON, CSV and a figure", type=Path)


def run(args: argparse.Namespace) -> int:
    from plainfilm.cli.terminal import shown
    from plainfilm.evaluation.comparison import METRICS, compare

    margins = _margins(args.margin)
    names = [name.strip() for name in args.metrics.split(",")] if args.metrics else [*METRICS]
    names = list(dict.fromkeys([*names, *margins]))
    found = compare(
        args.first, *args.others,
        metrics=names, margins=margins, all_pairs=args.all_pairs, out=args.out,
    )  # fmt: skip
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

    lines = [f"{letter}: {_name(model)}" for letter, model in _lettered(document)]
    lines.append(
        f"{document.dataset.name}, {document.dataset.split}: {plural(document.n, 'image')} of "
        f"{plural(document.patients, 'patient')}"
    )
    labels = [*document.pairs[0].labels]
    for label in labels:
        if len(labels) > 1:
            lines.append(f"\n{label}")
        head = (
            "metric", "models", "first", "second", "difference", "95 % interval", "p", "adjusted p",
        )  # fmt: skip
        rows = [
            (pair, row)
            for rows in zip(*(pair.labels[label] for pair in document.pairs), strict=True)
            for pair, row in zip(document.pairs, rows, strict=True)
        ]
        lines.append(table([head, *(_row(*own) for own in rows)], right=(2, 3, 4)))
        lines += [*_sentences(label, rows), *_over_folds(rows)]
    if document.tests > 1:
        lines.append(
            f"Adjusted p: Holm, {document.tests} tests. Intervals and p are not adjusted: among "
            "this many, some can exclude 0 by chance."
        )
    return lines


def _lettered(document: ComparisonDocument) -> list[tuple[str, ComparedModel]]:
    return [(_letter(number), model) for number, model in enumerate(document.models)]


def _letter(number: int) -> str:
    """Return A, B, ... Z, A1, B1, ... for the numbers from 0."""
    turn, place = divmod(number, 26)
    return chr(ord("A") + place) + (str(turn) if turn else "")


def _name(model: ComparedModel) -> str:
    if model.kind == "predictions":
        return f"{model.name} (predictions {model.id[:12]})"
    what = "models of the folds" if model.kind == "folds" else f"bundle {model.id[:12]}"
    return f"{model.name} ({model.recipe}, seed {model.seed}, {what})"


def _names(pair: ComparedPair) -> tuple[str, str]:
    return _letter(pair.first), _letter(pair.second)


def _row(pair: ComparedPair, row: ComparisonRow) -> tuple[str, ...]:
    gap = row.difference
    first, second = _names(pair)
    start = (row.metric, f"{second} - {first}")
    if math.isnan(gap.value):
        return (*start, "", "", "undefined", gap.reason or "", "", "")
    limited = math.isfinite(gap.high - gap.low)
    bounds = f"{gap.low:+.3f} to {gap.high:+.3f}" if limited else gap.reason or "no limits"
    values = f"{row.first.value:.3f}", f"{row.second.value:.3f}", f"{gap.value:+.3f}"
    return (*start, *values, bounds, _p(row.p), _p(row.p_adjusted))


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _over_folds(rows: Sequence[tuple[ComparedPair, ComparisonRow]]) -> list[str]:
    """Return the comparisons of cross-validations over their folds as a table."""
    from plainfilm.cli.terminal import table

    cells = []
    for pair, row in rows:
        if row.folds is not None:
            gap, (first, second) = row.folds.difference, _names(pair)
            limited = math.isfinite(gap.high - gap.low)
            bounds = f"{gap.low:+.3f} to {gap.high:+.3f}" if limited else gap.reason or "no limits"
            own = (row.metric, f"{second} - {first}", f"{gap.value:+.3f}", bounds)
            cells.append((*own, _p(row.folds.p), row.folds.test))
    if not cells:
        return []
    head = ("mean of the folds", "models", "difference", "95 % interval", "p", "test")
    return [
        table([head, *cells], right=(2,)),
        "The table above compares these models; this one compares the recipes, trained on as many "
        "other images.",
    ]


def _sentences(label: str, rows: Sequence[tuple[ComparedPair, ComparisonRow]]) -> list[str]:
    """Return the verdicts on the margins and the detectable differences in words."""
    lines = []
    for pair, row in rows:
        if row.verdict is not None:
            first, second = _names(pair)
            words = {
                "superior": f"{second} is better than {first}: the interval does not include 0",
                "non-inferior": f"{second} is non-inferior to {first} with the margin "
                f"{row.margin:g}",
                "inferior": f"{second} is worse than {first} by more than the margin "
                f"{row.margin:g}",
                "not shown": f"non-inferiority of {second} to {first} with the margin "
                f"{row.margin:g} is not shown",
            }[row.verdict]
            lines.append(f"{row.metric} of {label}: {words}")
    several = len({(pair.first, pair.second) for pair, _ in rows}) > 1
    found = [
        f"{row.metric} {' - '.join(reversed(_names(pair))) + ' ' if several else ''}"
        f"{row.detectable:.3f}"
        for pair, row in rows
        if row.detectable is not None
    ]
    if found:
        lines.append(f"difference detectable with 80 % power on these images: {', '.join(found)}")
    return lines
