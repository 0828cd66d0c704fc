"""Writes tiny images and tables."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

_DX = "1.2.840.10008.5.1.4.1.1.1.1"


def write_images(root: Path, names: Iterable[str]) -> None:
    """Write a raster image for each path below ``root``; other names have other pixels."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_noise(name)).save(path)


def write_dicom(path: Path, patient: str = "", uid: str = "1.2.3") -> None:
    """Write a DICOM file of one patient; ``patient`` is blank where it was removed."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _DX
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = _DX, uid
    data.PatientID = patient
    data.PatientIdentityRemoved = "YES"
    data.Modality = "DX"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    data.PixelRepresentation = 0
    data.Rows = data.Columns = 8
    data.PixelData = _noise(path.name).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_lines(path: Path, *lines: str) -> None:
    """Write lines of text, compressed if the name ends in ``.gz``."""
    text = "".join(f"{line}\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def _noise(seed: str) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    return rng.integers(0, 256, (8, 8), np.uint8)
