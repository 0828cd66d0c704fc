"""Encodes drawn images as JPEG, PNG or DICOM."""

from __future__ import annotations

import hashlib
import io
from typing import Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plainfilm.phantom.anatomy import Patient
from plainfilm.phantom.projection import Field
from plainfilm.pixels.headers import PHANTOM

Format = Literal["jpeg", "png", "dicom"]

_SHADES = 4095
_DX = "1.2.840.10008.5.1.4.1.1.1.1"


def encode(
    rng: np.random.Generator,
    picture: Field,
    format: Format,
    *,
    patient: Patient,
    key: str,
    image: int,
) -> bytes:
    """Return the content of an image file: 8 bits, or a DICOM DX image with 12 bits.

    Every file says that it was drawn: its comment, or the manufacturer of a DICOM file.
    ``picture`` is (height, width), 0 (black) to 1 (white); ``key`` names the patient, and
    ``image`` is the number of the image. ``rng`` chooses the JPEG quality, or polarity and window.
    """
    if format == "dicom":
        return _dicom(rng, picture, patient, key, image)
    shown = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    buffer = io.BytesIO()
    if format == "png":
        texts = PngInfo()
        texts.add_text("Comment", PHANTOM)
        shown.save(buffer, "PNG", pnginfo=texts)
    else:
        shown.save(buffer, "JPEG", quality=int(rng.integers(84, 95)), comment=PHANTOM)
    return buffer.getvalue()


def _dicom(
    rng: np.random.Generator, picture: Field, patient: Patient, key: str, image: int
) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    inverted = bool(rng.random() < 0.25)
    low, span = int(rng.integers(0, 700)), int(rng.integers(2400, 3300))
    stored = np.rint(picture * span + low).astype(np.uint16)
    centre = low + span / 2
    if inverted:
        stored, centre = (_SHADES - stored).astype(np.uint16), _SHADES - centre

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _DX
    meta.MediaStorageSOPInstanceUID = _uid(key, "image", image)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    fields = _study(patient, key, image) | _pixels(rng, patient, inverted, picture.shape[0])
    for name, value in fields.items():
        setattr(data, name, value)
    data.Rows, data.Columns = stored.shape
    data.WindowCenter, data.WindowWidth = round(centre), span
    data.PixelData = stored.astype("<u2").tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _study(patient: Patient, key: str, image: int) -> dict[str, object]:
    """Return the attributes of patient, study and series; they state that it is synthetic."""
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": _DX,
        "SOPInstanceUID": _uid(key, "image", image),
        "PatientName": f"SYNTHETIC^{key}",
        "PatientID": f"SYNTHETIC-{key}",
        "PatientBirthDate": "",
        "PatientSex": patient.sex,
        "PatientAge": f"{patient.age:03d}Y",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "drawn by plainfilm.phantom: no such person",
        "StudyInstanceUID": _uid(key, "study", image),
        "StudyDate": "20000101",
        "StudyTime": "120000",
        "StudyID": str(image),
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Modality": "DX",
        "SeriesInstanceUID": _uid(key, "series", image),
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Manufacturer": PHANTOM,
        "BodyPartExamined": "CHEST",
        "PresentationIntentType": "FOR PRESENTATION",
        "AcquisitionContextSequence": [],
    }


def _pixels(
    rng: np.random.Generator, patient: Patient, inverted: bool, rows: int
) -> dict[str, object]:
    """Return the attributes of the pixels; a quarter of the files are MONOCHROME1."""
    from pydicom.dataset import Dataset

    region = Dataset()
    region.CodeValue = "51185008"
    region.CodingSchemeDesignator = "SCT"
    region.CodeMeaning = "Chest"
    spacing = round(330.0 / rows * (0.6 if patient.age < 8 else 1.0), 3)
    return {
        "ImageType": ["DERIVED", "PRIMARY", ""],
        "ViewPosition": "AP" if rng.random() < 0.2 + 0.6 * (patient.age < 5) else "PA",
        "PatientOrientation": ["L", "F"],
        "ImageLaterality": "U",
        "AnatomicRegionSequence": [region],
        "ImagerPixelSpacing": [spacing, spacing],
        "DetectorType": "DIRECT",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": 1 if inverted else -1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "US",
        "PresentationLUTShape": "INVERSE" if inverted else "IDENTITY",
        "LossyImageCompression": "00",
        "BurnedInAnnotation": "NO",
    }


def _uid(*parts: object) -> str:
    """Return a UID that depends only on ``parts``, under the root for UUIDs (2.25)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
