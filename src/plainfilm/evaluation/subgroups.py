"""Whether a classifier is as good for everybody: results by column and by fact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.data import Manifest
from plainfilm.evaluation.cells import Column, read_columns
from plainfilm.metrics import (
    Interval,
    Statistic,
    bootstrap_interval,
    confusion,
    correlated_difference,
    group_index,
    holm,
    pool,
    ranking_statistic,
    rates_statistic,
    replicate,
    undefined,
    why_undefined,
)
from plainfilm.records import OperatingPoint

__all__ = ["MINIMUM", "describe_subgroups"]

MINIMUM = 10
"""A cell needs so many patients of a class before anything is said about that class."""

_METHOD = (
    "over patients, 95 %, each interval by the method that it names; a difference is the cell less "
    "all other images of known value, its interval made from those of the two and of how far they "
    "vary together (MOVER), since a bootstrap of a cell without an error has no spread; p is the "
    "normal one of that interval, adjusted for all tests of the evaluation after Holm"
)
_NORMAL = 1.959963984540054
_METRICS = ("auroc", "sensitivity", "specificity")
_RATE_ROWS = {"sensitivity": 2, "specificity": 3}


@dataclass(frozen=True, slots=True, eq=False)
class _Cases:
    """The images of known label; arrays are (n,)."""

    positive: NDArray[np.bool_]
    scores: NDArray[np.float64]
    called: NDArray[np.bool_] | None
    groups: NDArray[np.intp]
    drawn: NDArray[np.intp]
    units: int
    replicates: int
    seed: int

    def patients(self, where: NDArray[np.bool_]) -> int:
        """Return how many patients some of the images are of."""
        return int(np.count_nonzero(np.bincount(self.groups[where])))

    def share_patients(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
        """Tell whether some patient has images on both sides."""
        return bool(np.intersect1d(self.groups[one], self.groups[other]).size)

    def statistics(self, where: NDArray[np.bool_]) -> list[Statistic]:
        """Return the statistics of some of the images."""
        cases = (self.positive[where], self.scores[where], self.drawn[where], self.units)
        found = [ranking_statistic(*cases)]
        if self.called is not None:
            rest = (self.drawn[where], self.units)
            found.append(rates_statistic(self.positive[where], self.called[where], *rest))
        return found


def describe_subgroups(
    manifest: Manifest,
    probabilities: ArrayLike,
    points: Sequence[OperatingPoint],
    *,
    metadata: Mapping[str, Sequence[str | float | None]] | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the results of every cell of every column that can be told apart.

    Parameters
    ----------
    manifest
        The records that were scored.
    probabilities
        (n, labels), 0 to 1.
    points
        Operating points; sensitivity and specificity are those of a label's ``balanced`` one.
    metadata
        What files tell of themselves: name to (n,) values, None where a file does not tell.
    replicates, seed
        Of the bootstrap.

    Returns
    -------
    The entry ``subgroups`` of ``evaluation.json``. Where every value of a column goes with one
    class only (a kind of disease), each of its cells is taken with all images of the other class.
    """
    truth = manifest.label_array().astype(np.float64)
    chances = np.asarray(probabilities, np.float64)
    groups, count = group_index([str(key) for key in manifest.patients], len(truth))
    drawn, units = pool(groups, count)
    columns = read_columns(manifest, metadata or {})
    labels: dict[str, list[dict[str, Any]]] = {}
    for position, label in enumerate(manifest.task.labels):
        known = ~np.isnan(truth[:, position])
        threshold = _threshold(points, label)
        cases = _Cases(
            truth[known, position] == 1,
            chances[known, position],
            None if threshold is None else chances[known, position] >= threshold,
            groups[known],
            drawn[known],
            units,
            replicates,
            seed,
        )
        labels[label] = [
            entry for column in columns if (entry := _column(cases, column, known)) is not None
        ]
    return {
        "minimum": {"patients": MINIMUM},
        "method": _METHOD,
        "tests": _adjust(labels),
        "labels": labels,
    }


def _threshold(points: Sequence[OperatingPoint], label: str) -> float | None:
    own = (p.threshold for p in points if p.label == label and p.purpose == "balanced")
    return next(own, None)


def _column(cases: _Cases, column: Column, known: NDArray[np.bool_]) -> dict[str, Any] | None:
    codes = column.codes[known]
    there = codes >= 0
    cells, refused = [], []
    kinds = [codes == number for number in range(len(column.values))]
    pure = _pure_sides(cases.positive, kinds)
    if pure is not None and max(pure.values()) < 2:
        return None  # the column is the label
    one_sided = pure is not None
    for value, own in zip(column.values, kinds, strict=True):
        if not own.any():
            continue
        if pure is not None and pure[bool(cases.positive[own][0])] < 2:
            continue  # the whole other class
        cell = own
        if one_sided:
            cell = own | (cases.positive != cases.positive[own][0])
        why = _too_small(cases, cell)
        if why is None:
            cells.append({"value": value, **_cell(cases, cell, own, there, one_sided)})
        else:
            positives = int((own & cases.positive).sum())
            refused.append(
                {"value": value, "n": int(own.sum()), "positives": positives, "reason": why}
            )
    if len(cells) + len(refused) < 2:
        return None
    return {
        "column": column.name,
        "against": "all images of the other class" if one_sided else None,
        "cells": cells,
        "refused": refused,
        "missing": int((~there).sum()),
    }


