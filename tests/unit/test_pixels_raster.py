"""Pillow's formats: modes, depths, orientation, reduced decoding, limits, damage."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFile

import plainfilm.pixels.read
from plainfilm.errors import ImageError
from plainfilm.pixels import (
    Limits,
    read_full_image,
    read_image,
    read_image_and_text,
    read_image_and_whole,
)
from plainfilm.pixels.depth import grey_from_depth
from plainfilm.records import PixelSpec

WIDTH, HEIGHT = 400, 300


def scene(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Draw a smooth picture that no flip or turn maps onto itself."""
    y, x = np.mgrid[0:height, 0:width]
    return np.rint(40 + 120 * x / width + 70 * (y / height) ** 2).astype(np.uint8)


def saved(picture: np.ndarray | Pillow.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(picture)
    image.save(file, kind, **options)
    return file.getvalue()


def reason(data: object, spec: PixelSpec | None = None, **options: object) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(data, spec or PixelSpec(32), **options)  # type: ignore[arg-type]
    return caught.value.reason


def worst(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize(
    "data",
    [
        saved(scene(), "png"),
        saved(scene(), "bmp"),
        saved(scene(), "tiff"),
        saved(scene(), "tiff", compression="tiff_lzw"),
        saved(scene(), "gif"),
        saved(np.dstack([scene()] * 3), "png"),
        saved(np.dstack([scene()] * 3), "webp", lossless=True),
        saved(np.dstack([scene(), np.full_like(scene(), 255)]), "png"),
        saved(scene().astype(np.uint16) * 257, "png"),
        saved(scene().astype(np.uint16) * 257, "tiff"),
        saved(Pillow.fromarray(scene()).convert("P"), "png"),
    ],
    ids=["png", "bmp", "tiff", "lzw", "gif", "rgb", "webp", "alpha", "png16", "tiff16", "palette"],
)
def test_lossless_formats_return_the_levels_exactly(data: bytes) -> None:
    image = read_full_image(data)
    np.testing.assert_array_equal(image.pixels, scene())
    assert image.pixels.dtype == np.uint8 and not image.pixels.flags.writeable
    assert (image.metadata["width"], image.metadata["height"]) == (WIDTH, HEIGHT)
    assert image.metadata["bytes"] == len(data)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_of_every_kind(mode: str, progressive: bool) -> None:
    data = saved(Pillow.fromarray(scene()).convert(mode), "jpeg", quality=95)
    assert worst(read_full_image(data).pixels, scene()) <= 3
    assert read_full_image(data).metadata["mode"] == mode
    full = np.asarray(Pillow.fromarray(scene()).resize((64, 64), Pillow.Resampling.BILINEAR))
    assert worst(read_image(data, PixelSpec(64)).pixels, full) <= 3


def test_metadata_of_how_a_jpeg_was_made() -> None:
    plain = read_full_image(saved(scene(), "jpeg", quality=75)).metadata
    # The mean of the table of ISO 10918-1, K.1, which quality 50 uses unchanged, is 57.625.
    table = read_full_image(saved(scene(), "jpeg", quality=50)).metadata["quantisation"]
    assert table == 57.625 > plain["quantisation"]  # type: ignore[operator]
    assert (plain["progressive"], plain["exif"], plain["coloured"]) == (0, 0, 0)
    assert read_full_image(saved(scene(), "jpeg", quality=100)).metadata["quantisation"] == 1
    exif = Pillow.Exif()
    exif[0x0110] = "Model"
    other = read_full_image(saved(scene(), "jpeg", progressive=True, exif=exif)).metadata
    assert (other["progressive"], other["exif"]) == (1, 1)
    for kind in ("png", "webp", "tiff", "bmp", "gif"):
        metadata = read_full_image(saved(scene(), kind)).metadata
        assert (
            metadata["exif"] == 0
            and "quantisation" not in metadata
            and "progressive" not in metadata
        )
    for kind in ("png", "webp"):
        assert read_full_image(saved(scene(), kind, exif=exif)).metadata["exif"] == 1


def tinted(amount: int, part: float = 1.0) -> np.ndarray:
    colour = np.dstack([scene()] * 3)
    rows = round(HEIGHT * part)
    colour[:rows, :, 2] -= np.minimum(amount, colour[:rows, :, 2])
    return colour


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "webp", "tiff", "gif"])
def test_colour_is_distinguished_from_grey_in_colour_files(kind: str) -> None:
    def coloured(picture: np.ndarray | Pillow.Image) -> float | str:
        image = read_image_and_text(saved(picture, kind), PixelSpec(64))
        np.testing.assert_array_equal(
            image.pixels, read_image(saved(picture, kind), PixelSpec(64)).pixels
        )
        return image.metadata["coloured"]

    assert coloured(scene()) == 0
    assert coloured(tinted(0)) == 0
    assert coloured(tinted(4)) == 0  # a scanner's hue
    assert coloured(tinted(60)) == 1
    assert coloured(tinted(60, 0.05)) == 1  # a coloured stripe
    if kind in ("png", "tiff"):
        assert coloured(Pillow.fromarray(tinted(60)).convert("P")) == 1
        clear = np.dstack([tinted(90), np.zeros_like(scene())])
        assert coloured(clear) == 0  # what is transparent is not seen


