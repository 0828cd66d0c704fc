"""Files that pydicom brings, read by plainfilm, by pydicom's own functions and by dcmtk.

The files are those of the installed package; none is downloaded. Grey images differ by no more than
one level of 255 from either, colour images by no more than two: each library rounds luminance in
its own way. ``DIFFERENT`` lists the others, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from test_pixels_golden import needs_dcmtk, theirs

from plainfilm.errors import ImageError
from plainfilm.pixels import read_full_image

ROOT = Path(pydicom.__file__).parent / "data" / "test_files"
FILES = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("*")
    if path.is_file() and (path.suffix == ".dcm" or path.parent != ROOT) and path.stem != "README"
)

DIFFERENT = {
    "JPEG-lossy.dcm": "an old encoder left a byte of the scan header unset; plainfilm repairs it",
    "badVR.dcm": "the number of frames is no number; plainfilm reads the only frame",
}
"""Files that pydicom does not decode and plainfilm does."""
REFUSED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "too-large",  # the delimiter is in the width
    "MR_truncated.dcm": "truncated",
    "no_meta.dcm": "not-an-image",
}
"""Reasons of files that neither decodes; all others have no pixels."""
BY_DCMTK = {
    "JPGExtended.dcm": "lossy JPEG: another decoder rounds otherwise",
    "rtdose_expb.dcm": "dcmtk swaps only the bytes of 16-bit words in big endian of 32 bits",
    "rtdose_expb_1frame.dcm": "the same",
}
"""Files that dcmtk reads otherwise, and pydicom as plainfilm."""


def by_pydicom(path: Path) -> tuple[np.ndarray, float] | None:
    """Return levels of 0 to 255 of the first frame and the tolerance; None without an image."""
    dataset = pydicom.dcmread(path, force=True)
    if "Rows" not in dataset or "PixelData" not in dataset:
        return None
    stored: Any = dataset.pixel_array
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        stored = stored[0]
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)[..., :3]
    if stored.ndim == 3:
        colour = stored >> (8 * (stored.dtype.itemsize - 1)) if stored.max() > 255 else stored
        return colour @ np.array([0.299, 0.587, 0.114]), 2
    values = apply_modality_lut(stored, dataset)
    low, high = float(values.min()), float(values.max())
    if "VOILUTSequence" in dataset:
        low, high = 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif dataset.get("WindowWidth"):
        low, high = stored_range(dataset)
    levels = (np.asarray(apply_voi_lut(values, dataset), float) - low) * 255 / max(high - low, 1e-9)
    return (255 - levels if dataset.PhotometricInterpretation == "MONOCHROME1" else levels), 1.01


def stored_range(dataset: Any) -> tuple[float, float]:
    """Return the range that pydicom's windows map to: of all values that could be stored."""
    if "ModalityLUTSequence" in dataset:
        return 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    low = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
    slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    high = low + 2**dataset.BitsStored - 1
    return low * float(slope) + float(intercept), high * float(slope) + float(intercept)


def ours(path: Path) -> Any:
    try:
        return read_full_image(path)
    except ImageError as error:
        if error.reason == "needs-codec":
            pytest.skip("the dicom extra is not installed")
        raise


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")
def test_files_of_pydicom(name: str) -> None:
    path = ROOT / name
    if name in DIFFERENT:
        with pytest.raises((RuntimeError, ValueError)):
            by_pydicom(path)
        assert ours(path).pixels.any()
        return
    try:
        expected = by_pydicom(path)
    except (ValueError, AttributeError, RuntimeError):
        expected = None
    if expected is None:
        with pytest.raises(ImageError) as caught:
            read_full_image(path)
        assert caught.value.reason == REFUSED.get(name, "no-pixels")
        return
    levels, tolerance = expected
    image = ours(path)
    assert image.pixels.shape == levels.shape
    assert np.abs(image.pixels - levels).max() <= tolerance
    assert image.metadata.get("corrected") in (None, "vr")


@needs_dcmtk
@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")
def test_files_of_pydicom_by_dcmtk(name: str, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(ROOT / name, force=True, stop_before_pixels=True)
    if not str(dataset.get("PhotometricInterpretation", "")).startswith("MONOCHROME"):
        pytest.skip("no grey image")
    if name in DIFFERENT or name in BY_DCMTK:
        pytest.skip("a known difference")
    options: tuple[object, ...] = ("+Wm",)
    if "VOILUTSequence" in dataset:
        options = ("+Wl", 1)
    elif dataset.get("WindowWidth"):
        options = ("+Wi", 1)
    try:
        expected = theirs(ROOT / name, tmp_path, *options)
    except AssertionError:
        pytest.skip("dcmtk does not read it")
    assert np.abs(ours(ROOT / name).pixels - expected).max() <= 1


def test_there_is_something_to_compare() -> None:
    assert len(FILES) > 80
