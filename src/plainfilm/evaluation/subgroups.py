"""Compares the results of subgroups, by column of the data and by metadata of the files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from plainfilm import metrics
from plainfilm._text import plural
from plainfilm.evaluation.columns import Column, group_columns
from plainfilm.evaluation.document.subgroups import (
    SmallSubgroup,
    Subgroup,
    SubgroupColumn,
    Subgroups,
)
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.sides import MINIMUM, Cases
from plainfilm.evaluation.strata import adjust_within, describe_within, find_recorded
from plainfilm.evaluation.view import (
    Bools,
    Clusters,
    Floats,
    LabelView,
    default_points,
    for_each,
)
from plainfilm.records import OperatingPoint

_METHOD = (
    "over patients, 95 %, each interval by the method that it names; a difference is the "
    "subgroup less all other images of known value, its interval computed from the two intervals "
    "and their correlation (MOVER), since a bootstrap of a subgroup without an error has no "
    "spread; p is that of a normal difference with this interval, adjusted for all tests of the "
    "evaluation after Holm"
)
_NORMAL = 1.959963984540054
_METRICS = ("auroc", "sensitivity", "specificity")


def describe_subgroups(
    predictions: Predictions, points: Sequence[OperatingPoint], *, n_bootstrap: int = 2000
) -> Subgroups:
    """Return the results of every subgroup of every column that has two or more.

    Where every value of a column has images of one class only (such as kinds of a disease), each
    subgroup is taken with all images of the other class.

    Sensitivity and specificity are those of the default operating point of a label; in columns that
    are related to the label, those of every point.
    """
    y_true, y_score = (
        array.astype(np.float64) for array in (predictions.labels, predictions.probabilities)
    )
    clusters = Clusters.of(predictions.patients, len(y_true))
    columns, defaults = group_columns(predictions.columns), default_points(points)
    recorded = find_recorded(column.name for column in columns)

    def describe(position: int) -> tuple[SubgroupColumn, ...]:
        label = predictions.task.labels[position]
        known = ~np.isnan(y_true[:, position])
        view = LabelView.of(y_true[:, position], y_score[:, position], clusters)
        default = defaults.get(label)
        others = {
            own.name: view.probabilities
            >= predictions.cuts(position, own.name, own.threshold)[known]
            for own in points
            if own.label == label
        }
        predicted = None if default is None else others.pop(default.name)
        many = len(view.positive) > metrics.MANY
        bins = metrics.score_bins(view.probabilities) if many else None
        cases = Cases(view, predicted, others, bins, n_bootstrap)
        found = (
            _describe_column(cases, column, known, always=column.name in recorded)
            for column in columns
        )
        return tuple(column for column in found if column is not None)

    results = for_each(describe, range(len(predictions.task.labels)), len(y_true))
    labels, tests = _adjust(dict(zip(predictions.task.labels, results, strict=True)))
    return Subgroups(MINIMUM, _METHOD, tests, adjust_within(labels))


def _describe_column(
    cases: Cases, column: Column, known: Bools, *, always: bool
) -> SubgroupColumn | None:
    codes = column.codes[known]
    members = [codes == number for number in range(len(column.values))]
    pure = _pure_values(cases.positive, members)
    if pure is not None and max(pure.values()) < 2:
        return None  # the column is the label
    within = None if pure is not None else describe_within(cases.view, codes, always=always)
    if within is None:
        cases = replace(cases, others={})
    subgroups, too_small = [], []
    for value, own in zip(column.values, members, strict=True):
        if not own.any():
            continue
        positive = bool(cases.positive[own][0])
        if pure is not None and pure[positive] < 2:
            continue  # the whole other class
        others = np.zeros_like(cases.positive) if pure is None else cases.positive != positive
        why = _too_small(cases, own | others)
        if why is None:
            subgroups.append(_describe_subgroup(cases, value, own, codes >= 0, others))
        else:
            positives = int((own & cases.positive).sum())
            too_small.append(SmallSubgroup(value, int(own.sum()), positives, why))
    if len(subgroups) + len(too_small) < 2:
        return None
    return SubgroupColumn(
        column=column.name,
        compared_with=None if pure is None else "all images of the other class",
        subgroups=tuple(subgroups),
        too_small=tuple(too_small),
        missing=int((codes < 0).sum()),
        within=within,
    )


def _pure_values(positive: Bools, members: Sequence[Bools]) -> dict[bool, int] | None:
    """Return how many values have positives only (True) and negatives only (False).

    None where some value has both.
    """
    sides = [positive[own] for own in members if own.any()]
    if not all(side.all() or not side.any() for side in sides):
        return None
    up = sum(bool(side.all()) for side in sides)
    return {True: up, False: len(sides) - up}


def _too_small(cases: Cases, rows: Bools) -> str | None:
    sizes = {
        "positive": cases.patients(rows & cases.positive),
        "negative": cases.patients(rows & ~cases.positive),
    }
    if max(sizes.values()) >= MINIMUM:
        return None
    found = " and ".join(
        f"{plural(size, 'patient')} with {side} images" for side, size in sizes.items()
    )
    return f"only {found}; {MINIMUM} of a class are needed"


def _describe_subgroup(
    cases: Cases, value: str, own: Bools, valued: Bools, others: Bools
) -> Subgroup:
    """Compare the images ``own`` with the rest of the images that have a value.

    ``others`` are the images, if any, that belong to both sides: those of the other class.
    """
    inside, outside = cases.side(own | others), cases.side((valued & ~own) | others)
    correlated = inside.shares_patients(outside)
    statistics = [*inside.statistics(), *outside.statistics()]
    half = len(statistics) // 2
    called = {name: every[own | others] for name, every in cases.others.items()}
    statistics += map(inside.view.rate_statistic, called.values())
    replicates = cases.view.clusters.replicate(statistics, cases.n_bootstrap)
    intervals, differences, p = {}, {}, {}
    for name in _METRICS:
        part, row = (0, 0) if name == "auroc" else (1, metrics.RATES.index(name))
        if part >= half:
            intervals[name] = metrics.undefined("none", "no operating point is given or locked")
            continue
        drawn = [replicates[part + at][row] for at in (0, half)]
        values = [float(cases.view.at_once(statistics[part + at])[row]) for at in (0, half)]
        intervals[name] = one = inside.interval(name, values[0], drawn[0], inside.predicted)
        other = outside.interval(name, values[1], drawn[1], outside.predicted)
        # The images of the other class are the same on both sides.
        same = "specificity" if cases.positive[own][0] else "sensitivity"
        finite = math.isfinite(one.value) and math.isfinite(other.value)
        if finite and not (others.any() and name == same):
            correlation = _correlation(*drawn) if correlated else 0.0
            differences[name] = metrics.correlated_difference(one, other, correlation)
            p[name] = _p_value(differences[name])
    at_others = zip(called, statistics[2 * half :], replicates[2 * half :], strict=True)
    return Subgroup(
        value=value,
        n=int(own.sum()),
        patients=cases.patients(own),
        positives=int((own & cases.positive).sum()),
        metrics=intervals,
        difference=differences,
        p=p,
        p_adjusted={},
        operating_points={
            point: {
                name: inside.interval(
                    name,
                    float(cases.view.at_once(statistic)[metrics.RATES.index(name)]),
                    drawn_rates[metrics.RATES.index(name)],
                    called[point],
                )
                for name in _METRICS[1:]
            }
            for point, statistic, drawn_rates in at_others
        },
    )


def _correlation(one: Floats, other: Floats) -> float:
    """Return the correlation of replicates (R,) of two values; 0 where one does not vary."""
    finite = np.isfinite(one) & np.isfinite(other)
    if finite.sum() < 2 or min(np.ptp(one[finite]), np.ptp(other[finite])) < 1e-12:
        return 0.0
    return float(np.clip(np.corrcoef(one[finite], other[finite])[0, 1], -1.0, 1.0))


def _p_value(difference: metrics.Interval) -> float:
    """Return the two-sided p-value of a 95 % interval: below 0.05 where the interval excludes 0."""
    value = difference.value
    reach = value - difference.low if value > 0 else difference.high - value
    if not (math.isfinite(reach) and reach > 0):
        return math.nan
    return math.erfc(abs(value) / reach * _NORMAL / math.sqrt(2))


def _adjust(
    labels: Mapping[str, Sequence[SubgroupColumn]],
) -> tuple[dict[str, tuple[SubgroupColumn, ...]], int]:
    """Return the columns with every p-value adjusted for all of them, and the number of tests."""
    tests: dict[tuple[str, ...], float] = {}
    for label, columns in labels.items():
        for column in columns:
            for one in column.subgroups:
                for name, p in one.p.items():
                    tests.setdefault(_test_key(label, column, one.value, name), p)
    adjusted = dict(zip(tests, metrics.holm([*tests.values()]), strict=True))

    def adjust(label: str, column: SubgroupColumn) -> SubgroupColumn:
        values = (
            {name: adjusted[_test_key(label, column, one.value, name)] for name in one.p}
            for one in column.subgroups
        )
        pairs = zip(column.subgroups, values, strict=True)
        return replace(column, subgroups=tuple(replace(one, p_adjusted=p) for one, p in pairs))

    found = {
        label: tuple(adjust(label, column) for column in columns)
        for label, columns in labels.items()
    }
    return found, sum(math.isfinite(value) for value in adjusted.values())


def _test_key(label: str, column: SubgroupColumn, value: str, metric: str) -> tuple[str, ...]:
    """Return the key of a test: where two subgroups are each the rest of the other, it is one."""
    mirrored = len(column.subgroups) == 2 and not column.too_small
    return label, column.column, "" if mirrored else value, metric
