"""Compares trainings of one recipe that differ in the seed only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist, mean, stdev

from plainfilm import __version__
from plainfilm.evaluation.document import EvaluationDocument, SeedsDocument
from plainfilm.evaluation.document.several import MetricVariation, SeedRow, write_with_table
from plainfilm.metrics import Interval
from plainfilm.training import Run

_Z = NormalDist().inv_cdf(0.975)
METRICS = ("auroc", "average_precision", "accuracy", "sensitivity", "specificity", "brier")


def write_seed_variation(
    folder: str | Path,
    runs: Sequence[tuple[Run, EvaluationDocument]],
    ensemble: tuple[Run, EvaluationDocument] | None = None,
) -> SeedsDocument:
    """Write ``seeds.json`` and ``seeds.csv``, and return the content of the former.

    Parameters
    ----------
    folder
        The folder that holds the runs.
    runs
        Two or more runs, each with its evaluation on the same test images.
    ensemble
        The ensemble of the runs, if there is one.
    """
    rows = tuple(_row(*one) for one in runs)
    variation = vary([row.metrics for row in rows])
    document = SeedsDocument(
        version=__version__,
        rows=rows,
        variation=variation,
        ensemble=None if ensemble is None else _row(*ensemble),
    )
    ensembles = () if document.ensemble is None else (document.ensemble,)
    write_with_table(document, Path(folder) / "seeds", (*rows, *ensembles))
    return document


def _row(run: Run, document: EvaluationDocument) -> SeedRow:
    return SeedRow(
        seed=run.plan.identity.seed,
        folder=run.folder.name,
        bundle=run.bundle.id,
        metrics=main_metrics(document),
    )


def main_metrics(document: EvaluationDocument) -> dict[str, Interval]:
    """Return the metrics of an evaluation that are compared between trainings."""
    return {name: document.main[name] for name in METRICS if name in document.main}


def vary(rows: Sequence[Mapping[str, Interval]]) -> dict[str, MetricVariation]:
    """Return the variation of each metric that two or more rows have."""
    return {
        name: found
        for name in METRICS
        if (found := _variation([row[name] for row in rows if name in row]))
    }


def _variation(metrics: Sequence[Interval]) -> MetricVariation | None:
    """Return mean, standard deviation and range, and the mean standard error."""
    known = [metric.value for metric in metrics if math.isfinite(metric.value)]
    if len(known) < 2:
        return None
    widths = [metric.high - metric.low for metric in metrics]
    errors = [width / (2 * _Z) for width in widths if math.isfinite(width)]
    return MetricVariation(
        mean=mean(known),
        sd=stdev(known),
        minimum=min(known),
        maximum=max(known),
        sampling_se=mean(errors) if errors else None,
    )
