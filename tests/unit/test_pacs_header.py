"""Headers of images, odd and hostile ones among them."""

from __future__ import annotations

import io
import time
import warnings
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.config import RAISE
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import validate_value

from pacs_files import odd_chests
from plainfilm.pacs.codes import read_codes
from plainfilm.pacs.header import HeaderError, read_header
from plainfilm.pacs.identifiers import is_uid
from plainfilm.pacs.report import make_report
from plainfilm.pacs.results import AnsweredImage, Model, Refusal
from plainfilm.records import Task

STUDY, SERIES, IMAGE = "1.2.3.4", "1.2.3.4.5", "1.2.3.4.5.6"
MODEL = Model("m", "ab" * 32, "1.0", Task("binary", ("a",), ("b", "a")), {}, {}, "Trained on S.")
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
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


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"])
def test_a_missing_uid_is_an_error(keyword: str) -> None:
    with pytest.raises(HeaderError, match=keyword):
        read_header(encode(image(**{keyword: None}), preamble=False))


def test_odd_files_are_read() -> None:
    headers = {name: read_header(data) for name, data in odd_chests().items()}
    assert headers["two frames"].frames == 2
    assert headers["truncated"].body_part == "CHEST"
    assert headers["lateral view"].view == "LL"
    assert headers["right side"].laterality == "R"
    assert headers["no laterality"].laterality == ""
    assert headers["for processing"].presentation == "FOR PROCESSING"
    assert headers["ordinary"].presentation == "FOR PRESENTATION"
    assert headers["ordinary"].orientation == ("L", "F")
    assert headers["invalid dates"].evidence.PatientBirthDate == "19700101"


def test_a_header_has_no_text_form() -> None:
    assert "Doe" not in repr(read_header(encode(image())))


def test_own_results_are_recognised() -> None:
    own = image(ManufacturerModelName="plainfilm")
    assert not read_header(encode(own)).is_own_result
    own.SOPClassUID = SecondaryCaptureImageStorage
    assert read_header(encode(own)).is_own_result


@pytest.mark.parametrize("uid", [None, b"1.2.03"])
def test_an_image_without_a_valid_series_has_a_report(uid: bytes | None) -> None:
    data = encode(image(SeriesInstanceUID=None if uid is None else "1.2.33"))
    header = read_header(data.replace(b"1.2.33", uid or b""))
    assert is_uid(str(header.evidence.SeriesInstanceUID))


def test_a_deflated_bomb_costs_little() -> None:
    meta = encode(image(), DeflatedExplicitVRLittleEndian)
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    blocks = [engine.compress(FEW * (1 << 16)) for _ in range(64)]
    start = time.process_time()
    with pytest.raises(HeaderError):
        read_header(meta[: 132 + 12 + meta[140]] + b"".join(blocks) + engine.flush())
    assert time.process_time() - start < 3


def element(group: int, number: int, vr: str, value: bytes) -> bytes:
    """Return an element in explicit VR little endian."""
    value += b"\0" * (len(value) % 2)
    if vr in ("SQ", "UN", "UT", "OB"):
        length = b"\0\0" + len(value).to_bytes(4, "little")
    else:
        length = len(value).to_bytes(2, "little")
    return group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr.encode() + length + value


def raw(values: dict[tuple[int, int], tuple[str, bytes]]) -> bytes:
    """Return a data set of the UIDs of a result, and these values."""
    needed = {
        (0x08, 0x16): ("UI", str(ComputedRadiographyImageStorage).encode()),
        (0x08, 0x18): ("UI", IMAGE.encode()),
        (0x20, 0x0D): ("UI", STUDY.encode()),
        (0x20, 0x0E): ("UI", SERIES.encode()),
    }
    return b"".join(element(*tag, *value) for tag, value in sorted((needed | values).items()))


KOREAN = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"
JAPANESE = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"  # PS3.5 annex H


def name_of(charset: bytes, name: bytes) -> str:
    header = read_header(raw({(0x08, 0x05): ("CS", charset), (0x10, 0x10): ("PN", name)}))
    return str(header.evidence.PatientName)


