"""DICOM through pydicom's decoders: bytes to one grey picture.

What a stored value becomes (``grey``) is worked out once for every value that a pixel can have;
the picture is then one look into that table.
"""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom import config as pydicom_config
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from plainfilm._optional import install_hint
from plainfilm.errors import ImageError
from plainfilm.pixels.codestream import check_codestream, find_unset_scan_end
from plainfilm.pixels.grey import grey_from_stored
from plainfilm.pixels.isolation import ISOLATION, Shared, muted
from plainfilm.pixels.limits import (
    Limits,
    Source,
    check_bytes,
    check_frame,
    check_frames,
    check_pixels,
)
from plainfilm.pixels.metadata import element, numbers, read_metadata
from plainfilm.pixels.palette import look_up_palette
from plainfilm.pixels.raster import Decoded
from plainfilm.pixels.traits import shows_colour

_BLOCK = 1 << 20
_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the decoders, whose remarks may quote what the file says about a person."""
    mode = pydicom_config.settings.reading_validation_mode
    with muted("pydicom", "pylibjpeg", "libjpeg", "openjpeg"):
        pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
        try:
            yield
        finally:
            pydicom_config.settings.reading_validation_mode = mode


_QUIET = Shared(_quiet)


def decode_dicom(data: bytes, limits: Limits, frame: int = 0) -> Decoded:
    """Decode one frame of a DICOM file, with or without preamble.

    Parameters
    ----------
    data
        The whole file.
    limits
        Checked against the header, and against the header of a compressed frame, before memory is
        taken; a deflated data set is inflated up to ``limits.bytes``.
    frame
        Which one, counted from 0.

    Raises
    ------
    ImageError
        ``no-pixels``, ``too-large``, ``too-many-frames``, ``no-such-frame``, ``truncated``,
        ``corrupt``, ``needs-codec`` or ``unsupported-format``. It never quotes the file.
    """
    with ISOLATION, _QUIET:
        try:
            return _decode(data, limits, frame)
        except ImageError as error:
            failure = error
        except Exception as error:  # whatever a library raises about hostile bytes
            failure = _explain(error)
    # Outside of the handler, so that no library's message travels along as its context.
    failure.__context__ = None
    raise failure


def _decode(data: bytes, limits: Limits, frame: int) -> Decoded:
    inflated = _inflate(data, limits)
    stream = Source(data if inflated is None else inflated)
    header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    frames = _check_header(header, limits)
    check_frame(frame, frames)
    syntax = ExplicitVRLittleEndian if inflated is not None else _transfer_syntax(header)
    _check_pixel_data(stream, header, syntax, frame, frames, limits)
    stored = _stored_frame(stream, header, syntax, frame)
    metadata = read_metadata(header)
    metadata |= {"format": "dicom", "bytes": float(len(data)), "frames": float(frames)}
    if frames > 1:
        metadata["frame"] = float(frame)
    metadata["bits"] = float(element(header, "BitsStored") or 8 * stored.itemsize)
    if stored.ndim == 3 or metadata.get("photometric") == "PALETTE COLOR":
        metadata["mode"] = "RGB" if stored.ndim == 3 else "P"
        shown = _colour(stored, header)
        metadata["coloured"] = float(shows_colour(shown))
        picture = shown.convert("L")
    else:
        metadata["coloured"] = 0.0
        metadata["mode"] = "L" if stored.itemsize == 1 else "I;16" if stored.itemsize == 2 else "I"
        levels, notes = grey_from_stored(stored, header, frame)
        metadata |= notes
        picture = Pillow.fromarray(levels)
    width, height = picture.size
    metadata |= {"width": float(width), "height": float(height), "decoded_width": float(width)}
    return Decoded(picture, (width, height), 1, metadata)


def _inflate(data: bytes, limits: Limits) -> bytes | None:
    """Return the inflated data set of a deflated file, None of any other.

    pydicom would inflate it without a bound.
    """
    if data[128:132] != b"DICM":
        return None
    # The elements of group 0002 are in explicit VR little endian, whatever follows them.
    at, deflated = 132, False
    while data[at : at + 2] == b"\x02\0":
        long = data[at + 4 : at + 6] in (b"OB", b"UN", b"OW", b"SQ", b"UT")
        start = at + 12 if long else at + 8
        end = start + int.from_bytes(data[at + 8 if long else at + 6 : start], "little")
        if data[at + 2 : at + 4] == b"\x10\0":
            syntax = data[start:end].rstrip(b"\0 ")
            deflated = syntax == str(DeflatedExplicitVRLittleEndian).encode()
        at = end
    if not deflated:
        return None
    # Once to see how long it is, and only then into memory.
    engine, length, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, data[at:]
    while rest and not engine.eof:
        length += len(engine.decompress(rest, _BLOCK))
        rest = engine.unconsumed_tail
        check_bytes(length, limits)
    length += len(engine.flush())
    check_bytes(length, limits)
    if not engine.eof:
        raise ImageError("truncated", "the deflated data set ends early")
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[at:], length)


def _check_header(header: Any, limits: Limits) -> int:
    """Hold the header against the limits and return the number of frames."""
    rows, columns = element(header, "Rows"), element(header, "Columns")
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ImageError(
            "no-pixels",
            "this DICOM file holds no image",
            received=f"modality {read_metadata(header).get('modality', 'unknown')}",
            remedy="leave it out; reports, plans and directories have no pixels",
        )
    check_pixels(columns, rows, limits)
    counted = numbers(header, "NumberOfFrames")
    frames = max(1, int(counted[0])) if counted else 1
    check_frames(frames, limits)
    return frames


def _transfer_syntax(header: Any) -> UID:
    named = header.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(named)
    # Without a file meta header pydicom has guessed the encoding from the first elements.
    implicit, little = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _check_pixel_data(
    stream: io.BytesIO, header: Any, syntax: UID, frame: int, frames: int, limits: Limits
) -> None:
    """Find the pixel data element, and hold a compressed frame against the limits.

    The stream stands at the element, where reading the header stopped.
    """
    start = stream.tell()
    order = "little" if syntax.is_little_endian else "big"
    head = stream.read(8 if syntax.is_implicit_VR else 12)
    tag = int.from_bytes(head[0:2], order) << 16 | int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
    if len(head) < 8 or tag not in _PIXEL_TAGS:
        raise ImageError(
            "no-pixels",
            "this DICOM file describes an image but holds no pixel data",
            remedy="fetch the file again; it may have been cut short",
        )
    if syntax.is_encapsulated and syntax != RLELossless:
        try:
            packed = get_frame(
                stream, frame, number_of_frames=frames, extended_offsets=_offsets(header)
            )
        except ImageError:
            raise
        except Exception:
            packed = b""
        check_codestream(packed, limits)
        if (unset := find_unset_scan_end(packed)) is not None:
            # A frame may lie in several fragments; its headers are in the first. Those of other
            # frames may be the same.
            whole, at = stream.getvalue(), start
            while (at := whole.find(packed[: unset + 1], at)) >= 0:
                stream.getbuffer()[at + unset] = 63
                at += unset
    elif not syntax.is_encapsulated:
        rest = stream.seek(0, io.SEEK_END) - start - len(head)
        if rest < (needed := _bytes_up_to(frame, header)):
            raise ImageError(
                "truncated",
                "the DICOM file ends before the image is complete",
                received=f"{rest:,} of {needed:,} bytes",
                remedy="fetch it again",
            )
    stream.seek(start)


def _offsets(header: Any) -> tuple[bytes, bytes] | None:
    """Return the extended offset table where pydicom's decoders will go by it."""
    starts = element(header, "ExtendedOffsetTable")
    lengths = element(header, "ExtendedOffsetTableLengths")
    if not isinstance(starts, bytes) or not isinstance(lengths, bytes):
        return None
    return (starts, lengths) if len(starts) == len(lengths) else None


