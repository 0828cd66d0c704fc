"""A few images to look at."""

from __future__ import annotations

import numpy as np

from plainfilm.data.manifest import Manifest

__all__ = ["pick"]


def pick(manifest: Manifest, count: int = 16, seed: int = 0) -> list[int]:
    """Choose records for a grid: each class in turn, at random within it.

    Parameters
    ----------
    manifest
        Where to choose from.
    count
        At most so many.
    seed
        Of the choice.

    Returns
    -------
    list of int
        Positions of the records.
    """
    rng = np.random.default_rng(seed)
    classes: dict[str, list[int]] = {}
    for position, record in enumerate(manifest.records):
        classes.setdefault(manifest.task.class_of(record.labels), []).append(position)
    piles = [[pile[i] for i in rng.permutation(len(pile))] for _, pile in sorted(classes.items())]
    chosen: list[int] = []
    while len(chosen) < count and any(piles):
        for pile in piles:
            if pile and len(chosen) < count:
                chosen.append(pile.pop())
    return chosen
