"""Chooses images to display."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from plainfilm.data.manifest import Manifest


def pick(manifest: Manifest, count: int = 16, seed: int = 0) -> list[int]:
    """Choose records for a grid of images: each class in turn, at random within a class.

    Parameters
    ----------
    manifest
        The records.
    count
        Maximum number of records.
    seed
        Seed of the random choice.

    Returns
    -------
    list of int
        Positions of the records.
    """
    rng = np.random.default_rng(seed)
    classes: dict[str, list[int]] = {}
    for position, record in enumerate(manifest.records):
        classes.setdefault(manifest.task.class_of(record.labels), []).append(position)
    queues = [
        [members[i] for i in rng.permutation(len(members))]
        for _, members in sorted(classes.items())
    ]
    rounds = zip_longest(*(reversed(queue) for queue in queues))
    return [row for some in rounds for row in some if row is not None][:count]
