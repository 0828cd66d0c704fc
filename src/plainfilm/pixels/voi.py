"""Chooses what maps the values of a DICOM image to grey levels: VOI LUT, window or full range.

A header may contain a window that hides the image: a threshold, a window of another image or unit,
or one that is many times wider than the values. Such a window is not used where another one of the
file, or none, shows the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from plainfilm.errors import ImageError
from plainfilm.pixels.elements import items
from plainfilm.pixels.limits import check_parts
from plainfilm.pixels.outliers import Occurrence, range_of
from plainfilm.pixels.used_elements import element, numbers
from plainfilm.pixels.window import FloatArray, LookupTable, Window, look_up, window_levels

_CLIPPED = 0.95  # share of pixels that are black or white by a window that hides the image
_NARROW_CLIPPED, _NARROW = 0.75, 1 / 12  # the same if its width is below this share of the values
_SECTIONS = ("CT", "MR", "PT", "NM")  # modalities whose windows are narrow on purpose
_USED = 1 / 8  # share of the grey levels: a window that uses less hides the image
_TOO_WIDE, _USED_OF_TOO_WIDE = 3.9, 0.3  # the same for a window so many times wider than all values
_CONTRAST = 1 / 8  # of the largest value: an image with less is of one grey
_DISTINCT = 64  # values: an image with fewer is a mask or of one grey
_TAIL = 0.001  # share of the pixels at either end that are ignored when a range is measured
_MOST = 256  # windows or lookup tables of an image
_SPARE_BITS = 2  # of a descriptor, from which on the entries of a table count and not it


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What maps the values of an image to levels."""

    levels: FloatArray  # 0 to 1, of the shape of the values
    notes: dict[str, str | float]  # metadata ``window`` and ``windows``
    corrected: frozenset[str]  # words of the metadata ``corrected``


def present(source: Any, keyword: str) -> list[Any]:
    """Return the items of a sequence of lookup tables; an empty item counts as absent."""
    several = items(source, keyword)
    check_parts("lookup tables", len(several), _MOST)
    return [
        item
        for item in several
        if numbers(item, "LUTDescriptor") or element(item, "LUTData") is not None
    ]


def read_table(item: Any, values: FloatArray) -> tuple[LookupTable, bool]:
    """Read one item of a LUT sequence, whose input will be ``values``.

    The second result says whether the descriptor states more bits than the entries have.
    """
    descriptor, data = numbers(item, "LUTDescriptor"), element(item, "LUTData")
    if len(descriptor) != 3 or data is None:
        raise ImageError("corrupt", "a lookup table of the DICOM file is incomplete")
    count = int(descriptor[0]) % 65536 or 65536
    if isinstance(data, bytes):
        little = getattr(item, "original_encoding", (None, True))[1] is not False
        packed, order = data, "<" if little else ">"
    else:
        packed, order = (np.atleast_1d(data) & 0xFFFF).astype("<u2").tobytes(), "<"
    # 8-bit entries may be packed two to a word.
    entries = np.frombuffer(packed, f"{order}u2" if len(packed) >= 2 * count else "u1")[:count]
    if not entries.size:
        raise ImageError("corrupt", "a lookup table of the DICOM file is empty")
    first, bits = int(descriptor[1]), int(descriptor[2])
    # By the standard this number is signed if the output of the previous step is; pydicom decides
    # by the stored values.
    if first > 32767 and values.min() < 0:
        first -= 65536
    elif first < 0 and values.min() >= 0 and values.max() > 32767:
        first += 65536
    needed = max(8, int(entries.max()).bit_length())
    spare = 8 <= bits <= 16 and bits - needed >= _SPARE_BITS
    if spare or not 8 <= bits <= 16 or needed > bits:
        bits = needed
    return LookupTable(first, entries.astype(np.float64), bits), spare