def test_without_being_asked_a_colour_jpeg_is_not_looked_into() -> None:
    data = saved(tinted(60), "jpeg")
    assert "coloured" not in read_image(data, PixelSpec(64)).metadata
    assert read_image(saved(scene(), "jpeg"), PixelSpec(64)).metadata["coloured"] == 0
    cmyk = saved(Pillow.fromarray(tinted(60)).convert("CMYK"), "jpeg")
    assert read_image(cmyk, PixelSpec(64)).metadata["coloured"] == 1


@pytest.mark.parametrize("size", [300, 64, 20])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"rgb": True}])
def test_looking_for_colour_leaves_the_luminance_as_it_is(
    size: int, options: dict[str, bool]
) -> None:
    noise = np.random.default_rng(1).integers(-40, 40, (HEIGHT, WIDTH, 3))
    picture = np.clip(tinted(60) + noise, 0, 255).astype(np.uint8)
    rgb = options.get("rgb", False)
    data = saved(picture, "jpeg", **({"keep_rgb": True} if rgb else options))
    plain = read_image(data, PixelSpec(size))
    asked = read_image_and_text(data, PixelSpec(size))
    np.testing.assert_array_equal(asked.pixels, plain.pixels)
    assert asked.metadata == {**plain.metadata, "coloured": 1.0}


