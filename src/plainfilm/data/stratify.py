"""Assigns groups of images to parts, stratified by label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.records import Task


def strata_counts(labels: NDArray[np.float32], task: Task) -> NDArray[np.float64]:
    """Return the strata of each image, (n, k) of 1 and 0.

    The columns are the classes; for a multi-label task the labels, and a column for images
    without a positive label.
    """
    positive: NDArray[np.float64] = (labels == 1).astype(np.float64)
    if task.kind == "multiclass":
        return positive
    if task.kind == "binary":
        return np.hstack([(labels == 0).astype(np.float64), positive])
    none = (positive.sum(axis=1, keepdims=True) == 0).astype(np.float64)
    return np.hstack([positive, none])


def group_images(
    keys: NDArray[np.intp], strata: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the group of each image, (n,), and the strata counts of each group, (groups, k).

    Groups are in the order of their sorted keys.
    """
    unique, index = np.unique(keys, return_inverse=True)
    counts = np.zeros((len(unique), strata.shape[1]))
    np.add.at(counts, index, strata)
    return index, counts


def apportion(
    counts: NDArray[np.float64], shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Assign every group to one part, so that each part gets its share of every column.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011: *On the Stratification of
    Multi-Label Data*, ECML PKDD, LNCS 6913:145-158) with two changes for groups. All images of a
    group are assigned together, large groups first. A group is assigned to the part that lacks the
    largest fraction of its target, so that large groups are not all in the largest part.

    ``counts`` (groups, k) are numbers of images, ``shares`` (parts,) target fractions of sum 1;
    ``rng`` orders groups of equal size and decides ties. Returns the part of each group, (groups,).
    """
    groups = len(counts)
    part = np.full(groups, -1, dtype=np.intp)
    totals = counts.sum(axis=0)
    target = np.outer(shares, totals)
    have = np.zeros_like(target)
    size = counts.sum(axis=1)
    whole = shares * size.sum()
    order = rng.permutation(groups)
    order = order[np.argsort(-size[order], kind="stable")]
    ties = rng.random(len(shares)) * 1e-9
    # Rarest column first: the frequent ones can be balanced at the end.
    for column in np.argsort(totals, kind="stable"):
        for group in order[(counts[order, column] > 0) & (part[order] < 0)]:
            lack = _lack(have[:, column], target[:, column])
            close = lack > lack.max() - 1e-9
            every = _lack(have.sum(axis=1), whole)
            best = int(np.argmax(np.where(close, every + ties, -np.inf)))
            part[group] = best
            have[best] += counts[group]
    rest = order[part[order] < 0]  # groups without any known label
    part[rest] = rng.choice(len(shares), size=len(rest), p=shares)
    return part


def _lack(have: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    lack = np.full(len(have), -np.inf)
    np.divide(target - have, target, out=lack, where=target > 0)
    return lack


def deal(counts: NDArray[np.float64], parts: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Assign every group to one of several equal parts, so that all have the same strata.

    Groups with the largest shares of the strata come first. Each is assigned to the part that has
    least of what it adds, which keeps the sum of the squared shares of the parts smallest.

    ``counts`` (groups, k) are numbers of images; ``rng`` orders equal groups and decides ties.
    Returns the part of each group, (groups,).
    """
    shares = np.column_stack([counts, counts.sum(axis=1)])
    shares /= np.maximum(shares.sum(axis=0), 1)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-shares[order].sum(axis=1), kind="stable")]
    ties = rng.random(parts) * 1e-12
    have = np.zeros((parts, shares.shape[1]))
    part = np.empty(len(counts), dtype=np.intp)
    for group in order:
        part[group] = best = int(np.argmin(have @ shares[group] + ties))
        have[best] += shares[group]
    return part


def quotas(sizes: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Divide ``n`` in proportion to ``sizes`` by largest remainders, at most the size each.

    Examples
    --------
    >>> quotas(np.array([30, 10]), 10).tolist()
    [8, 2]
    """
    exact = sizes * (n / sizes.sum())
    whole: NDArray[np.intp] = np.floor(exact).astype(np.intp)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: n - int(whole.sum())]] += 1
    limited: NDArray[np.intp] = np.minimum(whole, sizes)
    return limited
