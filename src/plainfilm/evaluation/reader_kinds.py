"""Decides for each human reader whether numbers are calls (1 and 0) or ratings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from plainfilm._text import plural
from plainfilm.errors import SourceError
from plainfilm.evaluation.view import Bools, Floats

Kind = Literal["calls", "ratings"]

_MOST = 0.95
"""Share of cells that are 1 or 0 from which the other cells of a reader are taken for errors."""
_FEWEST = 10
"""Number of cells of a reader from which a single other cell is taken for an error."""
_SHIFT = "if these are ratings, add 1 to all of them, so that they differ from calls"


def decide_kind(values: Floats, readers: Sequence[str], images: Sequence[str], label: str) -> Kind:
    """Return what the numbers of all readers of a label are.

    Parameters
    ----------
    values, readers, images
        (n,) each: the number, NaN where blank, the reader and the image of a read.
    label
        The label, for the text of an error.

    Raises
    ------
    SourceError
        If some readers give calls and others ratings, or a few cells among calls are neither.
    """
    names = np.asarray(readers)
    kinds: dict[str, Literal["calls", "almost", "ratings", "either"]] = {}
    for name in dict.fromkeys(readers):
        kinds[name] = _kind_of(values[(names == name) & ~np.isnan(values)])
    found = set(kinds.values()) - {"either"}
    if "ratings" in found:
        if "calls" not in found:
            return "ratings"
        sides = {
            kind: ", ".join(name for name, own in kinds.items() if own in group)
            for kind, group in (("calls", {"calls"}), ("ratings", {"almost", "ratings"}))
        }
        raise SourceError(
            f"some readers of {label} give calls and others ratings",
            received=f"only 1 and 0: {sides['calls']}; other numbers: {sides['ratings']}",
            remedy="choose readers of one kind with reader_columns=; " + _SHIFT,
        )
    if "almost" in found:
        almost = np.array([kinds[name] == "almost" for name in readers])
        raise _odd_cells(values, almost, readers, images, label)
    return "calls"


def _kind_of(given: Floats) -> Literal["calls", "almost", "ratings", "either"]:
    """Return what the numbers of one reader are."""
    calls = int(np.isin(given, (0, 1)).sum())
    others = len(given) - calls
    if not others:
        return "calls" if len(np.unique(given)) == 2 else "either"
    few = calls >= _MOST * len(given) or (others == 1 and len(given) >= _FEWEST)
    both = {0.0, 1.0} <= set(given.tolist())
    return "almost" if few and both else "ratings"


def _odd_cells(
    values: Floats, almost: Bools, readers: Sequence[str], images: Sequence[str], label: str
) -> SourceError:
    """Return the error on cells that are neither 1 nor 0, where nearly all are."""
    rated = almost & ~np.isnan(values)
    [odd] = np.nonzero(rated & ~np.isin(values, (0, 1)))
    cells = [f"{values[at]:g} of {readers[at]} for {images[at]}" for at in odd[:3].tolist()]
    more = ", ..." if len(odd) > 3 else ""
    count = plural(int(rated.sum()), "cell")
    return SourceError(
        f"nearly all reads of {label} are calls, 1 or 0, but not all",
        received=f"{', '.join(cells)}{more}; {len(odd)} of {count}",
        remedy="correct these cells, or leave them blank; " + _SHIFT,
    )