@pytest.mark.parametrize("big", [False, True])
def test_pages_of_a_tiff(big: bool) -> None:
    pages = [Pillow.fromarray(scene(40 + n, 30) // (n + 1)) for n in range(4)]
    data = saved(pages[0], "tiff", save_all=True, append_images=pages[1:], big_tiff=big)
    for number, page in enumerate(pages):
        image = read_full_image(data, frame=number)
        np.testing.assert_array_equal(image.pixels, np.asarray(page))
        assert image.metadata["frame"] == number and image.metadata["frames"] == 4
        assert image.metadata["bytes"] == len(data)
        named = read_image(data, PixelSpec(16, frame=number)).pixels
        np.testing.assert_array_equal(named, read_image(saved(page, "tiff"), PixelSpec(16)).pixels)
    assert reason(data, PixelSpec(16, frame=4)) == "no-such-frame"
    assert reason(data, limits=Limits(frames=3)) == "too-many-frames"


def test_a_chain_of_pages_that_bites_its_tail_is_followed_once() -> None:
    data = bytearray(saved(scene(), "tiff"))
    start = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[start : start + 2], "little")
    link = start + 2 + 12 * entries
    data[link : link + 4] = data[4:8]
    assert read_full_image(bytes(data)).pixels.shape == (HEIGHT, WIDTH)
    assert reason(bytes(data), PixelSpec(16, frame=1)) == "no-such-frame"


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp"])
def test_other_formats_have_one_frame(kind: str) -> None:
    pages = [Pillow.new("L", (20, 20), level) for level in (10, 200)]
    more = {} if kind == "jpeg" else {"save_all": True, "append_images": pages[1:]}
    data = saved(pages[0], kind, **more)
    assert abs(int(read_full_image(data).pixels[0, 0]) - 10) <= 1
    assert reason(data, PixelSpec(16, frame=1)) == "no-such-frame"


def test_one_bit_becomes_black_and_white() -> None:
    bits = np.array([[0, 255], [255, 0]], np.uint8)
    data = saved(Pillow.fromarray(bits).convert("1"), "png")
    np.testing.assert_array_equal(read_full_image(data).pixels, bits)
    assert read_full_image(data).metadata["bits"] == 1


def test_what_is_transparent_becomes_air() -> None:
    alpha = np.array([[255, 128, 0]], np.uint8)
    data = saved(np.dstack([np.full_like(alpha, 200)] * 3 + [alpha]), "png")
    assert read_full_image(data).pixels.tolist() == [[200, 100, 0]]
    keyed = saved(np.array([[7, 200]], np.uint8), "png", transparency=200)
    assert read_full_image(keyed).pixels.tolist() == [[7, 0]]


@pytest.mark.parametrize(
    ("opacity", "visible", "alpha"),
    [(255, 0, "opaque"), (128, 0, "partial"), (0, 20_000, "partial"), (0, 0, "hidden")],
)
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_that_hides_the_image_is_recorded(
    mode: str, opacity: int, visible: int, alpha: str
) -> None:
    channel = np.full(HEIGHT * WIDTH, opacity, np.uint8)
    channel[:visible] = 255
    picture = Pillow.fromarray(scene()).convert(mode)
    picture.putalpha(Pillow.fromarray(channel.reshape(HEIGHT, WIDTH)))
    image = read_full_image(saved(picture, "png"))
    assert image.metadata["alpha"] == alpha
    assert image.pixels.any() == (alpha != "hidden")


def test_few_visible_pixels_do_not_make_an_image_visible() -> None:
    channel = np.zeros((HEIGHT, WIDTH), np.uint8)
    channel[0, :100] = 255
    picture = Pillow.fromarray(np.dstack([scene(), channel]))
    assert read_full_image(saved(picture, "png")).metadata["alpha"] == "hidden"
    assert "alpha" not in read_full_image(saved(scene(), "png")).metadata


@pytest.mark.parametrize(
    ("values", "expected", "window"),
    [
        # The smallest depth that holds the largest value: 12, 16 and 8 bits, 10 bits.
        ([0, 2048, 4095], [0, 128, 255], "0..4095"),
        ([0, 2048, 3000], [0, 128, 187], "0..4095"),
        ([0, 257 * 100, 65535], [0, 100, 255], "0..65535"),
        ([0, 7, 200], [0, 7, 200], "0..255"),
        ([0, 512, 1000], [0, 128, 249], "0..1023"),
    ],
)
def test_sixteen_bits_become_eight(values: list[int], expected: list[int], window: str) -> None:
    array = np.array([values], np.uint16)
    levels, metadata = grey_from_depth(array)
    assert levels.tolist() == [expected] and metadata == {"window": window}
    for data in (saved(array, "png"), saved(array, "tiff")):
        image = read_full_image(data)
        assert image.pixels.tolist() == [expected]
        assert image.metadata["window"] == window and image.metadata["bits"] == 16


def test_values_without_a_range_are_stretched() -> None:
    assert grey_from_depth(np.array([-10, 0, 10], np.int32))[0].tolist() == [0, 128, 255]
    assert grey_from_depth(np.array([0, 65535, 131070]))[0].tolist() == [0, 128, 255]
    assert grey_from_depth(np.array([5.0, 10.0, np.nan, np.inf]))[0].tolist() == [0, 255, 0, 0]
    assert grey_from_depth(np.array([0.2, 0.6], np.float32))[0].tolist() == [51, 153]
    assert grey_from_depth(np.array([np.nan, np.nan]))[0].tolist() == [0, 0]
    assert grey_from_depth(np.array([3.0, 3.0]))[0].tolist() == [0, 0]


def test_tiff_that_stores_white_as_zero() -> None:
    for array in (np.array([[0, 65535]], np.uint16), np.array([[0, 255]], np.uint8)):
        data = bytearray(saved(array, "tiff"))
        at = data.find((262).to_bytes(2, "little") + b"\x03\0\x01\0\0\0")
        data[at + 8] = 0  # PhotometricInterpretation: WhiteIsZero
        assert read_full_image(bytes(data)).pixels.tolist() == [[255, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("geometry", ["squash", "pad", "crop"])
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_orientation_holds_with_reduced_decoding(
    orientation: int, geometry: str, kind: str
) -> None:
    # Store the picture so that the tag turns it upright: the inverse of what the tag does.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    turns = (
        *(Pillow.Transpose.FLIP_LEFT_RIGHT, Pillow.Transpose.FLIP_TOP_BOTTOM),
        *(Pillow.Transpose.ROTATE_90, Pillow.Transpose.ROTATE_180, Pillow.Transpose.ROTATE_270),
        *(Pillow.Transpose.TRANSPOSE, Pillow.Transpose.TRANSVERSE),
    )
    upright = Pillow.fromarray(scene())
    stored = upright if orientation == 1 else upright.transpose(turns[undo[orientation]])
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {"quality": 95} if kind == "jpeg" else {}
    data = saved(stored, kind, exif=exif, **options)
    plain = saved(upright, kind, **options)
    spec = PixelSpec(50, geometry)  # type: ignore[arg-type]
    image = read_image(data, spec)
    assert worst(image.pixels, read_image(plain, spec).pixels) <= 3
    assert (image.metadata["width"], image.metadata["height"]) == (WIDTH, HEIGHT)
    assert image.metadata["decoded_width"] == (WIDTH / 4 if kind == "jpeg" else WIDTH)
    assert worst(read_full_image(data).pixels, scene()) <= 3


# What a reader must do with the stored array (TIFF 6.0, section 8, tag 274).
TURNED = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.T,
    6: lambda stored: stored[::-1].T,
    7: lambda stored: stored[::-1, ::-1].T,
    8: lambda stored: stored.T[::-1],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("kind", ["grey", "deep", "rgb", "second page", "xmp"])
def test_the_orientation_of_a_tiff_is_applied_once(
    orientation: int, compression: str | None, kind: str
) -> None:
    stored = scene()
    tags: dict[int, object] = {274: orientation}
    options: dict[str, object] = {"compression": compression}
    picture = Pillow.fromarray(stored)
    if kind == "deep":
        picture = Pillow.fromarray(stored.astype(np.uint16) * 257)
    elif kind == "rgb":
        picture = picture.convert("RGB")
    elif kind == "second page":
        picture.encoderinfo = {"tiffinfo": tags}
        options |= {"save_all": True, "append_images": [picture]}
        picture = Pillow.new("L", (7, 9))
    elif kind == "xmp":
        tags = {700: b'<rdf:Description tiff:Orientation="%d"/>' % orientation}
    if kind != "second page":
        options["tiffinfo"] = tags
    data = saved(picture, "tiff", **options)
    image = read_full_image(data, frame=int(kind == "second page"))
    expected = TURNED[orientation](stored)
    np.testing.assert_array_equal(image.pixels, expected)
    assert (image.metadata["height"], image.metadata["width"]) == expected.shape
    assert image.metadata["decoded_width"] == expected.shape[1]
    spec = PixelSpec(60, "pad", frame=int(kind == "second page"))
    plain = read_image(saved(np.ascontiguousarray(expected), "png"), PixelSpec(60, "pad"))
    np.testing.assert_array_equal(read_image(data, spec).pixels, plain.pixels)


def test_damaged_exif_does_not_damage_the_image() -> None:
    data = saved(scene(), "jpeg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xee" * 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert worst(read_full_image(data).pixels, scene()) <= 8


@pytest.mark.parametrize(
    ("size", "decoded"), [(300, 400), (150, 200), (149, 200), (75, 100), (37, 50), (8, 50)]
)
def test_the_smallest_scale_that_still_covers_the_spec(size: int, decoded: int) -> None:
    data = saved(scene(), "jpeg", quality=95)
    assert read_image(data, PixelSpec(size)).metadata["decoded_width"] == decoded
    assert read_image(data, PixelSpec(size, "crop")).metadata["decoded_width"] == decoded


@pytest.mark.parametrize(("size", "decoded"), [(400, 400), (200, 200), (201, 400), (100, 100)])
def test_padding_needs_the_long_side_only(size: int, decoded: int) -> None:
    data = saved(scene(), "jpeg", quality=95)
    assert read_image(data, PixelSpec(size, "pad")).metadata["decoded_width"] == decoded


def test_an_image_of_the_right_size_is_decoded_as_it_is() -> None:
    data = saved(np.dstack([scene(64, 64)] * 3), "jpeg")
    expected = np.asarray(Pillow.open(io.BytesIO(data)).convert("L"))
    np.testing.assert_array_equal(read_image(data, PixelSpec(64)).pixels, expected)


def test_odd_sizes_keep_their_place_under_reduction() -> None:
    # 401 is no multiple of 8: libjpeg rounds up, and the last column is only partly picture.
    data = saved(scene(401, 301), "jpeg", quality=95)
    full = Pillow.open(io.BytesIO(data)).resize((37, 37), Pillow.Resampling.BILINEAR)
    assert worst(read_image(data, PixelSpec(37)).pixels, np.asarray(full)) <= 2


def test_path_string_and_bytes_give_the_same(tmp_path: Path) -> None:
    data = saved(scene(), "jpeg")
    path = tmp_path / "named.png"  # the name says nothing
    path.write_bytes(data)
    spec = PixelSpec(64, "pad", trim=True)
    images = [read_image(source, spec) for source in (data, path, str(path))]
    for image in images[1:]:
        np.testing.assert_array_equal(image.pixels, images[0].pixels)
        assert image.metadata == images[0].metadata
    again = pickle.loads(pickle.dumps(images[0]))
    np.testing.assert_array_equal(again.pixels, images[0].pixels)


def test_what_the_disk_does_not_give(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert reason(tmp_path / "empty.jpg") == "empty"
    assert reason(tmp_path / "absent.jpg") == "missing"
    assert reason(tmp_path) == "unreadable"
    assert reason("nul\0byte.jpg") == "unreadable"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        assert reason(tmp_path / "pipe.jpg") == "unreadable"


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "tiff", "gif", "webp"])
def test_a_file_that_ends_early_is_refused(kind: str) -> None:
    grainy = np.random.default_rng(0).integers(0, 255, (90, 120), np.uint8)
    data = saved(grainy, kind)
    for part in (0.3, 0.6, 0.95):
        assert reason(data[: int(len(data) * part)]) in ("truncated", "corrupt")
    if kind == "jpeg":
        assert reason(data[:-2]) == "truncated"


def test_never_half_grey_whatever_others_have_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(scene(), "jpeg")
    assert reason(data[: len(data) // 2]) == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_limits_are_checked_from_the_header(tmp_path: Path) -> None:
    data = saved(scene(), "png")
    assert reason(data, limits=Limits(pixels=WIDTH * HEIGHT - 1)) == "too-large"
    assert reason(data, limits=Limits(bytes=len(data) - 1)) == "too-large"
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert reason(path, limits=Limits(bytes=len(data) - 1)) == "too-large"
    exact = Limits(pixels=WIDTH * HEIGHT, bytes=len(data))
    assert read_image(data, PixelSpec(32), limits=exact).pixels.shape == (32, 32)


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "gif", "webp", "tiff"])
def test_a_header_that_claims_too_much_takes_no_memory(kind: str) -> None:
    data = bytearray(saved(scene(), kind, **({"lossless": True} if kind == "webp" else {})))
    if kind == "jpeg":
        at = data.find(b"\xff\xc0")
        data[at + 5 : at + 9] = b"\xff\xf0\xff\xf0"
    elif kind == "png":
        data[16:24] = b"\0\0\xff\xff\0\0\xff\xff"
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    elif kind == "bmp":
        data[18:26] = b"\xff\xff\0\0\xff\xff\0\0"
    elif kind == "gif":
        data[6:10] = b"\xff\xff\xff\xff"
    elif kind == "webp":
        data[21:25] = (0x3FFF | 0x3FFF << 14).to_bytes(4, "little")
    else:
        for tag in (256, 257):
            at = data.find(tag.to_bytes(2, "little") + b"\x03\0\x01\0\0\0")
            if at < 0:
                at = data.find(tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0")
            data[at + 8 : at + 10] = b"\xff\xff"
    assert reason(bytes(data)) == "too-large"


def test_many_threads_read_the_same_and_leave_the_warning_filters(
    recwarn: pytest.WarningsRecorder,
) -> None:
    data = saved(scene(), "jpeg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xee" * 40)
    spec = PixelSpec(48)
    expected = read_image(data, spec).pixels
    before = list(warnings.filters)
    wrong: list[int] = []

    def work() -> None:
        images = (read_image(data, spec).pixels for _ in range(30))
        wrong.extend(np.count_nonzero(pixels != expected) for pixels in images)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 180 and not any(wrong) and not recwarn.list
    assert list(warnings.filters) == before


def test_damaged_tiff_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(saved(scene(), "tiff", compression="tiff_lzw"))
    at = data.find((273).to_bytes(2, "little"))  # StripOffsets
    data[at + 8 : at + 12] = b"\xff\xff\xff\x0f"
    assert reason(bytes(data)) in ("corrupt", "truncated")
    captured = capfd.readouterr()
    assert captured.err == "" and captured.out == ""


def test_nothing_but_image_errors_escapes() -> None:
    random = np.random.default_rng(7)
    samples = [
        saved(scene(60, 40), kind) for kind in ("jpeg", "png", "bmp", "tiff", "gif", "webp")
    ] + [saved(scene(60, 40), "tiff", compression="tiff_lzw")]
    outcomes = set()
    for data in samples:
        for _ in range(60):
            broken = bytearray(data)
            for at in random.integers(0, min(len(data), 400), random.integers(1, 6)):
                broken[at] = random.integers(0, 256)
            try:
                image = read_image(bytes(broken), PixelSpec(16), limits=Limits(pixels=10**6))
                outcomes.add("image")
                assert image.pixels.shape == (16, 16)
            except ImageError as error:
                outcomes.add(error.reason)
    assert {"image", "corrupt", "truncated"} <= outcomes


def test_reading_a_jpeg_does_not_import_pydicom() -> None:
    code = (
        "import sys, plainfilm.pixels as p; from plainfilm.records import PixelSpec;"
        "p.read_image(sys.stdin.buffer.read(), PixelSpec(16));"
        "assert 'pydicom' not in sys.modules and 'scipy' not in sys.modules"
    )
    data = saved(scene(), "jpeg")
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("spec", [PixelSpec(32), PixelSpec(32, "crop", True), PixelSpec(350)])
def test_the_whole_image_and_the_prepared_one_are_read_together(
    monkeypatch: pytest.MonkeyPatch, spec: PixelSpec
) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    sources = {
        "png": saved(scene(), "png", exif=exif),
        "jpeg": saved(scene(), "jpeg", exif=exif),
        "narrow": saved(scene(1, 500), "jpeg"),
    }
    expected = {
        name: (read_image(data, spec), read_full_image(data)) for name, data in sources.items()
    }
    decode, calls = plainfilm.pixels.read._decode, []

    def count(*arguments: object) -> object:
        calls.append(arguments)
        return decode(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(plainfilm.pixels.read, "_decode", count)
    for name, data in sources.items():
        calls.clear()
        image, whole = read_image_and_whole(data, spec)
        np.testing.assert_array_equal(image.pixels, expected[name][0].pixels)
        assert image.metadata == expected[name][0].metadata
        np.testing.assert_array_equal(np.asarray(whole.picture), expected[name][1].pixels)
        assert len(calls) == 1 or name != "png"
