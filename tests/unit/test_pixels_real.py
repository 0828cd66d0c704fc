"""Real, unusual and hostile files, where they are present."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from plainfilm.pixels import read_full_image, read_image, read_image_and_whole
from plainfilm.records import PixelSpec

DATA = Path(
    os.environ.get("PLAINFILM_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / "broken").is_dir(), reason="no real images (PLAINFILM_DATA)"),
]

# Read every file named on standard input within a bound on memory; any other exception than
# ImageError, or a warning, ends the process.
SWEEP = """
import json, sys, warnings
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
except ImportError:
    pass
warnings.simplefilter("error")
from plainfilm.errors import ImageError
from plainfilm.pixels import read_image
from plainfilm.records import PixelSpec
for line in sys.stdin:
    path = line.rstrip("\\n")
    try:
        image = read_image(path, PixelSpec(64))
        assert image.pixels.shape == (64, 64)
        print(json.dumps([path, "image"]))
    except ImageError as error:
        print(json.dumps([path, error.reason]))
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    files = [
        path
        for folder in ("broken", "dicom", "other")
        for path in sorted((DATA / folder).rglob("*"))
        if path.is_file() and path.name != "index.csv"
    ]
    done = subprocess.run(
        [sys.executable, "-c", SWEEP],
        input="\n".join(map(str, files)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr[-2000:]
    pairs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(pairs) == len(files)
    return {Path(path).relative_to(DATA).as_posix(): outcome for path, outcome in pairs}


def test_every_file_ends_as_an_image_or_a_reason(outcomes: dict[str, str]) -> None:
    assert set(outcomes.values()) <= {
        *("image", "empty", "truncated", "not-an-image", "unsupported-format", "too-large"),
        *("corrupt", "needs-codec", "no-pixels"),
    }
    assert {o for f, o in outcomes.items() if f.startswith("other/")} == {"image"}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("broken/bomb/jpeg_65000x65000_header.jpg", "too-large"),
        ("broken/bomb/png_12000x12000_grey.png", "too-large"),
        ("broken/bomb/png_20000x20000_1bit.png", "too-large"),
        ("broken/bomb/png_60000x60000_header_only.png", "too-large"),
        ("broken/bomb/png_decompression_dos.png", "too-large"),
        ("broken/bomb/decompression_bomb.gif", "too-large"),
        ("broken/dicom/rows_columns_larger_than_data.dcm", "too-large"),
        ("broken/malformed/cxr_cut_10pct.jpg", "truncated"),
        ("broken/malformed/cxr_cut_50pct.jpg", "truncated"),
        ("broken/malformed/cxr_cut_95pct.jpg", "truncated"),
        ("broken/malformed/cxr_cut_60pct.png", "truncated"),
        ("broken/malformed/cxr_bad_crc.png", "corrupt"),
        ("broken/malformed/empty.jpeg", "empty"),
        ("broken/malformed/git_lfs_pointer.jpeg", "not-an-image"),
        ("broken/malformed/html_error_page.jpeg", "not-an-image"),
        ("broken/dicom/cxr_cut_50pct.dcm", "truncated"),
        ("broken/dicom/MR_truncated.dcm", "truncated"),
        ("broken/dicom/no-pixel-data.dcm", "no-pixels"),
        ("broken/odd/cxr_trailing_garbage.jpg", "image"),
        ("broken/odd/cxr_png_named.jpeg", "image"),
        ("broken/odd/hopper.avif", "unsupported-format"),
        ("dicom/nonchest/DICOMDIR", "no-pixels"),
        ("dicom/nonchest/sr_report.dcm", "no-pixels"),
        ("dicom/chest/cr_mono1_10bit_nopreamble.dcm", "image"),
    ],
)
def test_known_outcomes(outcomes: dict[str, str], file: str, expected: str) -> None:
    assert outcomes[file] == expected


def test_odd_versions_of_one_radiograph_look_alike() -> None:
    odd, spec = DATA / "broken" / "odd", PixelSpec(128)
    reference = read_image(odd / "cxr_reference.jpg", spec).pixels.astype(int)
    names = (
        *("cxr.bmp", "cxr.webp", "cxr_12in16bit.png", "cxr_16bit.png", "cxr_cmyk.jpg"),
        *("cxr_float.tiff", "cxr_la.png", "cxr_palette.png", "cxr_progressive.jpg"),
        *("cxr_trailing_garbage.jpg", "cxr_png_named.jpeg"),
        *(f"cxr_exif_orientation_{n}.jpg" for n in range(1, 9)),
    )
    for name in names:
        assert np.abs(read_image(odd / name, spec).pixels - reference).mean() < 2.5, name


