"""Headers of images, odd and hostile ones among them."""

from __future__ import annotations

import io
import time
import zlib
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from plainfilm.pacs.header import HeaderError, read_header

STUDY, SERIES, IMAGE = "1.2.3.4", "1.2.3.4.5", "1.2.3.4.5.6"
FEW = b"\x08\0\x18\0UI\x08\x001.2.3.4\0"


def image(**changes: Any) -> Dataset:
    """Return a data set without pixels; a change to None removes an element."""
    elements = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": IMAGE,
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "Rows": 8,
        "Columns": 8,
    }
    found = Dataset()
    for keyword, value in (elements | changes).items():
        if value is not None:
            setattr(found, keyword, value)
    return found


def encode(
    dataset: Dataset, syntax: str = ExplicitVRLittleEndian, *, preamble: bool = True
) -> bytes:
    """Return a data set as a file."""
    file = io.BytesIO()
    if not preamble:
        dataset.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
        return file.getvalue()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_every_encoding_is_read(syntax: str) -> None:
    header = read_header(encode(image(NumberOfFrames=3), syntax))
    assert (header.sop_uid, header.study_uid) == (IMAGE, STUDY)
    assert header.sop_class == ComputedRadiographyImageStorage
    assert (header.modality, header.body_part, header.view) == ("CR", "CHEST", "PA")
    assert header.frames == 3
    assert not header.is_own_result
    assert header.evidence.PatientName == "Doe^Jane"
    assert (header.evidence.Rows, header.evidence.Columns) == (8, 8)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_file_without_preamble_is_read(syntax: str) -> None:
    assert read_header(encode(image(), syntax, preamble=False)).study_uid == STUDY


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_a_missing_uid_is_an_error(keyword: str) -> None:
    with pytest.raises(HeaderError, match=keyword):
        read_header(encode(image(**{keyword: None}), preamble=False))


def test_a_header_has_no_text_form() -> None:
    assert "Doe" not in repr(read_header(encode(image())))


def test_own_results_are_recognised() -> None:
    assert read_header(encode(image(ManufacturerModelName="plainfilm"))).is_own_result


def test_a_deflated_bomb_costs_little() -> None:
    meta = encode(image(), DeflatedExplicitVRLittleEndian)
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    blocks = [engine.compress(FEW * (1 << 16)) for _ in range(200)]
    start = time.process_time()
    with pytest.raises(HeaderError):
        read_header(meta[: 132 + 12 + meta[140]] + b"".join(blocks) + engine.flush())
    assert time.process_time() - start < 3