@pytest.mark.parametrize(
    ("charset", "name", "text"),
    [
        (b"", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        (b"", "Müller^Jörg".encode(), "Müller^Jörg"),
        (b"ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        (b"ISO_IR 192", "Müller^Jörg".encode("latin-1"), "M�ller^J�rg"),
        (b"ISO_IR 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (b"\\ISO 2022 IR 149", KOREAN, "Hong^Gildong=洪^吉洞"),
        (b"ISO_IR 13\\ISO 2022 IR 87", JAPANESE, "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        (b"GB18030", "Wang=\u8a3e".encode("gb18030"), "Wang=\u8a3e"),
        (b"ISO_IR 999", b"Doe^Jane", "Doe^Jane"),
        (b"rot13\\zip", b"Doe^Jane", "Doe^Jane"),
        (b"ISO_IR 100", b"Doe^Jane\\Roe^Richard", "Doe^Jane"),
        (b"", b"Doe^Jane\x00\x07", "Doe^Jane"),
        (b"", b"a^b^c^d^e^f=g=h=i", "a^b^c^d^e=g=h"),
        (b"", b"x" * 70 + b"^y", "x" * 64),
    ],
)  # fmt: skip
def test_names_become_utf_8(charset: bytes, name: bytes, text: str) -> None:
    assert name_of(charset, name) == text


@pytest.mark.parametrize(
    ("tag", "vr", "value", "keyword", "expected"),
    [
        ((0x10, 0x20), "LO", b"P1\\P2", "PatientID", ""),
        ((0x10, 0x20), "LO", b"P1\t2", "PatientID", ""),
        ((0x10, 0x20), "LO", b"P1\0", "PatientID", "P1"),
        ((0x10, 0x20), "LO", b"P" * 65, "PatientID", ""),
        ((0x10, 0x20), "LO", b" P1  ", "PatientID", "P1"),
        ((0x10, 0x20), "SQ", b"\xfe\xff\x00\xe0\x00\x00\x00\x00", "PatientID", ""),
        ((0x08, 0x50), "SH", b"A" * 17, "AccessionNumber", ""),
        ((0x10, 0x30), "DA", b"1999.12.31", "PatientBirthDate", "19991231"),
        ((0x10, 0x30), "DA", b"19991331", "PatientBirthDate", ""),
        ((0x10, 0x30), "DA", b"19000101-20000101", "PatientBirthDate", ""),
        ((0x08, 0x30), "TM", b"12:30:45.5", "StudyTime", "123045.5"),
        ((0x08, 0x30), "TM", b"1230", "StudyTime", "1230"),
        ((0x08, 0x30), "TM", b"250000", "StudyTime", ""),
        ((0x10, 0x40), "CS", b"female", "PatientSex", ""),
        ((0x08, 0x60), "CS", b"CHEST XRAY", "Modality", "OT"),
    ],
)
def test_values_that_dicom_does_not_allow(
    tag: tuple[int, int], vr: str, value: bytes, keyword: str, expected: str
) -> None:
    header = read_header(raw({tag: (vr, value)}))
    assert header.evidence[keyword].value == expected


@pytest.mark.parametrize("uid", [b"", b"1.2.x", b"../../etc", b"1." + b"2" * 63, b"1..2"])
def test_an_invalid_uid_is_an_error_that_does_not_quote_it(uid: bytes) -> None:
    with pytest.raises(HeaderError) as raised:
        read_header(raw({(0x20, 0x0D): ("UI", uid)}))
    assert str(raised.value) == "the image has no valid StudyInstanceUID"
    assert raised.value.__context__ is None


@pytest.mark.parametrize("data", [b"", b"DICM", b"\0" * 132, b"\x89PNG", b"\xff" * 1000])
def test_other_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(HeaderError):
        read_header(data)


@pytest.mark.parametrize(
    "data",
    [
        FEW * 2_000_000,
        element(0x02, 0x12, "UI", b"") * 2_000_000,
        element(0x09, 0x12, "LO", b"") * 2_000_000,
        element(0x08, 0x05, "CS", b"ISO_IR 100\\ISO 2022 IR 149") * 300_000,
        element(0x09, 0x10, "SQ", b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 1_000_000),
        element(0x10, 0x20, "UN", b"x" * (1 << 24)),
    ],
    ids=["elements", "meta", "private", "character-sets", "nesting", "value"],
)
def test_a_hostile_header_costs_little(data: bytes) -> None:
    start = time.process_time()
    with pytest.raises(HeaderError):
        read_header(data)
    assert time.process_time() - start < 2


TEXT = st.one_of(
    st.binary(max_size=90),
    st.text(max_size=90).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from([b"^", b"=", b"\\", b" ", b"\x1b$B", b"20200230", b"1e9", b"\x1b$)C\xff"]),
)
TAGS = {
    (0x08, 0x20): "DA",
    (0x08, 0x30): "TM",
    (0x08, 0x50): "SH",
    (0x08, 0x60): "CS",
    (0x08, 0x90): "PN",
    (0x10, 0x10): "PN",
    (0x10, 0x20): "LO",
    (0x10, 0x21): "LO",
    (0x10, 0x30): "DA",
    (0x10, 0x40): "CS",
    (0x20, 0x10): "SH",
    (0x28, 0x08): "IS",
    (0x28, 0x10): "US",
}
CHARSETS = [b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 149", b"GB18030", b"nonsense"]


@settings(max_examples=25, deadline=None)
@given(
    charset=st.sampled_from(CHARSETS),
    values=st.fixed_dictionaries(dict.fromkeys(TAGS, TEXT)),
)
def test_any_values_conform(charset: bytes, values: dict[tuple[int, int], bytes]) -> None:
    """The report on any header conforms, and is read back as it was written, without warnings."""
    elements = {tag: (TAGS[tag], value) for tag, value in values.items()}
    header = read_header(raw(elements | {(0x08, 0x05): ("CS", charset)}))
    refused = AnsweredImage(header, "ab" * 32, refusal=Refusal("not-frontal", "Not frontal"))
    found = dcmread(io.BytesIO(make_report(MODEL, [refused], read_codes()).data))
    for one in found.iterall():
        if one.VR not in ("SQ", "UN"):
            several = one.value if one.VM > 1 else [one.value]
            for value in several:
                validate_value(one.VR, str(value) if one.VR == "IS" else value, RAISE)
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyTime", "AccessionNumber"):
        assert found[keyword].value == header.evidence[keyword].value
        assert found[keyword].VM <= 1
