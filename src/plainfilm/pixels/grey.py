"""Maps the stored values of a DICOM image to grey levels, as its header describes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.pixels.elements import items
from plainfilm.pixels.metadata import stated_photometric
from plainfilm.pixels.outliers import Occurrence
from plainfilm.pixels.used_elements import element, numbers
from plainfilm.pixels.voi import choose_levels, present, read_table
from plainfilm.pixels.window import FloatArray, look_up

_AT_ONCE = 1 << 15  # pixels


def grey_from_stored(
    stored: NDArray[Any], header: Any, frame: int = 0, bits: int = 16
) -> tuple[NDArray[np.uint8], dict[str, str | float], frozenset[str]]:
    """Apply PS3.3 C.11: modality LUT or rescale, VOI LUT or window, polarity, padding.

    A VOI LUT comes before a window, and the first of several that shows the image is used (see
    ``voi``). Without any, the range from the lowest to the highest value of the image (without
    padding and outliers) becomes 0 to 255.
    MONOCHROME1 and the presentation LUT shape INVERSE mean the same and invert once. MONOCHROME1
    with IDENTITY, which the standard forbids, inverts too: in known files of this kind the shape
    is wrong. Padding becomes black. In enhanced files each frame may have its own window.

    Return uint8 levels of the shape of ``stored`` (rows, columns), where air is dark; the metadata
    ``window``, ``windows`` (number of windows, if more than one) and ``polarity`` (``as-stored`` or
    ``inverted``); and words of the metadata ``corrected``.
    """
    small = stored.dtype.kind in "iu" and stored.itemsize <= 2
    if small:
        unsigned = np.dtype(f"u{stored.itemsize}")
        codes = stored.view(unsigned)
        domain = np.arange(1 << 8 * stored.itemsize, dtype=unsigned).view(stored.dtype)
    else:
        codes, domain = None, stored
    padding = _padding(domain, header)
    with np.errstate(all="ignore"):
        values = _modality(
            domain.astype(np.float64), _macro(header, "PixelValueTransformation", frame)
        )
    ignored = padding | ~np.isfinite(values)
    values[ignored] = 0
    chosen = choose_levels(
        values,
        Occurrence(codes, ignored),
        _macro(header, "FrameVOILUT", frame),
        str(element(header, "Modality") or ""),
        _possible(values, bits) if codes is not None else np.inf,
    )
    levels, notes = chosen.levels, {**chosen.notes}
    inverted = _is_inverted(header)
    if inverted:
        levels = 1 - levels
    levels[ignored] = 0
    table = np.rint(levels * 255).astype(np.uint8)
    notes["polarity"] = "inverted" if inverted else "as-stored"
    grey = table if codes is None else _look_up_all(table, codes)
    return grey, notes, chosen.corrected


def _possible(values: FloatArray, bits: int) -> float:
    """Return the range of all values of the stored bits, by the difference of the first two."""
    return float(abs(values[1] - values[0])) * (1 << bits) or np.inf


def _look_up_all(table: NDArray[np.uint8], codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Return ``table[codes]``, some rows at a time: numpy converts codes to indices of 8 bytes."""
    levels = np.empty(codes.shape, np.uint8)
    rows = max(1, _AT_ONCE // codes.shape[1])
    for at in range(0, len(codes), rows):
        some = slice(at, at + rows)
        # Every code is a valid index; "clip" skips the check.
        table.take(codes[some], mode="clip", out=levels[some])
    return levels


def _macro(header: Any, name: str, frame: int) -> Any:
    """Return the functional group of the frame, else the shared one, else the header."""
    for groups, at in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        found = items(header, groups)[at : at + 1]
        if found and (macro := items(found[0], f"{name}Sequence")):
            return macro[0]
    return header


def _padding(domain: NDArray[Any], header: Any) -> NDArray[np.bool_]:
    """Mark the stored values that are padding (PS3.3 C.7.5.1.1.2)."""
    ends = [
        _as_stored(value, domain.dtype)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        for value in numbers(header, keyword)[:1]
    ]
    if not ends or element(header, "PixelPaddingValue") is None:
        return np.zeros(domain.shape, dtype=bool)
    return (domain >= min(ends)) & (domain <= max(ends))


def _as_stored(value: float, dtype: np.dtype[Any]) -> float:
    # With an implicit VR, pydicom guesses whether the value is US or SS.
    if dtype.kind == "i" and dtype.itemsize == 2 and value > 32767:
        return value - 65536
    if dtype.kind == "u" and value < 0:
        return value + 65536
    return value


def _modality(values: FloatArray, source: Any) -> FloatArray:
    tables = present(source, "ModalityLUTSequence")
    if tables:
        return look_up(values, read_table(tables[0], values)[0])
    slope, intercept = numbers(source, "RescaleSlope"), numbers(source, "RescaleIntercept")
    if slope and intercept and slope[0] != 0:
        return values * slope[0] + intercept[0]
    return values


def _is_inverted(header: Any) -> bool:
    shape = str(element(header, "PresentationLUTShape") or "").strip().upper()
    return stated_photometric(header) == "MONOCHROME1" or shape == "INVERSE"
