"""Images that are unlike the rest of their set: another body part, a photograph, a document."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.orientation import standardise

__all__ = ["score_strangeness"]

Floats = NDArray[np.float64]

_SIDE = 16
_COMPONENTS = 32
_LEAST = 60
_FIT = 8192
_CLEAN = 3.0


def score_strangeness(pictures: NDArray[np.uint8], *, seed: int = 0) -> Floats | None:
    """Say how unlike the rest of the set each picture is.

    The directions in which the set varies are found from it, without the strange ones; a picture
    is strange that those directions cannot draw, or that lies far out along them.

    Parameters
    ----------
    pictures
        uint8 (n, 32, 32).
    seed
        Of the pictures that the directions are found from, where there are more than 8192.

    Returns
    -------
    scores
        (n,): robust standard deviations above the middle of the set. None below 60 pictures.
    """
    count = len(pictures)
    if count < _LEAST:
        return None
    rows = standardise(pictures, _SIDE).reshape(count, -1)
    width = min(_COMPONENTS, count // 20)
    # To begin with, the tenth that is least like the middle picture is left out.
    likeness = rows @ np.median(rows, axis=0)
    clean = likeness >= np.quantile(likeness, 0.1)
    scores = np.zeros(count)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        chosen = np.flatnonzero(clean)
        if len(chosen) > _FIT:
            chosen = rng.choice(chosen, _FIT, replace=False)
        mean = rows[chosen].mean(axis=0)
        centred = rows - mean
        values, vectors = np.linalg.eigh(centred[chosen].T @ centred[chosen] / len(chosen))
        order = np.argsort(values)[::-1][:width]
        along = centred @ vectors[:, order]
        missing = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
        far = (along**2 / np.maximum(values[order], 1e-9)).sum(axis=1)
        scores = np.maximum(_robust(missing, clean), _robust(far, clean))
        clean = scores < _CLEAN
    return scores


def _robust(values: Floats, among: NDArray[np.bool_]) -> Floats:
    """Return how many robust standard deviations each value lies above the middle, in logs."""
    logs = np.log(np.maximum(values, 1e-9))
    middle = np.median(logs[among])
    spread = 1.4826 * np.median(np.abs(logs[among] - middle))
    return np.asarray((logs - middle) / max(spread, 1e-6), dtype=np.float64)
