"""Describes the results of several trainings of one recipe in a few lines of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from plainfilm._text import plural
from plainfilm.cli.describe import limits
from plainfilm.cli.terminal import table

if TYPE_CHECKING:
    from plainfilm.evaluation.document import CrossValidationDocument, SeedsDocument
    from plainfilm.metrics import Interval


def describe_variation(document: SeedsDocument) -> str:
    """Return the variation of results across seeds as a table and a sentence."""
    rows: list[tuple[str, ...]] = [
        ("metric", "mean", "sd (seeds)", "se (images)", "range", "ensemble")
    ]
    for name, one in document.variation.items():
        ensemble = None if document.ensemble is None else document.ensemble.metrics.get(name)
        rows.append(
            (
                name,
                f"{one.mean:.3f}",
                f"{one.sd:.3f}",
                "" if one.sampling_se is None else f"{one.sampling_se:.3f}",
                f"{one.minimum:.3f} to {one.maximum:.3f}",
                "" if ensemble is None or math.isnan(ensemble.value) else f"{ensemble.value:.3f}",
            )
        )
    return f"{table(rows, right=(1, 2, 3))}\n{document.note}"


def describe_folds(document: CrossValidationDocument) -> str:
    """Return the results of a cross-validation as two tables and what they mean."""
    rows: list[tuple[str, ...]] = [("", "images", "patients", "auroc", "95 % interval")]
    for row in document.rows:
        name = f"fold {row.fold}" + ("" if row.name is None else f" ({row.name})")
        area = row.metrics["auroc"]
        rows.append((name, f"{row.n:,}", f"{row.patients:,}", _value(area), limits(area)))
    mean, pooled = document.mean_auroc, document.pooled["auroc"]
    rows.append(("mean of the folds", "", "", _value(mean), limits(mean)))
    images, patients = (
        sum(getattr(row, key) for row in document.rows) for key in ("n", "patients")
    )
    rows.append(("pooled", f"{images:,}", f"{patients:,}", _value(pooled), limits(pooled)))
    others: list[tuple[str, ...]] = [("metric", "pooled", "95 % interval", "sd (folds)")]
    for name, metric in document.pooled.items():
        own = document.variation.get(name)
        spread = "" if own is None else f"{own.sd:.3f}"
        others.append((name, _value(metric), limits(metric), spread))
    lines = [table(rows, right=(1, 2, 3)), table(others, right=(1, 3)), document.note]
    if document.test_images:
        lines.append(f"{plural(document.test_images, 'image')} of the test set: in no fold")
    return "\n".join(lines)


def _value(metric: Interval) -> str:
    return "undefined" if math.isnan(metric.value) else f"{metric.value:.3f}"
