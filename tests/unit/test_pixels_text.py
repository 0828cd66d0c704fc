"""Tests that burnt-in text is found in drawn radiographs, and that nothing else is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import find_objects, label

from plainfilm.phantom import draw
from plainfilm.phantom.marks import stamp_letter
from plainfilm.pixels import read_image, read_image_and_text
from plainfilm.pixels.components import find_components
from plainfilm.pixels.text import SIDE, find_text, read_lines, write_lines
from plainfilm.records import PixelSpec


@pytest.fixture(scope="module")
def radiographs():
    """Draw 24 radiographs, with side markers and cables."""
    return np.stack([draw(np.random.default_rng([17, n]), size=SIDE) for n in range(24)])


def written(image, text, height, corner, level):
    """Return an image with a text, and the box of the text."""
    picture = Image.fromarray(image)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(height)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = {"left": 5, "centre": (SIDE - right) // 2, "right": SIDE - right - 5}[corner[1]]
    y = {"upper": 5, "lower": SIDE - bottom - 5}[corner[0]]
    pen.text((x, y), text, fill=level, font=font)
    return np.asarray(picture), (x + left, y + top, x + right, y + bottom)


def overlap(first, second):
    """Return the share of the second box that the first covers."""
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    area = (second[2] - second[0]) * (second[3] - second[1])
    return max(0, across) * max(0, down) / area


def plain(level):
    noise = np.random.default_rng(0).normal(0, 3, (SIDE, SIDE))
    return np.clip(level + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("height", [9, 14, 20])
@pytest.mark.parametrize("corner", [("upper", "left"), ("upper", "right"), ("lower", "centre")])
@pytest.mark.parametrize(
    ("background", "level"), [(10, 130), (10, 255), (90, 200), (120, 30), (230, 60)]
)
def test_text_of_every_size_place_and_brightness_is_found(height, corner, background, level):
    for text in ("KV59", "PORTABLE", "12:04:33"):
        image, box = written(plain(background), text, height, corner, level)
        (line,) = find_text(image)
        assert overlap(line.box, box) > 0.8
        assert overlap(box, line.box) > 0.6
        assert line.dark == (level < background)


@pytest.mark.parametrize("corner", [("upper", "left"), ("lower", "right")])
@pytest.mark.parametrize("height", [10, 16])
def test_most_text_in_radiographs_is_found(radiographs, height, corner):
    hits = []
    for image in radiographs:
        changed, box = written(image, "SUPINE 12:04", height, corner, 255)
        hits.append(any(overlap(line.box, box) > 0.4 for line in find_text(changed)))
    assert np.mean(hits) > 0.85


def test_radiographs_without_text(radiographs):
    assert sum(bool(find_text(image)) for image in radiographs) <= 1
    noise = np.random.default_rng(0).normal(0, 12, radiographs.shape)
    noisy = np.clip(radiographs + noise, 0, 255).astype(np.uint8)
    assert sum(bool(find_text(image)) for image in noisy) <= 1


@pytest.mark.parametrize("letter", ["R", "L"])
@pytest.mark.parametrize("height", [0.04, 0.08, 0.12])
def test_a_side_marker_is_not_text(letter, height):
    picture = plain(20).astype(np.float32) / 255
    for corner in ((0.05, 0.05), (0.85, 0.1), (0.05, 0.8)):
        marked = stamp_letter(picture, letter, corner, height, 1.0)
        assert find_text((marked * 255).astype(np.uint8)) == ()


@pytest.mark.parametrize("angle", [0, 20, 90])
def test_cables_frames_and_blobs_are_not_text(angle):
    picture = Image.fromarray(plain(20))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((4, 4, 250, 250), outline=220, width=2)
    pen.line((20, 30, 120, 34), fill=230, width=2)
    pen.line((20, 40, 120, 48), fill=230, width=2)
    pen.ellipse((180, 20, 200, 32), fill=240)
    assert find_text(np.asarray(picture.rotate(angle))) == ()


def test_only_text_beyond_a_marker_is_long():
    expected = {"AP": False, "A-P": False, "SUPINE": True, "ID 84312": True}
    for text, is_long in expected.items():
        image, _ = written(plain(10), text, 16, ("upper", "left"), 255)
        (line,) = find_text(image)
        assert line.is_long == is_long, text


def test_lines_are_stored_as_text(radiographs):
    image, _ = written(plain(10), "KV59", 16, ("lower", "right"), 200)
    image, _ = written(image, "SUPINE", 16, ("upper", "left"), 200)
    lines = find_text(image)
    assert len(lines) == 2
    assert lines[0].box[1] < lines[1].box[1]
    assert read_lines(write_lines(lines)) == lines


def test_the_shape_does_not_depend_on_size_or_place():
    bits = []
    for height, corner in ((12, ("upper", "left")), (24, ("lower", "right"))):
        image, _ = written(plain(10), "KV59", height, corner, 220)
        (line,) = find_text(image)
        bits.append(np.unpackbits(np.frombuffer(bytes.fromhex(line.shape), np.uint8)))
    assert np.corrcoef(bits)[0, 1] > 0.6


@pytest.mark.parametrize("size", [224, 1000])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_reader_searches_for_text(size, kind):
    picture = Image.fromarray(plain(40)).resize((size, size))
    clean, marked = io.BytesIO(), io.BytesIO()
    picture.save(clean, kind)
    font = ImageFont.load_default(size // 16)
    ImageDraw.Draw(picture).text((size // 2, size // 30), "KV59 AP", fill=230, font=font)
    picture.save(marked, kind)
    assert "text" not in read_image_and_text(clean.getvalue(), PixelSpec(128)).metadata
    found = read_image_and_text(marked.getvalue(), PixelSpec(128))
    (line,) = read_lines(str(found.metadata["text"]))
    assert line.box[0] == pytest.approx(SIDE / 2, abs=4)
    assert (found.pixels == read_image(marked.getvalue(), PixelSpec(128)).pixels).all()


@pytest.mark.parametrize("density", [0.0, 0.1, 0.4, 0.6, 1.0])
def test_components_are_those_of_scipy(density):
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random((23, 31)) < density
        numbers, count = label(mask)
        found = find_components(mask)
        expected = {
            (columns.start, rows.start, columns.stop, rows.stop): []
            for rows, columns in find_objects(numbers)
        }
        assert len(found.boxes) == count
        assert {tuple(box) for box in found.boxes.tolist()} == set(expected)
        painted = np.zeros_like(mask, dtype=int)
        for number, (left, top, right, bottom) in enumerate(found.boxes.tolist()):
            painted[top:bottom, left:right] += (number + 1) * found.mask(number)
        pairs = set(zip(painted.ravel().tolist(), numbers.ravel().tolist(), strict=True))
        assert len(pairs) == len(np.unique(numbers))
        assert ((painted > 0) == mask).all()