def _bytes_up_to(frame: int, header: Any) -> int:
    """Return the length of the uncompressed frames up to this one, which is included."""
    samples = int(element(header, "SamplesPerPixel") or 1)
    bits = header.Rows * header.Columns * samples * int(element(header, "BitsAllocated") or 8)
    if element(header, "PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3  # two pixels share their colour
    return int(bits) * (frame + 1) // 8


def _stored_frame(stream: io.BytesIO, header: Any, syntax: UID, frame: int) -> NDArray[Any]:
    """Return the stored values of one frame, (rows, columns) or (rows, columns, 3)."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None:
        raise ImageError("unsupported-format", "this kind of DICOM compression is not read")
    if not decoder.is_available:
        raise _needs_codec(syntax)
    plain = not syntax.is_encapsulated or syntax == RLELossless
    options = {"correct_unused_bits": False} if plain else {}
    failure = ImageError("corrupt", "the DICOM data are damaged")
    # Pillow is there always. What it can decode it does, so that the levels of a lossy image do
    # not depend on what else is installed; "" lets pydicom try all that there are. Run lengths it
    # decodes by itself: another decoder of them ends in a panic where they run over.
    for plugin in ("pydicom",) if syntax == RLELossless else ("pillow", ""):
        if plugin and plugin not in decoder.available_plugins:
            continue
        try:
            stored: NDArray[Any] = pixel_array(
                stream, index=frame, transfer_syntax_uid=syntax, decoding_plugin=plugin, **options
            )
        except ImageError:
            raise
        except Exception as error:
            failure = _explain(error)
        else:
            stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
            return _stored_bits(stored, header) if plain else stored
    # One of several decoders may be there, but not the one that this file needs.
    if not plain and any(name.startswith("pylibjpeg") for name in decoder.missing_dependencies):
        failure = _needs_codec(syntax)
    raise failure


def _stored_bits(stored: NDArray[Any], header: Any) -> NDArray[Any]:
    """Cut the stored bits out of the allocated ones (PS3.5 section 8.1.1).

    pydicom takes it that the high bit is the last of the stored ones; older files put them at
    the top, or overlays into the bits that are left.
    """
    allocated = 8 * stored.itemsize
    bits = int(element(header, "BitsStored") or allocated)
    high = element(header, "HighBit")
    high = bits - 1 if high is None else int(high)
    if (
        stored.dtype.kind not in "iu"
        or not 1 < bits < allocated
        or not bits - 1 <= high < allocated
    ):
        return stored
    unsigned = stored.view(f"u{stored.itemsize}")
    plain = stored.dtype.kind == "u" and high == bits - 1
    if plain and unsigned.max(initial=0) < 1 << bits:
        return stored  # as nearly always: there is nothing to cut
    values: NDArray[Any] = unsigned >> (high + 1 - bits) & ((1 << bits) - 1)
    if stored.dtype.kind == "u":
        return values
    sign = 1 << (bits - 1)
    signed: NDArray[Any] = (values ^ sign).view(stored.dtype) - stored.dtype.type(sign)
    return signed


def _colour(stored: NDArray[Any], header: Any) -> Pillow.Image:
    """Return RGB of RGB or palette pixels; pydicom has turned YBR to RGB."""
    colour = stored[..., :3] if stored.ndim == 3 else look_up_palette(stored, header)
    if colour.itemsize > 1:
        bits = int(element(header, "BitsStored") or 8 * colour.itemsize)
        colour = colour >> max(0, bits - 8)
    return Pillow.fromarray(np.ascontiguousarray(colour, dtype=np.uint8))


def _needs_codec(syntax: UID) -> ImageError:
    return ImageError(
        "needs-codec",
        "decoding this DICOM compression needs an optional package",
        received=syntax.name if not syntax.is_private else "a private compression",
        remedy=install_hint("dicom"),
    )


def _explain(error: Exception) -> ImageError:
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return ImageError("out-of-memory", "there was not enough memory to decode the image")
    if isinstance(error, EOFError) or any(
        sign in text for sign in ("less than expected", "truncated", "too short", "end of")
    ):
        return ImageError(
            "truncated", "the DICOM file ends before the image is complete", remedy="fetch it again"
        )
    # The name of the exception only: its message may quote the file.
    return ImageError(
        "corrupt",
        "the DICOM data are damaged",
        received=type(error).__name__,
        remedy="fetch it again",
    )
