"""Tests the checks of files: readability, format, colour, size and header."""

from __future__ import annotations

import pytest

from plainfilm.audit.files import (
    check_colour,
    check_corrections,
    check_formats,
    check_header,
    check_readable,
    check_sizes,
)
from plainfilm.data.manifest import LeftOut


@pytest.fixture
def with_metadata(make_evidence, chests):
    def make(metadata, ids=None, left_out=()):
        images = chests[[n % len(chests) for n in range(len(metadata))]]
        return make_evidence(
            [0] * len(metadata), images=images, metadata=metadata, ids=ids, left_out=left_out
        )

    return make


def test_unreadable_files_are_reported_by_reason(with_metadata):
    left_out = [LeftOut("a", "a", "empty", "it is empty"), LeftOut("b", "b", "empty", "")]
    left_out += [LeftOut("c", "c", "strange-reason", "")]
    found = {f.check: f for f in check_readable(with_metadata([{}] * 200, left_out=left_out))}
    assert set(found) == {"empty", "unreadable"}
    assert found["empty"].problem == "2 of 203 files cannot be read: the file is empty"
    assert found["empty"].exclude == ("a", "b")
    assert found["empty"].severity == "warning"


def test_many_unreadable_files_are_serious(with_metadata):
    left_out = [LeftOut(f"{n}", "", "truncated", "") for n in range(5)]
    (finding,) = check_readable(with_metadata([{}] * 50, left_out=left_out))
    assert finding.severity == "serious"


def test_readable_files_are_not_reported(with_metadata):
    assert list(check_readable(with_metadata([{}] * 3))) == []


@pytest.mark.parametrize(
    ("name", "kind", "reported"),
    [
        ("a/b.png", "jpeg", True),
        ("b.JPG", "png", True),
        ("c.dcm", "jpeg", True),
        ("d.png", "png", False),
        ("e.JPEG", "jpeg", False),
        ("f.ima", "dicom", False),
        ("no-ending", "dicom", False),
        ("1.2.840.113", "dicom", False),
        ("h.raw", "jpeg", False),
    ],
)
def test_extensions_of_another_format(with_metadata, name, kind, reported):
    findings = list(check_formats(with_metadata([{"format": kind}], ids=[name])))
    assert [f.files for f in findings] == ([(name,)] if reported else [])


def test_colour_among_grey_images(with_metadata):
    (finding,) = check_colour(with_metadata([{"coloured": 0.0}] * 5 + [{"coloured": 1.0}, {}]))
    assert (finding.files, finding.severity) == (("x5.png",), "warning")
    assert list(check_colour(with_metadata([{"coloured": 0.0}, {}]))) == []
    (finding,) = check_colour(with_metadata([{"coloured": 1.0}] * 3))
    assert finding.severity == "note"


def test_corrected_headers_are_listed_with_counts(with_metadata):
    corrected = ["vr", "compression vr", "window", "outliers", "window vr"]
    metadata = [{"corrected": words} for words in corrected] + [{}] * 3
    found = {f.check: f for f in check_corrections(with_metadata(metadata))}
    assert list(found) == ["contradictory-header", "unused-window", "extreme-pixels"]
    header = found["contradictory-header"]
    assert header.files == ("x0.png", "x1.png", "x4.png") and header.severity == "warning"
    assert header.problem.startswith("3 images have a compression that is not the stated one (1); ")
    assert "or the reverse (3)" in header.problem
    assert found["unused-window"].files == ("x2.png", "x4.png")
    assert found["extreme-pixels"].files == ("x3.png",)
    assert list(check_corrections(with_metadata([{}] * 3))) == []


def sized(*sizes):
    return [{"width": float(width), "height": float(height)} for width, height in sizes]


def test_a_small_image_among_radiographs(with_metadata):
    (finding,) = check_sizes(with_metadata(sized(*[(1024, 900)] * 9, (64, 50))))
    assert (finding.check, finding.files) == ("small-image", ("x9.png",))
    (finding,) = check_sizes(with_metadata(sized(*[(3000, 2500)] * 9, (300, 250))))
    assert finding.files == ("x9.png",)


def test_a_set_of_small_images_is_not_reported(with_metadata):
    assert list(check_sizes(with_metadata(sized(*[(28, 28)] * 9, (26, 28))))) == []
    (finding,) = check_sizes(with_metadata(sized(*[(28, 28)] * 9, (8, 8))))
    assert finding.files == ("x9.png",)


def test_a_strip_is_reported(with_metadata):
    (finding,) = check_sizes(with_metadata(sized((1000, 900), (1000, 2400), (900, 2400))))
    assert (finding.check, finding.files) == ("unusual-aspect-ratio", ("x2.png",))


def test_unknown_sizes_are_not_reported(with_metadata):
    assert list(check_sizes(with_metadata([{}, {}]))) == []


def test_headers_of_other_images_are_reported(with_metadata):
    metadata = [
        {"modality": "CT", "body_part": "CHEST"},
        {"modality": "DX", "body_part": "KNEE"},
        {"modality": "CR", "body_part": "CHEST", "view": "LL"},
        {"modality": "DX", "body_part": "CHEST", "view": "PA"},
        {"modality": "DX"},
        {},
    ]
    found = {f.check: f.files for f in check_header(with_metadata(metadata))}
    assert found == {
        "wrong-modality": ("x0.png",),
        "wrong-body-part": ("x1.png",),
        "lateral-view": ("x2.png",),
    }
    assert list(check_header(with_metadata(metadata[3:]))) == []


def test_files_that_the_listing_leaves_out_are_not_unreadable(with_metadata):
    chosen = [LeftOut(f"{n}.png", "", reason, "") for n, reason in enumerate(("mask", "copy"))]
    evidence = with_metadata({}, left_out=[*chosen, LeftOut("x.png", "", "no-label", "")])
    (finding,) = check_readable(evidence)
    assert finding.files == ("x.png",)
    assert "are not used: no label" in finding.problem
