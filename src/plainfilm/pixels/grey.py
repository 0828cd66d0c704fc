"""Maps the stored values of a DICOM image to grey levels, as its header describes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import ImageError
from plainfilm.pixels.metadata import element, numbers
from plainfilm.pixels.window import FloatArray, LookupTable, Window, look_up, window_levels

_AT_ONCE = 1 << 15  # pixels


def grey_from_stored(
    stored: NDArray[Any], header: Any, frame: int = 0
) -> tuple[NDArray[np.uint8], dict[str, str | float]]:
    """Apply PS3.3 C.11: modality LUT or rescale, VOI LUT or window, polarity, padding.

    A VOI LUT comes before a window, and the first of several is used. Without either, the range
    from the lowest to the highest value of the image (without padding) becomes 0 to 255.
    MONOCHROME1 and the presentation LUT shape INVERSE mean the same and invert once. MONOCHROME1
    with IDENTITY, which the standard forbids, inverts too: in known files of this kind the shape
    is wrong. Padding becomes black. In enhanced files each frame may have its own window.

    Return uint8 levels of the shape of ``stored`` (rows, columns), where air is dark, and the
    metadata ``window``, ``windows`` (number of windows, if more than one) and ``polarity``
    (``as-stored`` or ``inverted``).
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
    levels, notes = _voi(values, _macro(header, "FrameVOILUT", frame))
    if levels is None:
        seen = ~ignored
        if codes is not None:
            occurs = np.zeros(len(domain), dtype=bool)
            occurs[codes] = True
            seen &= occurs
        levels, notes = _stretch(values, seen)
    inverted = _is_inverted(header)
    if inverted:
        levels = 1 - levels
    levels[ignored] = 0
    table = np.rint(levels * 255).astype(np.uint8)
    notes["polarity"] = "inverted" if inverted else "as-stored"
    return (table if codes is None else _look_up_all(table, codes)), notes


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
        items = element(header, groups)
        found = element(items[at], f"{name}Sequence") if items and at < len(items) else None
        if found:
            return found[0]
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
    tables = element(source, "ModalityLUTSequence")
    if tables:
        return look_up(values, _table(tables[0], values))
    slope, intercept = numbers(source, "RescaleSlope"), numbers(source, "RescaleIntercept")
    if slope and intercept and slope[0] != 0:
        return values * slope[0] + intercept[0]
    return values


def _voi(values: FloatArray, source: Any) -> tuple[FloatArray | None, dict[str, str | float]]:
    """Return levels 0 to 1 by the first VOI LUT or the first window; None without a valid one."""
    tables = element(source, "VOILUTSequence")
    centers, widths = numbers(source, "WindowCenter"), numbers(source, "WindowWidth")
    if tables:
        table = _table(tables[0], values)
        levels = np.clip(look_up(values, table) / ((1 << table.bits) - 1), 0, 1)
        name, count = "VOI LUT", len(tables)
    elif centers and widths:
        function = str(element(source, "VOILUTFunction") or "LINEAR").strip().upper()
        window = Window(centers[0], widths[0], function)
        if not window.is_valid:
            return None, {}
        levels, name, count = window_levels(values, window), str(window), len(centers)
    else:
        return None, {}
    return levels, {"window": name} | ({"windows": float(count)} if count > 1 else {})


def _stretch(
    values: FloatArray, seen: NDArray[np.bool_]
) -> tuple[FloatArray, dict[str, str | float]]:
    low, high = (values[seen].min(), values[seen].max()) if seen.any() else (0.0, 0.0)
    notes: dict[str, str | float] = {"window": f"min-max {low:g}..{high:g}"}
    if high <= low:
        return np.zeros(values.shape), notes
    return np.clip((values - low) / (high - low), 0, 1), notes


def _table(item: Any, values: FloatArray) -> LookupTable:
    """Read one item of a LUT sequence, whose input will be ``values``."""
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
    needed = int(entries.max()).bit_length()
    if not 8 <= bits <= 16 or needed > bits:
        bits = max(8, needed)
    return LookupTable(first, entries.astype(np.float64), bits)


def _is_inverted(header: Any) -> bool:
    photometric = str(element(header, "PhotometricInterpretation") or "").strip().upper()
    shape = str(element(header, "PresentationLUTShape") or "").strip().upper()
    return photometric == "MONOCHROME1" or shape == "INVERSE"