def _pure_sides(
    positive: NDArray[np.bool_], kinds: Sequence[NDArray[np.bool_]]
) -> dict[bool, int] | None:
    """Return how many values occur in positives only and in negatives only.

    None where some value occurs in both.
    """
    sides = [positive[own] for own in kinds if own.any()]
    if not all(side.all() or not side.any() for side in sides):
        return None
    up = sum(bool(side.all()) for side in sides)
    return {True: up, False: len(sides) - up}


def _too_small(cases: _Cases, cell: NDArray[np.bool_]) -> str | None:
    sizes = {
        "positive": cases.patients(cell & cases.positive),
        "negative": cases.patients(cell & ~cases.positive),
    }
    if max(sizes.values()) >= MINIMUM:
        return None
    told = " and ".join(f"{size} patients with {side} images" for side, size in sizes.items())
    return f"only {told}; {MINIMUM} of a class are needed"


def _cell(
    cases: _Cases,
    cell: NDArray[np.bool_],
    own: NDArray[np.bool_],
    there: NDArray[np.bool_],
    one_sided: bool,
) -> dict[str, Any]:
    # The others: of a kind of disease, the other kinds with the same images of the other class.
    rest = there & ~own
    if one_sided:
        side = cases.positive[own][0]
        rest = (there & ~own & (cases.positive == side)) | (cases.positive != side)
    statistics = [*cases.statistics(cell), *cases.statistics(rest)]
    found = replicate(
        statistics,
        patients=cases.units,
        images=len(cases.positive),
        replicates=cases.replicates,
        rng=np.random.default_rng(cases.seed),
    )
    ones = np.ones((1, cases.units))
    half = len(statistics) // 2
    entry: dict[str, Any] = {
        "n": int(own.sum()),
        "patients": cases.patients(own),
        "positives": int((own & cases.positive).sum()),
    }
    differences, tests = {}, {}
    for name in _METRICS:
        part, row = (0, 0) if name == "auroc" else (1, _RATE_ROWS.get(name, 0))
        if part >= half:
            entry[name] = undefined("none", "no balanced operating point is locked").to_json()
            continue
        values = [float(statistics[part + at](ones)[row, 0]) for at in (0, half)]
        drawn = [found[part + at][row] for at in (0, half)]
        inside, outside = (
            _interval(cases, where, name, value, again, _why_not(cases, where, name))
            for where, value, again in zip((cell, rest), values, drawn, strict=True)
        )
        entry[name] = inside.to_json()
        # Of a kind of disease the images of the other class are the same on both sides.
        shared = one_sided and name == ("specificity" if cases.positive[own][0] else "sensitivity")
        if not shared and math.isfinite(inside.value) and math.isfinite(outside.value):
            together = _correlation(*drawn) if cases.share_patients(cell, rest) else 0.0
            difference = correlated_difference(inside, outside, together)
            differences[name], tests[name] = difference.to_json(), _p_of(difference)
    return {**entry, "difference": differences, "p": tests, "p_adjusted": {}}


def _why_not(cases: _Cases, cell: NDArray[np.bool_], name: str) -> str | None:
    """Return why a metric of some of the images is not told, or None."""
    up, down = cases.patients(cell & cases.positive), cases.patients(cell & ~cases.positive)
    needed = {"auroc": min(up, down), "sensitivity": up, "specificity": down}[name]
    if needed >= MINIMUM:
        return None
    calls = np.zeros(int(cell.sum()), bool)
    missing = why_undefined(name, confusion(cases.positive[cell], calls))
    return missing or f"fewer than {MINIMUM} patients of a class"


def _interval(
    cases: _Cases,
    cell: NDArray[np.bool_],
    name: str,
    value: float,
    drawn: NDArray[np.float64],
    why: str | None,
) -> Interval:
    if why is not None:
        return undefined("none", why)
    called = cases.called if cases.called is not None else np.zeros_like(cases.positive)
    return bootstrap_interval(
        name,
        value,
        drawn,
        positive=cases.positive[cell],
        called=called[cell],
        groups=cases.groups[cell],
        unit="patients",
    )


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return how the replicates (R,) of two values go together; 0 where one does not vary."""
    there = np.isfinite(one) & np.isfinite(other)
    if there.sum() < 2 or min(np.ptp(one[there]), np.ptp(other[there])) < 1e-12:
        return 0.0
    return float(np.clip(np.corrcoef(one[there], other[there])[0, 1], -1.0, 1.0))


def _p_of(difference: Interval) -> float:
    """Return the two-sided p that goes with a 95 % interval: below 0.05 where it leaves 0 out."""
    value = difference.value
    reach = value - difference.low if value > 0 else difference.high - value
    if not (math.isfinite(reach) and reach > 0):
        return math.nan
    return math.erfc(abs(value) / reach * _NORMAL / math.sqrt(2))


def _adjust(labels: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    """Adjust every p-value for all of them, in place; return how many tests there were.

    Of two cells that are each other's rest both differences are one test.
    """
    tests: list[tuple[str, list[Mapping[str, Any]]]] = []
    for columns in labels.values():
        for column in columns:
            cells = column["cells"]
            mirrored = len(cells) == 2 and not column["refused"]
            for group in [cells] if mirrored else [[cell] for cell in cells]:
                tests += [(name, group) for name in group[0]["p"]]
    adjusted = holm([group[0]["p"][name] for name, group in tests])
    for (name, group), value in zip(tests, adjusted, strict=True):
        for cell in group:
            if name in cell["p"]:
                cell["p_adjusted"][name] = value if math.isfinite(value) else None
                cell["p"][name] = cell["p"][name] if math.isfinite(value) else None
    return sum(math.isfinite(value) for value in adjusted)