def choose_levels(
    values: FloatArray, pixels: Occurrence, source: Any, modality: str, possible: float
) -> Chosen:
    """Choose the first VOI LUT or window that shows the image, else the range of its values.

    Parameters
    ----------
    values
        Values that occur in the image, or could.
    pixels
        Where they occur.
    source
        Data set, or item, with the windows.
    modality
        Modality of the header.
    possible
        Difference of the highest and the lowest value that the stored bits can have.
    """
    first: _Candidate | None = None
    sample = pixels.sample()
    drawn = values.ravel()[sample]
    for one in _candidates(values, source):
        too_wide = one.width >= _TOO_WIDE * possible
        if not _hides(one.levels(drawn), drawn, one.width, modality, too_wide):
            words = one.corrected if first is None else one.corrected | {"window"}
            return Chosen(one.levels(values), one.notes, words)
        first = first or one
    low, high, outliers = range_of(values, pixels, sample)
    words = frozenset({"outliers"} if outliers else ())
    notes: dict[str, str | float] = {"window": f"min-max {low:g}..{high:g}"}
    levels = np.zeros(values.shape)
    if high > low:
        levels = np.clip((values - low) / (high - low), 0, 1)
    if first is None:
        return Chosen(levels, notes, words)
    if high <= low or _clipped(levels.ravel()[sample]) > 0.5:
        return Chosen(first.levels(values), first.notes, first.corrected)
    return Chosen(levels, notes, words | {"window"})


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A VOI LUT or a window of the file."""

    levels: Callable[[FloatArray], FloatArray]  # of any values
    width: float
    notes: dict[str, str | float]
    corrected: frozenset[str] = frozenset()


def _candidates(values: FloatArray, source: Any) -> Iterator[_Candidate]:
    """Yield each VOI LUT, then each valid window."""
    tables = present(source, "VOILUTSequence")
    for item in tables:
        table, spare = read_table(item, values)
        words = frozenset({"lut-depth"} if spare else ())
        notes = _notes("VOI LUT", len(tables))
        yield _Candidate(partial(_through, table), float(len(table.entries)), notes, words)
    centers, widths = numbers(source, "WindowCenter"), numbers(source, "WindowWidth")
    check_parts("windows", len(centers), _MOST)
    function = str(element(source, "VOILUTFunction") or "LINEAR").strip().upper()
    for center, width in zip(centers, widths, strict=False):
        window = Window(center, width, function)
        if window.is_valid:
            notes = _notes(str(window), len(centers))
            yield _Candidate(partial(window_levels, window=window), width, notes)


def _through(table: LookupTable, values: FloatArray) -> FloatArray:
    return np.clip(look_up(values, table) / ((1 << table.bits) - 1), 0, 1)


def _notes(name: str, count: int) -> dict[str, str | float]:
    return {"window": name} | ({"windows": float(count)} if count > 1 else {})


def _hides(
    levels: FloatArray, values: FloatArray, width: float, modality: str, too_wide: bool
) -> bool:
    """Whether a window hides the image, by a sample of its levels and values.

    It does if it makes more than 95 % of the pixels black or white; more than 75 % if it is also
    narrower than a twelfth of the values; or if the image uses less than an eighth of the grey
    levels, or less than 30 % and the window is four times wider than all possible values. An image
    of fewer than 64 values, or with little contrast in its values, hides itself.
    A cross-sectional image may have a narrow window on purpose, and keeps it.
    """
    if levels.size < 2 or modality.strip() in _SECTIONS:
        return False
    clipped = _clipped(levels)
    if clipped <= _NARROW_CLIPPED and levels.std() > _USED and not too_wide:
        return False
    low, high = _ends(values)
    if len(np.unique(values)) < _DISTINCT:
        return False
    if clipped > _CLIPPED:
        return True
    if clipped > _NARROW_CLIPPED and width < _NARROW * (high - low):
        return True
    contrast = high - low >= _CONTRAST * max(abs(low), abs(high))
    darkest, brightest = _ends(levels)
    return contrast and brightest - darkest < (_USED_OF_TOO_WIDE if too_wide else _USED)


def _clipped(levels: FloatArray) -> float:
    return float(np.mean((levels < 0.002) | (levels > 0.998)))


def _ends(values: FloatArray) -> tuple[float, float]:
    tail = int(_TAIL * values.size)
    ordered = np.partition(values, [tail, values.size - 1 - tail])
    return float(ordered[tail]), float(ordered[values.size - 1 - tail])
