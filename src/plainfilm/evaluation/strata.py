"""Computes the AUROC within strata of a column that is related to a label: a confounder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plainfilm import metrics
from plainfilm.data.characteristics import find_traits
from plainfilm.evaluation.document.subgroups import SubgroupColumn, WithinStrata
from plainfilm.evaluation.view import LabelView

_RELATED = 0.05  # p-value up to which a column counts as related to the label


def find_recorded(columns: Iterable[str]) -> frozenset[str]:
    """Return the columns that hold the view and the site, whose strata are always examined."""
    traits = find_traits(columns)
    return frozenset(traits[name] for name in ("view", "site") if name in traits)


def describe_within(
    view: LabelView, codes: NDArray[np.intp], *, always: bool = False
) -> WithinStrata | None:
    """Return the AUROC within the groups (n,) of a column; -1 is an image without a value.

    None if no group has images of both classes, or if the column is not related to the label,
    unless it is ``always`` of interest.
    """
    view, codes = view[codes >= 0], codes[codes >= 0]
    positive, scores, patients = view.positive, view.probabilities, view.clusters.groups
    sizes = [np.bincount(codes[side], minlength=codes.max()) for side in (positive, ~positive)]
    width = max(map(len, sizes))
    up, down = (np.pad(one, (0, width - len(one))).astype(np.float64) for one in sizes)
    if not up @ down:
        return None
    related = metrics.association_test(positive, codes, patients=patients)
    if related > _RELATED and not always:
        return None
    area, test = metrics.stratified_comparison(positive, scores, codes, patients=patients)
    return WithinStrata(
        related=related,
        pairs=float(up @ down / (up.sum() * down.sum())),
        pooled=area.value - test.difference.value,
        auroc=area,
        difference=test.difference,
        p=test.p,
        p_adjusted=math.nan,
    )


def adjust_within(
    labels: Mapping[str, tuple[SubgroupColumn, ...]],
) -> dict[str, tuple[SubgroupColumn, ...]]:
    """Return the columns with the p-values of all AUROCs within strata adjusted after Holm."""
    tested = [
        one.within for columns in labels.values() for one in columns if one.within is not None
    ]
    adjusted = iter(metrics.holm([own.p for own in tested]))

    def adjust(column: SubgroupColumn) -> SubgroupColumn:
        if column.within is None:
            return column
        return replace(column, within=replace(column.within, p_adjusted=next(adjusted)))

    return {label: tuple(map(adjust, columns)) for label, columns in labels.items()}
