"""Recognises public data sets of chest X-rays by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NIH = "NIH ChestX-ray14"
_RSNA = "RSNA Pneumonia Detection Challenge"
_KERMANY = "Chest X-Ray Images (Pneumonia) of Kermany et al."

_NAMES: Mapping[str, str] = {
    _NIH: r"\bnih\b|chestx-?ray-?(8|14)|\bcxr-?(8|14)\b|chestmnist",
    "CheXpert": r"chexpert",
    "MIMIC-CXR": r"mimic",
    "PadChest": r"padchest",
    "VinDr-CXR": r"vindr|vinbigdata",
    _RSNA: r"rsna",
    "SIIM-ACR Pneumothorax": r"siim",
    "COVIDx": r"covidx",
    "Open-i (Indiana University)": r"open-?i\b|indiana|\biu-?x-?ray",
    _KERMANY: r"kermany|pneumonia-?mnist|chest-x-?ray-(images-)?pneumonia|guangzhou",
}
"""Patterns of names, in lower case, with a hyphen for other characters than letters and digits."""

_WITHIN: Mapping[str, tuple[str, ...]] = {
    _RSNA: (_NIH,),
    "SIIM-ACR Pneumothorax": (_NIH,),
    "COVIDx": (_NIH, _RSNA),
}
"""Sets from which a set took images."""


def public_sets(*names: str) -> frozenset[str]:
    """Return the titles of the public sets that names mention, and of those with their images.

    Examples
    --------
    >>> sorted(public_sets("rsna_challenge"))
    ['NIH ChestX-ray14', 'RSNA Pneumonia Detection Challenge']
    >>> public_sets("ImageNet (ILSVRC 2012)", "our hospital")
    frozenset()
    """
    texts = [_folded(name) for name in names]
    found = {
        title
        for title, pattern in _NAMES.items()
        if any(re.search(pattern, text) for text in texts)
    }
    return frozenset(found.union(*(_WITHIN.get(title, ()) for title in found)))


def shared_sets(trained_on: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Return the data sets that both lists name: public sets, and equal names of others."""
    one, other = [*trained_on], [*names]
    known = public_sets(*one) & public_sets(*other)
    folded = {_folded(name) for name in other}
    same = [name for name in one if _folded(name) in folded and not public_sets(name)]
    return (*sorted(known), *same)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")
