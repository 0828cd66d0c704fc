"""Makes the results of an invented image, before a service accepts real ones."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from plainfilm.errors import BundleError
from plainfilm.inference.registry import LoadedBundle
from plainfilm.pacs.capture import make_capture
from plainfilm.pacs.codes import PRIVATE_SCHEME, CodeTable
from plainfilm.pacs.header import Header, read_header
from plainfilm.pacs.report import make_report
from plainfilm.pacs.results import AnsweredImage, Model
from plainfilm.pacs.signature import derived_uid
from plainfilm.prediction import Prediction

_CR = "1.2.840.10008.5.1.4.1.1.1"


def try_results(loaded: LoadedBundle, codes: CodeTable, *, capture: bool) -> list[str]:
    """Make a report and a picture with this bundle; return its labels without a public code.

    Raises
    ------
    BundleError
        If its labels or thresholds cannot be written as DICOM.
    """
    model = Model.of(loaded)
    labels = model.task.labels
    check_codes(labels, codes)
    prediction = Prediction("", dict.fromkeys(labels, 1 / len(labels)))
    picture = np.zeros((64, 64), np.uint8)
    image = AnsweredImage(_header(), "0" * 64, prediction, picture=picture if capture else None)
    try:
        make_report(model, [image], codes)
        if capture:
            make_capture(model, image)
    except Exception as error:
        raise BundleError(
            "no DICOM report can be made with this bundle",
            received=f"{type(error).__name__}: {error}",
            remedy="check its labels, and their codes in the file of --codes",
        ) from error
    return [label for label in labels if codes.of(label).scheme == PRIVATE_SCHEME]


def check_codes(labels: Sequence[str], codes: CodeTable) -> None:
    """Raise a BundleError if two labels have one code."""
    of_code: dict[tuple[str, str], str] = {}
    for label in labels:
        code = codes.of(label)
        if (other := of_code.setdefault((code.scheme, code.value), label)) != label:
            raise BundleError(
                "two labels have one code, so a report could contradict itself",
                received=f"{other!r} and {label!r}: {code.value} {code.scheme}",
                remedy="give them different codes in the file of --codes",
            )


def _header() -> Header:
    """Return the header of an image that does not exist."""
    made = Dataset()
    made.SOPClassUID, made.Modality = _CR, "CR"
    made.PatientName, made.PatientID = "TRIAL", "TRIAL"
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(made, keyword, derived_uid("trial", keyword))
    made.Rows = made.Columns = 64
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = _CR
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return read_header(out.getvalue())
