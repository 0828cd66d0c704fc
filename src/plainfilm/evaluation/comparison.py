"""Compares models by their evaluations of the same images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from plainfilm import __version__, _files
from plainfilm.errors import UsageError
from plainfilm.evaluation.compared_label import ComparedLabel
from plainfilm.evaluation.document import ComparisonDocument
from plainfilm.evaluation.document.several import (
    ComparedModel,
    ComparedPair,
    ComparisonRow,
    write_with_table,
)
from plainfilm.evaluation.matching import read_matched
from plainfilm.evaluation.result import Stored
from plainfilm.metrics import BOOTSTRAP_METRICS, holm

METRICS = ("auroc", "average_precision", "brier", "accuracy", "sensitivity", "specificity")
"""The metrics that are compared by default."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of `compare`.

    Attributes
    ----------
    document
        The content of ``comparison.json``.
    folder
        Folder of ``comparison.json`` and ``comparison.csv``; None where nothing was written.
    """

    document: ComparisonDocument
    folder: Path | None


def compare(
    *evaluations: str | Path,
    metrics: Sequence[str] = METRICS,
    margins: Mapping[str, float] | None = None,
    all_pairs: bool = False,
    out: str | Path | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare models by their evaluations of the same images.

    Parameters
    ----------
    evaluations
        Two or more folders of evaluations, of bundles or of tables of predictions, or of runs that
        were evaluated, or of cross-validations. A difference is the later model minus the earlier
        one.
    metrics
        Names of `plainfilm.metrics.BOOTSTRAP_METRICS`. Those that need a threshold use each model's
        own ``balanced`` operating point, which was locked on its validation set.
    margins
        Metric to the non-inferiority margin, chosen before the results are known.
    all_pairs
        Whether every pair is compared. By default each model is compared with the first.
    out
        Folder for ``comparison.json`` and ``comparison.csv``; None writes nothing.
    n_bootstrap, seed
        Number of resamples and seed of the bootstrap.

    Raises
    ------
    UsageError
        If a folder holds no evaluation, or two are not of the same images, patients and labels, or
        a metric or margin cannot be used.
    """
    margins = margins or {}
    if len(evaluations) < 2:
        raise UsageError("a comparison needs two evaluations", received=str(len(evaluations)))
    if out is not None:
        _files.check_output_folder(Path(out), "comparison.json")
    if isinstance(metrics, str):
        raise UsageError("metrics= needs a list of names", received=repr(metrics))
    metrics = tuple(dict.fromkeys(metrics))  # a repeated metric would be tested twice
    _check(metrics, margins)
    sides = read_matched([Path(folder) for folder in evaluations])
    numbers = range(len(sides))
    couples = [*combinations(numbers, 2)] if all_pairs else [(0, other) for other in numbers[1:]]
    found = {couple: dict[str, tuple[ComparisonRow, ...]]() for couple in couples}
    for column, label in enumerate(sides[0].document.task.labels):
        compared = ComparedLabel.of(sides, column, label, n_bootstrap, seed)
        for couple in couples:
            found[couple][label] = tuple(
                compared.compare(couple, name, margins.get(name)) for name in metrics
            )
    pairs, tests = _adjusted(found)
    document = ComparisonDocument(
        version=__version__,
        models=_models(sides),
        dataset=sides[0].document.dataset,
        n=len(sides[0].predictions.ids),
        patients=len(set(sides[0].predictions.patients)),
        tests=tests,
        pairs=pairs,
    )
    if out is None:
        return Comparison(document, None)
    folder = _files.make_folder(Path(out))
    write_with_table(document, folder / "comparison", _table(document))
    return Comparison(document, folder)


def _adjusted(
    found: Mapping[tuple[int, int], Mapping[str, tuple[ComparisonRow, ...]]],
) -> tuple[tuple[ComparedPair, ...], int]:
    """Return the pairs with p-values adjusted over all of them, and the number of tests."""
    every = [row for labels in found.values() for rows in labels.values() for row in rows]
    tests = [row.p for row in every if row.p is not None]
    adjusted = iter(holm(tests))
    pairs = tuple(
        ComparedPair(
            *couple,
            {
                label: tuple(
                    row if row.p is None else replace(row, p_adjusted=next(adjusted))
                    for row in rows
                )
                for label, rows in labels.items()
            },
        )
        for couple, labels in found.items()
    )
    return pairs, len(tests)


def _table(document: ComparisonDocument) -> Iterator[Mapping[str, object]]:
    """Yield the rows of ``comparison.csv``: one for each pair, label and metric."""
    for pair in document.pairs:
        names = [document.models[number].name for number in (pair.first, pair.second)]
        for label, rows in pair.labels.items():
            for row in rows:
                yield {
                    "label": label, "first_model": names[0], "second_model": names[1],
                    "metrics": row,
                }  # fmt: skip


def _check(metrics: Sequence[str], margins: Mapping[str, float]) -> None:
    for name in (*metrics, *margins):
        if name not in BOOTSTRAP_METRICS:
            raise UsageError(
                "there is no such metric",
                received=name,
                remedy=f"choose one of {', '.join(BOOTSTRAP_METRICS)}",
            )
    for name, margin in margins.items():
        if name not in metrics:
            raise UsageError(f"a margin is given for {name}, which is not compared")
        if not (margin > 0 and math.isfinite(margin)):
            raise UsageError(f"the margin of {name} must be above 0", received=margin)


def _models(sides: Sequence[Stored]) -> tuple[ComparedModel, ...]:
    """Name the models after their folders; equal names get that of the folder above."""
    inside = ("evaluation", "crossval")  # of a run, or of a cross-validation
    folders = [side.folder.parent if side.folder.name in inside else side.folder for side in sides]
    names = [folder.name for folder in folders]
    return tuple(
        ComparedModel(
            name if names.count(name) == 1 else f"{folder.absolute().parent.name}/{name}",
            side.document.model.kind,
            side.document.model.id,
            side.document.model.recipe,
            side.document.model.seed,
        )
        for side, folder, name in zip(sides, folders, names, strict=True)
    )
