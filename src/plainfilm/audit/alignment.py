"""Registers pairs of radiographs and measures how well their fine structure agrees.

After registration, two copies of an image agree in every rib, even if one was cropped a little or
scaled. Two radiographs of the same child do not, however similar they look.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_MAX_STEP = 0.05
_SCALES = (0.88, 1.14)
_MAX_SHIFT = 0.14


def identity_transforms(count: int) -> Floats:
    """Return parameters (n, 4) of the identity: scale 1 and shift 0 in both directions."""
    return np.tile(np.array([1, 0, 1, 0], dtype=np.float32), (count, 1))


def register(fixed: Floats, moving: Floats, start: Floats, steps: int) -> tuple[Floats, Floats]:
    """Find the scale and shift in both directions that align pairs of images (n, side, side).

    Gauss-Newton steps on the squared difference, with gain and offset free (B. Lucas & T. Kanade,
    IJCAI 1981). The parameters (n, 4) are the horizontal scale and shift and the vertical scale and
    shift, where a shift of 1 is half a side.

    Returns the highest correlation (n,) over the region that both images show, -1 to 1, and the
    parameters at which it was reached.
    """
    count, side, _ = fixed.shape
    centres = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    best = np.full(count, -1, dtype=np.float32)
    best_parameters, parameters = start.copy(), start.copy()
    for step in range(steps + 1):
        down, inside_down = _sampler(parameters[:, 2], parameters[:, 3], centres)
        across, inside_across = _sampler(parameters[:, 0], parameters[:, 1], centres)
        warped = np.asarray(down @ moving @ across.transpose(0, 2, 1), dtype=np.float32)
        both = inside_down[:, :, None] & inside_across[:, None, :]
        mask: Floats = both.astype(np.float32)
        agreement = _correlation(fixed, warped, mask)
        better = agreement > best
        best[better], best_parameters[better] = agreement[better], parameters[better]
        if step < steps:
            parameters = _improve(parameters, fixed, warped, mask, centres)
    return best, best_parameters


def _sampler(scale: Floats, shift: Floats, centres: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return matrices (n, side, side) of linear interpolation, and which positions are inside."""
    side = len(centres)
    positions = ((scale[:, None] * centres + shift[:, None]) + 1) * (side / 2) - 0.5
    inside = (positions >= 0) & (positions <= side - 1)
    positions = np.clip(positions, 0, side - 1.001)
    left = positions.astype(np.intp)
    fraction = (positions - left).astype(np.float32)
    matrix = np.zeros((len(scale), side, side), dtype=np.float32)
    rows, columns = np.arange(len(scale))[:, None], np.arange(side)[None]
    matrix[rows, columns, left] = 1 - fraction
    matrix[rows, columns, left + 1] = fraction
    return matrix, inside


def _correlation(fixed: Floats, warped: Floats, mask: Floats) -> Floats:
    count = len(fixed)
    weight = mask.reshape(count, -1)
    total = weight.sum(axis=1, keepdims=True) + 1e-6
    first, second = fixed.reshape(count, -1), warped.reshape(count, -1)
    first = (first - (first * weight).sum(axis=1, keepdims=True) / total) * weight
    second = (second - (second * weight).sum(axis=1, keepdims=True) / total) * weight
    power = np.einsum("ij,ij->i", first, first) * np.einsum("ij,ij->i", second, second)
    return np.asarray(np.einsum("ij,ij->i", first, second) / np.sqrt(power + 1e-6), np.float32)


def _improve(
    parameters: Floats, fixed: Floats, warped: Floats, mask: Floats, centres: Floats
) -> Floats:
    """Return the parameters after one Gauss-Newton step."""
    count, side, _ = fixed.shape
    across = np.gradient(warped, axis=2) * (side / 2)
    down = np.gradient(warped, axis=1) * (side / 2)
    columns = [
        across * centres,
        across,
        down * centres[:, None],
        down,
        warped,
        np.ones_like(warped),
    ]
    slopes = (np.stack(columns, axis=1) * mask[:, None]).reshape(count, 6, -1)
    residual = ((fixed - warped) * mask).reshape(count, -1, 1)
    normal = slopes @ slopes.transpose(0, 2, 1)
    damping = 1e-4 * np.trace(normal, axis1=1, axis2=2) + 1e-6
    normal += np.eye(6, dtype=np.float32) * damping[:, None, None]
    step = np.linalg.solve(normal, slopes @ residual)[:, :4, 0]
    moved = parameters + np.clip(step, -_MAX_STEP, _MAX_STEP)
    moved[:, [0, 2]] = np.clip(moved[:, [0, 2]], *_SCALES)
    moved[:, [1, 3]] = np.clip(moved[:, [1, 3]], -_MAX_SHIFT, _MAX_SHIFT)
    return np.asarray(moved, dtype=np.float32)
