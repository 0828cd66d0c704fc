"""Thresholds locked on validation, and how far validation settles them.

A good classifier is often perfect, or nearly so, on validation. Then a wide range of thresholds
makes the same calls there, and whichever image the usual rules stop at decides what happens on
the images to come. The rules here are therefore made on the log odds, with the gaps in mind:

balanced
    Each class's log odds are smoothed by a Gaussian kernel of Silverman's bandwidth (B. W.
    Silverman, Density Estimation, 1986, eq. 3.31), and the threshold is where the smoothed
    balanced accuracy is highest. Inside a gap it lies so that both classes are equally many
    bandwidths away, in effect; it moves smoothly with the data, and scales with the temperature.
rule-out
    The highest threshold with the wanted sensitivity, but not above the balanced one: where the
    balanced threshold already has that sensitivity, going higher would only give it away.
rule-in
    The lowest threshold with the wanted specificity, but not below the balanced one.

The last two lie halfway, in log odds, between the image that sets them and the next image, so
that they make the calls on validation that the literal rule makes, and not on a knife's edge.

How far each is determined is seen by drawing the patients of validation again: the 5th to 95th
percentile of the thresholds so locked. Nothing but validation may go in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thorax.errors import MetricError
from thorax.metrics._inputs import Bools, Floats, Ints, group_index, known
from thorax.metrics.ranking import roc_auc_score
from thorax.metrics.regression import CLOSEST, logits_of
from thorax.records import LockedPoint, OperatingPoint, Purpose

__all__ = ["lock_operating_points", "silverman_bandwidth"]

Counts: TypeAlias = NDArray[np.uint16]

_AT_ONCE = 1 << 21  # weights
_GRID = 257
_FEW_IMAGES = 20
_SATURATED = 0.99
_WIDE = 0.3  # in probability
_WIDE_LOGIT = 2.0  # in log odds: the odds at the threshold vary more than sevenfold


def silverman_bandwidth(values: ArrayLike) -> float:
    """Return 0.9 min(standard deviation, interquartile range / 1.34) n^(-1/5); 0 if no spread."""
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return 0.0
    spreads = [
        float(array.std(ddof=1)),
        float(np.subtract(*np.quantile(array, [0.75, 0.25])) / 1.34),
    ]
    # More than half of the values may coincide (saturated scores), which leaves no range.
    spread = min((one for one in spreads if one > 0), default=0.0)
    return float(0.9 * spread * array.size**-0.2)


def lock_operating_points(
    probabilities: ArrayLike,
    labels: ArrayLike,
    label: str,
    *,
    patients: Sequence[str] | NDArray[np.str_] | None = None,
    sensitivity: float = 0.95,
    specificity: float = 0.95,
    own: Mapping[str, float] | None = None,
    replicates: int = 500,
    seed: int | np.random.Generator = 0,
) -> tuple[LockedPoint, ...]:
    """Lock the balanced, the rule-out and the rule-in threshold of one label on validation.

    Parameters
    ----------
    probabilities
        (n,) of the validation images, 0 to 1, after the temperature.
    labels
        (n,) of 1, 0 or NaN; NaN is left out.
    label
        Name of the label.
    patients
        (n,) keys, or None for one patient per image.
    sensitivity, specificity
        What rule-out and rule-in must reach on validation, above 0 and up to 1.
    own
        The user's own thresholds by name, 0 to 1; they are taken as they are.
    replicates, seed
        Number of resamples, and a seed or generator, for ``low`` and ``high``.

    Returns
    -------
    Three points, named ``balanced``, ``rule-out`` and ``rule-in``, and then the user's own. If
    validation lacks a class there is nothing to choose by: one point ``balanced`` at 0.5 in place
    of the three, undetermined, that says so.

    Raises
    ------
    MetricError
        If an input is out of range.
    """
    for name, target in (("sensitivity", sensitivity), ("specificity", specificity)):
        if not 0 < target <= 1:
            raise MetricError(f"the wanted {name} must lie above 0 and up to 1", received=target)
    positive, values, _ = known(labels, probabilities, probabilities=True)
    everyone, count = group_index(patients, np.shape(labels)[0])
    groups = everyone[~np.isnan(np.asarray(labels, dtype=np.float64))]
    given = tuple(
        _given(label, name, threshold, values, positive) for name, threshold in (own or {}).items()
    )
    if not positive.any() or positive.all():
        return (_without_choice(label, positive), *given)
    logits = logits_of(values)
    order = np.argsort(logits, kind="stable")
    up, logits, groups = positive[order], logits[order], groups[order]
    drawn = _drawn(count, replicates, np.random.default_rng(seed))
    drawn = drawn[_any(drawn, groups[up]) & _any(drawn, groups[~up])]
    balanced = _balanced(logits, up, groups, drawn)
    out = np.minimum(_reaching(logits, up, groups, drawn, sensitivity), balanced)
    # Seen from the other end, the negatives are what the positives were.
    mirrored = _reaching(-logits[::-1], ~up[::-1], groups[::-1], drawn, specificity)
    into = np.maximum(-mirrored, balanced)
    sizes = f"on validation ({int(up.sum())} positives, {int((~up).sum())} negatives)"
    rules: tuple[tuple[Purpose, str, Floats, float | None], ...] = (
        ("balanced", f"highest balanced accuracy {sizes}, kernel-smoothed in log odds",
         balanced, None),
        ("rule-out", f"highest threshold with a sensitivity of at least {sensitivity:g} {sizes}, "
         "not above the balanced one", out, sensitivity),
        ("rule-in", f"lowest threshold with a specificity of at least {specificity:g} {sizes}, "
         "not below the balanced one", into, specificity),
    )  # fmt: skip
    chosen = (
        _point(label, purpose, rule, thresholds, target, values, positive)
        for purpose, rule, thresholds, target in rules
    )
    return (*chosen, *given)


def _drawn(patients: int, replicates: int, rng: np.random.Generator) -> Counts:
    """Return how often each patient counts (1 + replicates, patients): first once, then as drawn.

    Of patients, not of images: there are fewer, by far where each image is shown several times.
    """
    drawn = rng.integers(0, patients, (replicates, patients))
    drawn += np.arange(replicates)[:, None] * patients
    tally = np.bincount(drawn.ravel(), minlength=replicates * patients)
    # Nobody is drawn 65,536 times: there are fewer patients than that, or each is drawn rarely.
    counts = tally.reshape(replicates, patients).astype(np.uint16)
    return np.vstack([np.ones((1, patients), np.uint16), counts])


def _any(drawn: Counts, groups: Ints) -> Bools:
    """Return of each row of counts whether it has any of these patients."""
    return np.asarray(drawn[:, np.unique(groups)].any(axis=1))


def _blocks(rows: int, width: int) -> list[slice]:
    """Return some rows at a time: as floats, all of many images would take gigabytes."""
    step = max(1, _AT_ONCE // max(width, 1))
    return [slice(at, at + step) for at in range(0, rows, step)]


def _bandwidths(logits: Floats, up: Bools) -> tuple[float, float]:
    """Return the kernel's width for positives and negatives, both above 0.

    A class without spread (one image, or all alike) borrows the other's.
    """
    wide_up, wide_down = silverman_bandwidth(logits[up]), silverman_bandwidth(logits[~up])
    least = 1e-3 * max(float(np.ptp(logits)), 1e-3)
    wide_up, wide_down = wide_up or wide_down, wide_down or wide_up
    return max(wide_up, least), max(wide_down, least)


def _balanced(logits: Floats, up: Bools, groups: Ints, drawn: Counts) -> Floats:
    """Return the balanced threshold in log odds for each row of counts (R, patients).

    The bandwidths are those of the images as they are: they hardly vary between resamples, and
    holding them lets every resample use the same kernel sums.
    """
    widths = _bandwidths(logits, up)
    reach = 3 * max(widths)
    grid = np.linspace(logits[0] - reach, logits[-1] + reach, _GRID)
    first = _lowest(grid, _log_error(grid, logits, up, groups, drawn, widths))
    # Once more, where the minima are.
    step = grid[1] - grid[0]
    fine = np.linspace(first.min() - step, first.max() + step, _GRID)
    return _lowest(fine, _log_error(fine, logits, up, groups, drawn, widths))


def _log_error(
    grid: Floats,
    logits: Floats,
    up: Bools,
    groups: Ints,
    drawn: Counts,
    widths: tuple[float, float],
) -> Floats:
    """Return the log of the smoothed, class-balanced error (R, grid).

    In logs, because inside a gap the error itself is too small for a float.
    """
    from scipy.special import log_ndtr

    parts = []
    for own, sign, width in ((up, 1.0, widths[0]), (~up, -1.0, widths[1])):
        # Patient by patient, so that a resample adds up patients and not their images.
        by_patient = np.argsort(groups[own], kind="stable")
        members, first, images = np.unique(
            groups[own][by_patient], return_index=True, return_counts=True
        )
        values, counts = logits[own][by_patient], drawn[:, members]
        blocks = _blocks(len(counts), len(members))
        total = np.concatenate([counts[rows].astype(np.float64) @ images for rows in blocks])
        columns = []
        block = max(1, (1 << 21) // len(values))
        for start in range(0, len(grid), block):
            at = grid[None, start : start + block]
            tails = log_ndtr(sign * (at - values[:, None]) / width)
            top = tails.max(axis=0)
            kernel = np.add.reduceat(np.exp(tails - top), first, axis=0)
            sums = np.vstack([counts[rows].astype(np.float64) @ kernel for rows in blocks])
            columns.append(top + np.log(np.maximum(sums / total[:, None], 1e-300)))
        parts.append(np.concatenate(columns, axis=1))
    errors: Floats = np.logaddexp(*parts)
    return errors


def _lowest(grid: Floats, errors: Floats) -> Floats:
    """Return where each row of errors (R, grid) is lowest, refined by a parabola."""
    at = np.clip(errors.argmin(axis=1), 1, len(grid) - 2)
    rows = np.arange(len(errors))
    left, middle, right = (errors[rows, at + shift] for shift in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.divide(left - right, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    refined: Floats = grid[at] + np.clip(shift, -1, 1) * (grid[1] - grid[0])
    return refined


def _reaching(logits: Floats, up: Bools, groups: Ints, drawn: Counts, target: float) -> Floats:
    """Return the highest threshold that keeps ``target`` of the positives, per row of counts.

    Logits (n,) rise. It lies halfway between the positive that sets it and the next image below.
    """
    values, owners, setters = logits[up], groups[up], []
    for rows in _blocks(len(drawn), len(values)):
        mass = drawn[rows][:, owners]
        kept = np.cumsum(mass[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]  # at or above each one
        enough = (kept >= target * kept[:, :1] - 1e-9) & (mass > 0)
        setters.append(len(values) - 1 - np.argmax(enough[:, ::-1], axis=1))
    edge = values[np.concatenate(setters)]
    below = np.searchsorted(logits, edge, side="left") - 1
    # Below the lowest image there is no next one: keep a bandwidth away instead.
    away = edge - 2 * _bandwidths(logits, up)[0]
    nearest: Floats = np.where(below >= 0, logits[np.maximum(below, 0)], away)
    halfway: Floats = (edge + nearest) / 2
    return halfway


def _probability(logit: float) -> float:
    # Beyond the clipping of the logits there is only 0 or 1, which calls all or (nearly) none.
    if logit <= math.log(CLOSEST):
        return 0.0
    if logit >= -math.log(CLOSEST):
        return 1.0
    return 0.5 * (1 + math.tanh(logit / 2))


def _point(
    label: str,
    purpose: Purpose,
    rule: str,
    logits: Floats,
    target: float | None,
    values: Floats,
    positive: Bools,
) -> LockedPoint:
    threshold = _probability(float(logits[0]))
    spread = logits[1:] if len(logits) > 1 else logits
    low_logit, high_logit = (float(end) for end in np.quantile(spread, [0.05, 0.95]))
    low, high = _probability(low_logit), _probability(high_logit)
    called = values >= threshold
    reached = float(called[positive].mean()), float((~called[~positive]).mean())
    notes = _doubts(threshold, (low, high), values, positive, resampled=len(logits) > 1)
    if sum(reached) <= 1:
        notes.append("on validation it is no better than chance")
    if target is not None and reached[0 if purpose == "rule-out" else 1] < target:
        notes.append(f"no threshold reaches the target of {target:g}")
    return LockedPoint(
        OperatingPoint(purpose, purpose, label, threshold, rule),
        low, high, *reached, not notes, "; ".join(notes),
    )  # fmt: skip


def _wide(low: float, high: float) -> bool:
    low_logit, high_logit = logits_of([low, high])
    return bool(high - low > _WIDE or high_logit - low_logit > _WIDE_LOGIT)


def _doubts(
    threshold: float,
    ends: tuple[float, float],
    values: Floats,
    positive: Bools,
    *,
    resampled: bool,
) -> list[str]:
    """Return why validation does not settle a threshold, in words; empty if it does."""
    notes = []
    low, high = ends
    if not resampled:
        notes.append("without resamples nobody knows how far validation settles it")
    elif _wide(low, high):
        notes.append(
            f"validation hardly determines this threshold: on resamples of its patients it "
            f"ranges from {low:.3g} to {high:.3g}"
        )
    below = float(values[values < threshold].max(initial=0.0))
    above = float(values[values >= threshold].min(initial=1.0))
    if _wide(below, above):
        separated = values[~positive].max() < values[positive].min()
        perfect = " (the classes are perfectly separated)" if separated else ""
        notes.append(
            f"validation hardly determines this threshold: anything above {below:.3g} and up to "
            f"{above:.3g} makes the same calls there{perfect}"
        )
    area = roc_auc_score(positive, values)
    if area > _SATURATED:
        notes.append(
            f"validation is nearly perfectly separated (AUROC {area:.3f}), so it hardly shows "
            "where the threshold belongs on images that are harder or come from elsewhere"
        )
    smaller = int(min(positive.sum(), (~positive).sum()))
    if smaller < _FEW_IMAGES:
        notes.append(f"one class has only {smaller} validation image(s)")
    return notes


def _given(label: str, name: str, threshold: float, values: Floats, positive: Bools) -> LockedPoint:
    """Return a point that validation has no part in, with what it does there."""
    if not 0 <= threshold <= 1:
        raise MetricError(f"the threshold of {name} must lie between 0 and 1", received=threshold)
    called = values >= threshold
    hit = float(called[positive].mean()) if positive.any() else math.nan
    clear = float((~called[~positive]).mean()) if not positive.all() else math.nan
    point = OperatingPoint(name, "custom", label, float(threshold), "given by the user")
    return LockedPoint(point, float(threshold), float(threshold), hit, clear, True, "")


def _without_choice(label: str, positive: Bools) -> LockedPoint:
    if not positive.size:
        why = "validation holds no known label"
    else:
        why = f"validation holds no {'negative' if positive.all() else 'positive'} image"
    rule = f"0.5, not chosen: {why}"
    point = OperatingPoint("balanced", "balanced", label, 0.5, rule)
    return LockedPoint(point, 0.0, 1.0, math.nan, math.nan, False, why)
