"""Bootstraps of very many patients, at the cost of a few thousand.

Patients are independent, so sums over random blocks of them are as well, and drawing blocks again
shows the same spread as drawing patients: with `BLOCKS` of them, a standard error is off by about
1 / sqrt(2 `BLOCKS`), 1.6 %, no more than two thousand replicates leave open.
"""

from __future__ import annotations

import numpy as np

from plainfilm.metrics._inputs import Ints

__all__ = ["BLOCKS", "MANY", "pool"]

BLOCKS = 2000
MANY = 20_000
"""Above so many patients they are pooled, and above so many images scores are binned."""


def pool(groups: Ints, patients: int, seed: int = 0) -> tuple[Ints, int]:
    """Return the groups and number of groups to draw: blocks of patients where there are many.

    Parameters
    ----------
    groups
        (n,): patient of each image, 0 to ``patients - 1``.
    patients
        How many there are.
    seed
        Of the blocks; they hold equally many patients but for one.
    """
    if patients <= MANY:
        return groups, patients
    block = np.arange(patients, dtype=np.intp) % BLOCKS
    return np.random.default_rng(seed).permutation(block)[groups], BLOCKS
