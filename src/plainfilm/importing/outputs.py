"""Decides what the columns of an output mean: task, labels, logits or probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.bundle.imported import OutputKind
from plainfilm.encoders.source import SourceGraph
from plainfilm.errors import BundleError, UsageError
from plainfilm.records import Task, TaskKind

__all__ = ["HIGH", "LOW", "Meaning", "check_values", "choose_meaning", "to_logits"]

LOW, HIGH = 1e-20, 6e-8
"""Added to a probability and to its complement, so that log odds are finite.

The complement has the precision of a number of 32 bits near 1. Log odds of a value outside 0 to 1
are NaN.
"""

_SUM_TOLERANCE = 1e-3
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an output means.

    ``columns`` of the output have the ``names``. ``pair`` is whether a binary task has a column for
    each of the two classes, the negative one first.
    """

    task: Task
    kind: OutputKind
    columns: tuple[int, ...]
    names: tuple[str, ...]
    pair: bool


def choose_meaning(
    source: SourceGraph,
    labels: Sequence[str],
    *,
    negative: str | None = None,
    task: TaskKind | None = None,
    kind: OutputKind | None = None,
    columns: Sequence[int] | None = None,
    total: int,
) -> Meaning:
    """Return the meaning of the output of a graph, which has ``total`` columns.

    Raises
    ------
    UsageError
        If the meaning is not clear.
    """
    names = tuple(name.strip() for name in labels)
    if len(set(names)) < len(names) or not all(names) or not names:
        raise UsageError("labels must be different names", received=", ".join(labels) or "none")
    chosen = tuple(range(len(names))) if columns is None else tuple(columns)
    _check_columns(chosen, names, total, given=columns is not None)
    kind = kind or ("probabilities" if source.activation else None)
    if kind is None:
        raise UsageError(
            "the graph does not end in a sigmoid or softmax, so the meaning of its output is not "
            "clear",
            received=source.output,
            remedy="say what it contains with output_kind= (logits or probabilities)",
        )
    if source.activation and kind == "logits":
        raise UsageError(
            "the output is declared as logits, but has probabilities",
            received=f"the graph ends in {source.activation}",
            remedy="use output_kind= with probabilities, or name another output with output=",
        )
    found = task or _derive(source, names, negative)
    if found == "multilabel":
        return Meaning(Task(found, names, names), kind, chosen, names, False)
    if found == "multiclass":
        whole = total == len(names) and sorted(chosen) == [*range(len(names))]
        if len(names) < 3 or not whole:
            raise UsageError(
                "a multi-class task needs the names of all classes, at least three",
                received=f"{', '.join(names)}, for {total} columns",
                remedy="name every column with labels=, or choose another task=",
            )
        return Meaning(Task(found, names, names), kind, chosen, names, False)
    return _binary(names, chosen, kind, negative, total)


def _binary(
    names: tuple[str, ...],
    chosen: tuple[int, ...],
    kind: OutputKind,
    negative: str | None,
    total: int,
) -> Meaning:
    if len(names) > 2:
        raise UsageError("a binary task has two classes", received=", ".join(names))
    if len(names) == 1:
        if negative is None or negative == names[0]:
            raise UsageError(
                f"the name of the class without {names[0]} is not given",
                received=negative,
                remedy="name it with negative= (for example NORMAL)",
            )
        if kind == "logits" and total != 1:
            raise UsageError(
                "the probability of one column of several logits is not clear",
                received=f"{total} columns, one label",
                remedy="name both classes with labels=, or use task= with multilabel",
            )
        classes = (negative, names[0])
        return Meaning(Task("binary", names, classes), kind, chosen, names, False)
    if negative is None:
        negative = names[0]
    if negative not in names:
        raise UsageError(
            "the negative class is not one of the two labels",
            received=negative,
            remedy=f"choose one of: {', '.join(names)}",
        )
    first = names.index(negative)
    order = (first, 1 - first)
    positive = names[1 - first]
    names, chosen = (negative, positive), (chosen[order[0]], chosen[order[1]])
    return Meaning(Task("binary", (positive,), (negative, positive)), kind, chosen, names, True)


def _derive(source: SourceGraph, names: Sequence[str], negative: str | None) -> TaskKind:
    if len(names) == 1 or (len(names) == 2 and negative is not None):
        return "binary"
    if source.activation == "Sigmoid":
        return "multilabel"
    if source.activation == "Softmax":
        return "binary" if len(names) == 2 else "multiclass"
    raise UsageError(
        "it is not clear whether the labels exclude each other",
        received=", ".join(names),
        remedy="say so with task= (binary or multiclass if they do, else multilabel)",
    )


def _check_columns(chosen: Sequence[int], names: Sequence[str], total: int, *, given: bool) -> None:
    if not given and total != len(names):
        raise UsageError(
            "the number of labels is not that of the output's columns",
            received=f"{len(names)} labels, {total} columns",
            remedy="name every column with labels=, or choose some with columns=",
        )
    wrong = [one for one in chosen if not 0 <= one < total]
    if len(chosen) != len(names) or len(set(chosen)) < len(chosen) or wrong:
        raise UsageError(
            "columns must be different numbers from 0, one for each label",
            received=f"{', '.join(map(str, chosen))} for {len(names)} labels"
            + f"; the output has {total} columns",
        )


def to_logits(raw: NDArray[Any], meaning: Meaning) -> Floats:
    """Return one logit per label, float64 (n, labels), from the chosen columns (n, columns)."""
    values = np.asarray(raw, np.float64)
    if meaning.kind == "logits":
        return values[:, 1:] - values[:, :1] if meaning.pair else values
    if meaning.task.kind == "multiclass":
        return np.asarray(np.log(values + LOW))
    if meaning.pair:
        values = values[:, 1:]
    return np.asarray(np.log(values + LOW) - np.log((1 - values) + HIGH))


def check_values(raw: NDArray[Any], meaning: Meaning) -> None:
    """Raise a BundleError unless outputs (n, columns) are what they are declared to be."""
    values = np.asarray(raw, np.float64)
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise BundleError(
            "the network returns values that are not finite",
            received=f"{len(rows)} of {len(values)} images, e.g. {values[rows[0]].tolist()}",
            remedy="check its weights and the range of its input",
        )
    low, high = float(values.min()), float(values.max())
    if meaning.kind == "logits":
        sums = values.sum(axis=1)
        alike = meaning.pair or meaning.task.kind == "multiclass"
        if low >= 0 and high <= 1 and alike and np.allclose(sums, 1, atol=1e-4):
            raise BundleError(
                "the output is declared as logits, but its values are probabilities",
                received=f"values from {low:g} to {high:g}, which add up to 1",
                remedy="use output_kind= with probabilities",
            )
        return
    if low < -1e-6 or high > 1 + 1e-6:
        raise BundleError(
            "the output is declared as probabilities, but its values are not from 0 to 1",
            received=f"values from {low:g} to {high:g}",
            remedy="use output_kind= with logits",
        )
    if meaning.pair or meaning.task.kind == "multiclass":
        off = float(np.abs(values.sum(axis=1) - 1).max())
        if off > _SUM_TOLERANCE:
            raise BundleError(
                "the probabilities of classes that exclude each other must add up to 1",
                received=f"a sum of {1 + off:g} or {1 - off:g}",
                remedy="use task= with multilabel, or output_kind= with logits",
            )
