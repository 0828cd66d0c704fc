"""Pools very many patients into blocks, so that a bootstrap costs as much as for a few thousand.

Patients are independent. So are sums over random blocks of patients, and resampling blocks shows
the same spread as resampling patients. With `BLOCKS` blocks the error of a standard error is about
1 / sqrt(2 `BLOCKS`), 1.6 %, which is no more than the error of two thousand replicates.
"""

from __future__ import annotations

import numpy as np

from plainfilm.metrics._inputs import Ints

BLOCKS = 2000
MANY = 20_000
"""Number of patients above which they are pooled, and of images above which scores are binned."""


def pool(groups: Ints, patients: int, seed: int = 0) -> tuple[Ints, int]:
    """Return the groups to resample, blocks of patients if there are many, and their number.

    Parameters
    ----------
    groups
        Patient of each image, (n,), 0 to ``patients - 1``.
    patients
        Number of patients.
    seed
        Seed for the assignment to blocks of equal size (within one patient).
    """
    if patients <= MANY:
        return groups, patients
    block = np.arange(patients, dtype=np.intp) % BLOCKS
    return np.random.default_rng(seed).permutation(block)[groups], BLOCKS
