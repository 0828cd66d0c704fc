"""The options on human readers, and their results as lines of text."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import options_of

if TYPE_CHECKING:
    from plainfilm.evaluation import Evaluation
    from plainfilm.evaluation.document.readers import LabelReaders, ReaderResults, Readers
    from plainfilm.metrics import Interval

_METRICS = ("sensitivity", "specificity", "auroc")


def add_reader_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options on human readers."""
    add = options_of(parser.add_argument_group("about human readers"))
    add(
        "--readers TABLE",
        "calls or ratings of human readers of the same images; repeatable, one table for each way "
        "of reading",
        type=Path,
        action="append",
        default=[],
    )
    add("--reader-columns NAME[,NAME...]", "readers to use (default: reader_1, R2, ...)")
    add("--reader-threshold RATING", "lowest rating that is a positive call", type=float)


def check_readers(args: argparse.Namespace, data_sets: int) -> None:
    """Refuse options on readers that cannot be used, before images are scored."""
    from plainfilm.data.sources.tables.files import read_table
    from plainfilm.errors import UsageError

    if not args.readers:
        given = [name for name in ("reader_columns", "reader_threshold") if getattr(args, name)]
        if given:
            raise UsageError(f"{given[0]}= needs a table of readers", remedy="give readers=")
        return
    if data_sets > 1:
        raise UsageError(
            "readers= is for one data set",
            received=f"{data_sets} data sets",
            remedy="evaluate the data set that the readers read on its own",
        )
    for path in args.readers:
        read_table(path)


def with_readers(args: argparse.Namespace, evaluation: Evaluation) -> Evaluation:
    """Return the evaluation with the readers that the options name."""
    if not args.readers:
        return evaluation
    from plainfilm.evaluation import add_readers

    names = [name.strip() for name in (args.reader_columns or "").split(",") if name.strip()]
    return add_readers(
        evaluation,
        args.readers,
        reader_columns=names or None,
        reader_threshold=args.reader_threshold,
    )


def describe_readers(readers: Readers) -> list[str]:
    """Return the results of the readers as lines of text."""
    from plainfilm._text import plural

    lines = []
    for label, own in readers.labels.items():
        names = dict.fromkeys(one.reader for one in own.readers)
        lines.append(
            f"{plural(len(names), 'reader')} of {label}: {plural(own.images, 'image')} of "
            f"{plural(own.patients, 'patient')}"
        )
        lines += _describe_label(own)
    if readers.unmatched:
        lines.append(f"{plural(readers.unmatched, 'read')} of images that are not in the data")
    return lines


def _describe_label(own: LabelReaders) -> list[str]:
    from plainfilm.cli.terminal import table

    several = len({one.modality for one in own.readers}) > 1
    shown = [name for name in _METRICS if any(name in one.metrics for one in own.readers)]
    rows = [("reader", *shown)] + [_row(one, shown, several) for one in own.readers]
    lines = [table(rows)]
    for modality in own.modalities:
        where = f" ({modality.modality})" if modality.modality else ""
        for name, mean in modality.mean.items():
            lines.append(
                f"model less the mean of readers{where}, {name}: {_signed(mean.difference)}"
                f"{_p(mean.p)}"
            )
        if modality.agreement is not None:
            lines.append(
                f"agreement of readers{where}: kappa {_value(modality.agreement.kappa)}, "
                f"AC1 {_value(modality.agreement.ac1)}"
            )
    for one in own.differences:
        change = f"{_signed(one.difference)}{_p(one.p)}"
        lines.append(f"readers {one.second} less {one.first}, mean {one.metric}: {change}")
    return [*lines, *own.notes]


def _row(one: ReaderResults, shown: Sequence[str], several: bool) -> tuple[str, ...]:
    name = f"{one.reader} ({one.modality})" if several else one.reader
    return (name, *(_value(one.metrics[key]) if key in one.metrics else "" for key in shown))


def _value(interval: Interval) -> str:
    if math.isnan(interval.value):
        return f"undefined: {interval.reason}"
    if not math.isfinite(interval.high - interval.low):
        return f"{interval.value:.3f} (no limits: {interval.reason})"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _signed(interval: Interval) -> str:
    if math.isnan(interval.low):
        why = f" (no limits: {interval.reason})" if interval.reason else ""
        return f"{interval.value:+.3f}{why}"
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _p(value: float | None) -> str:
    return "" if value is None else f", p {'< 0.001' if value < 0.001 else f'= {value:.3f}'}"
