"""Plants known flaws in a data set, for tests and benchmarks of the audit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from planting import appearance, copies, damage
from planting.folder import ImageFolder, open_folder

FlawKind = Literal[
    "exact-duplicate",
    "reencoded-duplicate",
    "near-duplicate",
    "contradicting-label",
    "leak-across-splits",
    "patient-leak",
    "truncated",
    "empty",
    "not-an-image",
    "mislabelled-format",
    "blank",
    "low-contrast",
    "inverted",
    "rotated",
    "colour",
    "tiny",
    "burnt-in-text",
    "shortcut-border",
    "shortcut-marker",
    "shortcut-size",
    "shift",
]
FLAWS: tuple[FlawKind, ...] = get_args(FlawKind)


@dataclass(frozen=True, slots=True)
class PlantedFlaw:
    """One planted flaw: the ground truth for an audit.

    `files` are paths below the folder. For a copy they are the original and the copy; for a patient
    leak the image that stayed and the image that was moved (its new path); for a shortcut or a
    shift all changed files.
    """

    kind: FlawKind
    files: tuple[str, ...]


Planter = Callable[[ImageFolder, int, float], list[tuple[str, ...]]]

_PLANTERS: dict[FlawKind, Planter] = {
    "exact-duplicate": copies.duplicate,
    "reencoded-duplicate": copies.reencode,
    "near-duplicate": copies.vary,
    "contradicting-label": copies.contradict,
    "leak-across-splits": copies.leak,
    "patient-leak": copies.leak_patient,
    "truncated": damage.truncate,
    "empty": damage.empty,
    "not-an-image": damage.replace_with_html,
    "mislabelled-format": damage.mislabel,
    "blank": appearance.blank,
    "low-contrast": appearance.reduce_contrast,
    "inverted": appearance.invert,
    "rotated": appearance.rotate,
    "colour": appearance.tint,
    "tiny": appearance.shrink,
    "burnt-in-text": appearance.burn_in_text,
    "shortcut-border": appearance.frame_class,
    "shortcut-marker": appearance.mark_class,
    "shortcut-size": appearance.compress_class,
    "shift": appearance.shift_split,
}
# These flaws concern a whole class or split; the others concern single files.
_WHOLE: dict[FlawKind, Callable[[ImageFolder], int]] = {
    "shortcut-border": appearance.class_size,
    "shortcut-marker": appearance.class_size,
    "shortcut-size": appearance.folder_size,
    "shift": appearance.split_size,
}


def plant(
    folder: Path | str,
    flaw: FlawKind,
    *,
    count: int | None = None,
    rate: float | None = None,
    strength: float = 0.5,
    seed: int = 0,
    avoid: Collection[str] = (),
) -> list[PlantedFlaw]:
    """Plant one kind of flaw in a folder of ``split/class`` folders, in place.

    Parameters
    ----------
    folder
        Data set to change.
    flaw
        One of `FLAWS`.
    count
        Number of flaws. Default without ``rate``: three, or the whole class or split for a
        shortcut or shift.
    rate
        Share of the files outside ``avoid``, above 0 up to 1; for a shortcut, of the files of its
        class; for a shift, of the files of its split.
    strength
        Severity from 0 (slight) to 1 (extreme), for the kinds that have degrees.
    seed
        Seed for the choice of files and for the changes.
    avoid
        Names of files to leave unchanged.

    Returns
    -------
    list of PlantedFlaw
        One for each copy or damaged file; a single one for a shortcut or shift.
    """
    if flaw not in _PLANTERS:
        raise ValueError(f"unknown flaw {flaw!r}; choose one of {', '.join(sorted(_PLANTERS))}")
    if count is not None and rate is not None:
        raise ValueError("give count or rate, not both")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if rate is not None and not 0.0 < rate <= 1.0:
        raise ValueError(f"rate must be above 0 and at most 1, not {rate}")
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must be between 0 and 1, not {strength}")
    # The seed includes the name of the flaw, so that each kind hits other files.
    rng = np.random.default_rng([seed, zlib.crc32(flaw.encode())])
    images = open_folder(Path(folder), rng, avoid)
    available = _WHOLE.get(flaw, appearance.folder_size)(images)
    if rate is not None:
        count = max(1, round(rate * available))
    elif count is None:
        count = available if flaw in _WHOLE else min(3, available)
    return [PlantedFlaw(flaw, files) for files in _PLANTERS[flaw](images, count, strength)]
