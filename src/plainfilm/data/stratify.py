"""Parting groups of images so that every part has its share of every label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.records import Task

__all__ = ["apportion", "group_images", "quotas", "strata_counts"]


def strata_counts(labels: NDArray[np.float32], task: Task) -> NDArray[np.float64]:
    """Return what stratification balances, (n, k) of 1 and 0.

    One column for each class; for a multi-label task one for each label's positive images, and
    one for the images that have none.
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
    """Add up strata by group: (n,) index of each image's group, and (groups, k) counts.

    Groups are in the order of their sorted keys, whatever the order of the images.
    """
    unique, index = np.unique(keys, return_inverse=True)
    counts = np.zeros((len(unique), strata.shape[1]))
    np.add.at(counts, index, strata)
    return index, counts


def apportion(
    counts: NDArray[np.float64], shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Give every group to one part, so that each part gets its share of every column.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011: *On the Stratification of
    Multi-Label Data*, ECML PKDD, LNCS 6913:145-158) with two changes, both for groups: what is
    given is a group with all its images, large ones first; and the part that takes it is the one
    that lacks the largest fraction of its own target, so that large groups do not all fall to
    the largest part.

    Parameters
    ----------
    counts
        (groups, k) images of each group in each column.
    shares
        (parts,) wanted fractions, adding up to 1.
    rng
        Orders groups of one size, and breaks ties.

    Returns
    -------
    part
        (groups,) index of the part.
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
    # Rarest first: what is left for last can still be balanced by what is plentiful.
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


def quotas(sizes: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Part ``n`` in proportion to ``sizes`` by largest remainders; none exceeds its size.

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
