"""Plant flaws that are known by name in a data set, to see whether an audit finds them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from plainfilm.errors import UsageError
from plainfilm.phantom import copies, damage, looks
from plainfilm.phantom.site import Site, open_site

__all__ = ["FLAWS", "FlawKind", "PlantedFlaw", "plant"]

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
"""The names of all flaws."""


@dataclass(frozen=True, slots=True)
class PlantedFlaw:
    """One flaw that was planted: the truth that an audit is held against.

    Attributes
    ----------
    kind
        Its name.
    files
        The files concerned, as paths below the folder. For copies the original and then the copy;
        for a patient leak the image that stayed and then the one that was moved (under its new
        path); for a shortcut or a shift every file that was changed.
    """

    kind: FlawKind
    files: tuple[str, ...]


Planter = Callable[[Site, int, float], list[tuple[str, ...]]]

_PLANTERS: Mapping[FlawKind, Planter] = MappingProxyType(
    {
        "exact-duplicate": copies.duplicate,
        "reencoded-duplicate": copies.reencode,
        "near-duplicate": copies.vary,
        "contradicting-label": copies.contradict,
        "leak-across-splits": copies.leak,
        "patient-leak": copies.leak_patient,
        "truncated": damage.truncate,
        "empty": damage.drain,
        "not-an-image": damage.impersonate,
        "mislabelled-format": damage.mislabel,
        "blank": looks.blank,
        "low-contrast": looks.flatten,
        "inverted": looks.invert,
        "rotated": looks.rotate,
        "colour": looks.tint,
        "tiny": looks.shrink,
        "burnt-in-text": looks.write_on,
        "shortcut-border": looks.frame_class,
        "shortcut-marker": looks.mark_class,
        "shortcut-size": looks.compress_class,
        "shift": looks.shift_split,
    }
)
# These concern a class or a split as a whole; the others single files.
_WHOLE: Mapping[str, Callable[[Site], int]] = MappingProxyType(
    {
        "shortcut-border": looks.class_size,
        "shortcut-marker": looks.class_size,
        "shortcut-size": looks.site_size,
        "shift": looks.split_size,
    }
)
_SINGLE = 3


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
        The data set; it is changed.
    flaw
        Name of the flaw, one of :data:`FLAWS`.
    count
        How many times. Where neither it nor ``rate`` is given: three times, or for a shortcut or
        shift on the whole class or split.
    rate
        How often instead, 0 to 1: a share of the files outside ``avoid``, for a shortcut of those
        of its class, for a shift of those of its split.
    strength
        How marked it is, 0 (hardly) to 1 (grossly), where that makes a difference.
    seed
        Decides which files and how; the same seed on the same files gives the same bytes.
    avoid
        Names of files to leave alone, such as those that hold a flaw already.

    Returns
    -------
    list of PlantedFlaw
        One for each copy or damaged file; a single one for a shortcut or shift.

    Raises
    ------
    UsageError
        If the flaw is unknown, an argument is out of range or there are too few files for it.
    SourceError
        If there is no data set in the folder.
    StorageError
        If the folder cannot be written.
    """
    if flaw not in _PLANTERS:
        raise UsageError(
            f"there is no flaw {flaw!r}", remedy=f"choose one of {', '.join(sorted(_PLANTERS))}"
        )
    if count is not None and rate is not None:
        raise UsageError("give the count of a flaw or its rate, not both")
    if count is not None and count < 1:
        raise UsageError("a flaw must be planted at least once", received=count)
    if rate is not None and not 0.0 < rate <= 1.0:
        raise UsageError("the rate of a flaw must lie above 0 and not above 1", received=rate)
    if not 0.0 <= strength <= 1.0:
        raise UsageError("the strength of a flaw must lie between 0 and 1", received=strength)
    # A flaw's name in the seed, so that each kind hits other files.
    rng = np.random.default_rng([seed, zlib.crc32(flaw.encode())])
    site = open_site(Path(folder), rng, avoid)
    whole = _WHOLE.get(flaw, looks.site_size)(site)
    if count is None:
        wanted = whole if flaw in _WHOLE else min(_SINGLE, whole)
        count = wanted if rate is None else max(1, round(rate * whole))
    return [PlantedFlaw(flaw, files) for files in _PLANTERS[flaw](site, count, strength)]