def rows() -> Iterator[dict[str, str]]:
    with open(DATA / "dicom" / "index.csv", newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def test_stored_values_are_those_of_the_index() -> None:
    """The index holds the range of each file's pixels."""
    from plainfilm.pixels import dicom
    from plainfilm.pixels.limits import LIMITS

    checked = 0
    for row in rows():
        found = re.match(r"\((\d+), (\d+)\) \S+ min (-?\d+) max (-?\d+)", row["decoded"])
        if not found:
            continue
        low, high = int(found[3]), int(found[4])
        seen: list[tuple[int, int]] = []
        original = dicom.grey_from_stored

        def note(stored, *more, original=original, seen=seen):  # type: ignore[no-untyped-def]
            seen.append((int(stored.min()), int(stored.max())))
            return original(stored, *more)

        dicom.grey_from_stored = note
        try:
            decoded = dicom.decode_dicom((DATA / "dicom" / row["file"]).read_bytes(), LIMITS)
        finally:
            dicom.grey_from_stored = original
        assert decoded.picture.size == (int(found[2]), int(found[1])), row["file"]
        if seen:
            # Decoders of lossy JPEG may differ by a level; all others have no say.
            slack = 1 if row["transfer_syntax"].startswith("JPEG Baseline") else 0
            np.testing.assert_allclose(seen, [(low, high)], atol=slack, rtol=0)
            checked += 1
    assert checked >= 18


def test_metadata_are_those_of_the_index() -> None:
    for row in rows():
        if not row["decoded"].startswith("("):
            continue
        metadata = read_full_image(DATA / "dicom" / row["file"]).metadata
        assert metadata.get("modality", "") == row["modality"]
        assert metadata.get("body_part", "") == row["body_part"]
        assert metadata.get("view", "") == row["view"]
        assert metadata["frames"] == float(row["frames"])
        assert metadata["bits"] == float(row["bits_stored"])


def test_encodings_of_one_radiograph_are_equal() -> None:
    leg = DATA / "dicom" / "nonchest"
    plain = read_full_image(leg / "rg3_leg_rle.dcm").pixels
    for name in ("jpeg_lossless", "jpegls_lossless"):
        pytest.importorskip("libjpeg")
        np.testing.assert_array_equal(read_full_image(leg / f"rg3_leg_{name}.dcm").pixels, plain)
    for name in ("j2k_lossy", "jpeg_12bit_lossy"):
        lossy = read_full_image(leg / f"rg3_leg_{name}.dcm").pixels.astype(int)
        assert np.abs(lossy - plain).mean() < 1


def test_a_radiograph_and_its_prepared_image_are_read_together() -> None:
    paths = [path for path in (DATA / "dicom" / "chest").iterdir() if "cr_mono" in path.name]
    assert len(paths) == 3
    for path in paths:
        for spec in (PixelSpec(64), PixelSpec(64, "pad", True)):
            image, whole = read_image_and_whole(path, spec)
            np.testing.assert_array_equal(image.pixels, read_image(path, spec).pixels)
            np.testing.assert_array_equal(np.asarray(whole.picture), read_full_image(path).pixels)


def test_polarity_of_real_chest_radiographs() -> None:
    # The mediastinum is bright and the air around the shoulders is not, whatever was stored.
    for name in ("cr_mono1_10bit_nopreamble", "rsna_cr_mono2_8bit_jpeg"):
        image = read_image(DATA / "dicom" / "chest" / f"{name}.dcm", PixelSpec(64))
        lungs = np.median([image.pixels[24:36, 14:22], image.pixels[24:36, 42:50]])
        assert np.median(image.pixels[30:44, 30:36]) > lungs + 20


def test_reduced_decoding_stays_near_the_full_one() -> None:
    files = sorted((DATA / "kermany_originals").rglob("*.jpeg"))[::6]
    for path in files:
        ours = read_image(path, PixelSpec(224)).pixels.astype(int)
        picture = Pillow.open(io.BytesIO(path.read_bytes())).convert("L")
        full = np.asarray(picture.resize((224, 224), Pillow.Resampling.BILINEAR))
        assert np.abs(ours - full).mean() < 1, path.name
