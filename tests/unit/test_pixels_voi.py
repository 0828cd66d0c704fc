"""Windows, VOI lookup tables and extreme pixels that would hide the image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from test_pixels_dicom import drawn, lut, refusal, written
from test_pixels_evidence import WINDOW, corrected, film

from plainfilm.pixels import read_full_image
from plainfilm.pixels.depth import grey_from_depth

FULL = np.rint(film() * 255 / 4095)


def saved(picture: np.ndarray, kind: str = "png") -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(picture).save(file, kind)
    return file.getvalue()


# -- windows


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 0, "WindowWidth": 1},
        {"WindowCenter": 1, "WindowWidth": 2},
        {"WindowCenter": 128, "WindowWidth": 256},
        {"WindowCenter": 32767, "WindowWidth": 65535},
        {"WindowCenter": 32768, "WindowWidth": 65536},
        {"WindowCenter": 60000, "WindowWidth": 100},
        {"WindowCenter": 8192, "WindowWidth": 16384},
        {"WindowCenter": 1500, "WindowWidth": 300},
        {"WindowCenter": -5000, "WindowWidth": 100, "VOILUTFunction": "SIGMOID"},
    ],
    ids=str,
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_window_that_hides_the_image_is_not_used(
    window: dict[str, Any], photometric: str
) -> None:
    image = read_full_image(drawn(film(), PhotometricInterpretation=photometric, **window))
    right = 255 - FULL if photometric == "MONOCHROME1" else FULL
    assert np.abs(image.pixels - right).max() <= 1
    assert corrected(image) == {"window"} and image.metadata["window"] == "min-max 0..4095"


def test_a_further_window_of_the_file_is_used_first() -> None:
    several = {"WindowCenter": [0, 30000, 2000], "WindowWidth": [1, 65535, 3000]}
    image = read_full_image(drawn(film(), **several))
    right = read_full_image(drawn(film(), WindowCenter=2000, WindowWidth=3000))
    np.testing.assert_array_equal(image.pixels, right.pixels)
    assert corrected(image) == {"window"} and not corrected(right)
    assert image.metadata["window"] == "LINEAR 2000/3000" and image.metadata["windows"] == 3


def test_a_window_is_used_where_the_lookup_table_hides_the_image() -> None:
    table = {"VOILUTSequence": lut([0] * 4000 + [4095], 0, 12)}
    image = read_full_image(drawn(film(), **table, **WINDOW))
    np.testing.assert_array_equal(image.pixels, read_full_image(drawn(film(), **WINDOW)).pixels)
    assert corrected(image) == {"window"}


@pytest.mark.parametrize(
    ("values", "elements"),
    [
        (film(), {"WindowCenter": 2000, "WindowWidth": 500}),  # clips 85 %
        (film(600), WINDOW),  # uses a seventh of the levels
        (film(), {"WindowCenter": 4096, "WindowWidth": 8192}),  # uses half of them
        (film(), {"WindowCenter": 1500, "WindowWidth": 300, "Modality": "CT"}),
        (film() // 100 * 100, {"WindowCenter": 1800, "WindowWidth": 1}),  # a mask
        (np.full((60, 80), 1800), {"WindowCenter": 1800, "WindowWidth": 1}),
        # Grain on one grey is no image to bring out.
        (2000 + film(4000) % 41, {"WindowCenter": 32767, "WindowWidth": 65535}),
        (2000 + film(4000) % 150, WINDOW),
    ],
)
def test_a_window_that_shows_the_image_or_has_none_to_show_stays(
    values: np.ndarray, elements: dict[str, Any]
) -> None:
    image = read_full_image(drawn(values, **elements))
    assert str(image.metadata["window"]).startswith("LINEAR") and not corrected(image)


def test_the_first_valid_window_is_used_where_an_earlier_one_is_impossible() -> None:
    image = read_full_image(drawn(film(), WindowCenter=[10, 2048], WindowWidth=[0, 4096]))
    assert image.metadata["window"] == "LINEAR 2048/4096"


# -- lookup tables


@pytest.mark.parametrize("stated", [10, 12, 14, 16])
@pytest.mark.parametrize("vr", ["US", "OW"])
def test_a_table_has_the_bits_that_its_entries_use(stated: int, vr: str) -> None:
    entries = [round(1023 * (n / 4095) ** 0.8) for n in range(4096)]
    right = read_full_image(drawn(film(), VOILUTSequence=lut(entries, 0, 10, vr)))
    image = read_full_image(drawn(film(), VOILUTSequence=lut(entries, 0, stated, vr)))
    np.testing.assert_array_equal(image.pixels, right.pixels)
    assert corrected(image) == (set() if stated == 10 else {"lut-depth"})


def test_a_table_that_stays_a_little_below_its_top_keeps_its_bits() -> None:
    entries = [n // 2 for n in range(4096)]
    image = read_full_image(drawn(film(), VOILUTSequence=lut(entries, 0, 12)))
    assert image.pixels.max() == 127 and not corrected(image)


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_an_empty_item_of_a_lookup_table_is_an_absent_one(keyword: str) -> None:
    empty = Dataset()
    empty.LUTDescriptor = None
    for item in (Dataset(), empty):
        image = read_full_image(drawn(film(), **{keyword: Sequence([item])}, **WINDOW))
    np.testing.assert_array_equal(image.pixels, read_full_image(drawn(film(), **WINDOW)).pixels)
    table = lut(list(range(4095, -1, -1)), 0, 12)[0]
    both = read_full_image(drawn(film(), **{keyword: Sequence([Dataset(), table])}, **WINDOW))
    assert both.pixels[0, 0] == 255


def test_half_a_lookup_table_is_still_damage() -> None:
    item = lut([1, 2, 3], 0, 12)[0]
    del item.LUTData
    assert refusal(drawn(film(), VOILUTSequence=Sequence([item]))).reason == "corrupt"


# -- extreme pixels


def marked(values: np.ndarray, marker: int, pixels: int) -> np.ndarray:
    values = values.copy()
    values.ravel()[1000 : 1000 + pixels] = marker
    return values


@pytest.mark.parametrize("marker", [4096, 4200, 32000, 65535])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_one_extreme_pixel_does_not_set_the_scale(marker: int, kind: str) -> None:
    image = read_full_image(saved(marked(film(), marker, 3).astype(np.uint16), kind))
    assert image.pixels.ravel()[1000] == 255
    others = np.delete(image.pixels.ravel(), np.s_[1000:1003])
    np.testing.assert_array_equal(others, np.delete(FULL.ravel(), np.s_[1000:1003]))
    assert image.metadata["window"] == "0..4095" and corrected(image) == {"outliers"}


def test_a_burnt_in_letter_does_not_set_the_scale() -> None:
    letter = marked(film(), 65535, 80).astype(np.uint16)  # 1.7 % of the pixels
    assert read_full_image(saved(letter)).metadata["window"] == "0..4095"
    # In the next octave it may be bone.
    bone = marked(film(), 8191, 80).astype(np.uint16)
    assert read_full_image(saved(bone)).metadata["window"] == "0..8191"


@pytest.mark.parametrize("top", [255, 300, 1023, 3000, 4095, 20_000, 65_535])
def test_a_picture_that_uses_its_range_is_scaled_by_its_depth(top: int) -> None:
    values = film(top).astype(np.uint16)
    levels, metadata = grey_from_depth(values)
    depth = (1 << max(8, top.bit_length())) - 1
    np.testing.assert_array_equal(levels, np.floor(values * (255 / depth) + 0.5))
    assert metadata == {"window": f"0..{depth}"}


def test_outliers_of_stretched_values() -> None:
    for values in (film() - 2000, film() * 40, film() / 3.0):
        for marker in (-5_000_000, 5_000_000):
            levels, metadata = grey_from_depth(marked(values, marker, 2))
            others = np.delete(levels.ravel(), np.s_[1000:1002])
            right = np.delete(grey_from_depth(values)[0].ravel(), np.s_[1000:1002])
            assert np.abs(others.astype(int) - right).max() <= 1
            assert levels.ravel()[1000] == (255 if marker > 0 else 0)
            assert metadata["corrected"] == "outliers"


@pytest.mark.parametrize("marker", [20_000, 65_535])
@pytest.mark.parametrize("pixels", [2, 70])
def test_dicom_without_a_window_is_not_scaled_by_few_pixels(marker: int, pixels: int) -> None:
    sixteen = {"BitsStored": 16, "HighBit": 15}
    image = read_full_image(drawn(marked(film(), marker, pixels), **sixteen))
    others = np.delete(image.pixels.ravel(), np.s_[1000 : 1000 + pixels])
    np.testing.assert_array_equal(others, np.delete(FULL.ravel(), np.s_[1000 : 1000 + pixels]))
    assert corrected(image) == {"outliers"} and image.pixels.ravel()[1000] == 255


def test_few_pixels_of_a_mask_are_no_outliers() -> None:
    mask = np.zeros((60, 80), int)
    mask[:2, :2] = 4095
    assert read_full_image(drawn(mask)).metadata["window"] == "min-max 0..4095"
    assert read_full_image(saved((mask * 16).astype(np.uint16))).pixels.max() == 255


def test_a_file_read_again_has_the_same_levels() -> None:
    data = drawn(film(), WindowCenter=0, WindowWidth=1)
    again = written(dcmread(io.BytesIO(data)))
    np.testing.assert_array_equal(read_full_image(data).pixels, read_full_image(again).pixels)


def test_outliers_of_a_large_image_of_floats() -> None:
    values = np.tile(film() / 3.0, (20, 20))
    values[777, 333] = 1e9
    levels, metadata = grey_from_depth(values)
    np.testing.assert_array_equal(levels[:60, :80], grey_from_depth(film() / 3.0)[0])
    assert metadata == {"window": "0..1365", "corrected": "outliers"}
