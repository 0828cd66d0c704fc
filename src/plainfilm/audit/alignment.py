"""Lay one radiograph over another, and say how well the fine structure agrees.

Two copies of a picture, one cut a little or scaled, agree to the last rib once they are laid over
each other; two radiographs of the same child do not, however much they look alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["align", "unmoved"]

Floats = NDArray[np.float32]

_STEP = 0.05
_SCALES = (0.88, 1.14)
_SHIFT = 0.14


def unmoved(count: int) -> Floats:
    """Return parameters (n, 4) that leave pictures where they are."""
    return np.tile(np.array([1, 0, 1, 0], dtype=np.float32), (count, 1))


def align(still: Floats, moved: Floats, start: Floats, rounds: int) -> tuple[Floats, Floats]:
    """Find scale and shift, of both axes, that lay one picture over another.

    Gauss-Newton steps on the squared difference, with gain and offset free (B. Lucas & T. Kanade,
    IJCAI 1981).

    Parameters
    ----------
    still, moved
        (n, side, side): n pairs of pictures, without exposure (see `local_contrast`).
    start
        (n, 4): scale and shift across, scale and shift down; a shift of 1 is half a side.
    rounds
        Number of steps.

    Returns
    -------
    agreement
        (n,): the best correlation over the part that both pictures show, -1 to 1.
    parameters
        (n, 4): where it was reached.
    """
    count, side, _ = still.shape
    middle = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    best = np.full(count, -1, dtype=np.float32)
    kept, now = start.copy(), start.copy()
    for step in range(rounds + 1):
        down, inside_down = _sampler(now[:, 2], now[:, 3], middle)
        across, inside_across = _sampler(now[:, 0], now[:, 1], middle)
        laid = np.asarray(down @ moved @ across.transpose(0, 2, 1), dtype=np.float32)
        both = inside_down[:, :, None] & inside_across[:, None, :]
        seen: Floats = both.astype(np.float32)
        agreement = _correlation(still, laid, seen)
        better = agreement > best
        best[better], kept[better] = agreement[better], now[better]
        if step < rounds:
            now = _improve(now, still, laid, seen, middle)
    return best, kept


def _sampler(scale: Floats, shift: Floats, middle: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return matrices (n, side, side) that sample a line linearly, and which places are in it."""
    side = len(middle)
    places = ((scale[:, None] * middle + shift[:, None]) + 1) * (side / 2) - 0.5
    inside = (places >= 0) & (places <= side - 1)
    places = np.clip(places, 0, side - 1.001)
    left = places.astype(np.intp)
    part = (places - left).astype(np.float32)
    matrix = np.zeros((len(scale), side, side), dtype=np.float32)
    rows, columns = np.arange(len(scale))[:, None], np.arange(side)[None]
    matrix[rows, columns, left] = 1 - part
    matrix[rows, columns, left + 1] = part
    return matrix, inside


def _correlation(still: Floats, laid: Floats, seen: Floats) -> Floats:
    count = len(still)
    weight = seen.reshape(count, -1)
    total = weight.sum(axis=1, keepdims=True) + 1e-6
    first, second = still.reshape(count, -1), laid.reshape(count, -1)
    first = (first - (first * weight).sum(axis=1, keepdims=True) / total) * weight
    second = (second - (second * weight).sum(axis=1, keepdims=True) / total) * weight
    power = np.einsum("ij,ij->i", first, first) * np.einsum("ij,ij->i", second, second)
    return np.asarray(np.einsum("ij,ij->i", first, second) / np.sqrt(power + 1e-6), np.float32)


def _improve(now: Floats, still: Floats, laid: Floats, seen: Floats, middle: Floats) -> Floats:
    count, side, _ = still.shape
    across = np.gradient(laid, axis=2) * (side / 2)
    down = np.gradient(laid, axis=1) * (side / 2)
    columns = [across * middle, across, down * middle[:, None], down, laid, np.ones_like(laid)]
    slopes = (np.stack(columns, axis=1) * seen[:, None]).reshape(count, 6, -1)
    missing = ((still - laid) * seen).reshape(count, -1, 1)
    normal = slopes @ slopes.transpose(0, 2, 1)
    damping = 1e-4 * np.trace(normal, axis1=1, axis2=2) + 1e-6
    normal += np.eye(6, dtype=np.float32) * damping[:, None, None]
    change = np.linalg.solve(normal, slopes @ missing)[:, :4, 0]
    moved = now + np.clip(change, -_STEP, _STEP)
    moved[:, [0, 2]] = np.clip(moved[:, [0, 2]], *_SCALES)
    moved[:, [1, 3]] = np.clip(moved[:, [1, 3]], -_SHIFT, _SHIFT)
    return np.asarray(moved, dtype=np.float32)
