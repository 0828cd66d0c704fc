"""Writes a structured report: the answer of a model to the images of one study.

It is a Comprehensive 3D SR of template TID 1500. Each image has one measurement group for each
label, or one group that says why there is no prediction.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from plainfilm.errors import UsageError
from plainfilm.pacs.codes import PRIVATE_SCHEME, CodeTable
from plainfilm.pacs.content_tree import content_tree
from plainfilm.pacs.results import AnsweredImage, Model, Result, instance_number, subject_of
from plainfilm.pacs.signature import (
    DESCRIPTION,
    MANUFACTURER,
    MODEL_NAME,
    REPORT_SERIES,
    derived_uid,
)
from plainfilm.pixels.dicom_file import QUIET_PYDICOM
from plainfilm.pixels.isolation import ISOLATION

__all__ = ["MOST_IMAGES", "make_report", "make_reports"]

MOST_IMAGES = 16
"""Images of one report."""


_COPIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    *("ReferringPhysicianName", "SpecificCharacterSet"),
)


def make_reports(
    model: Model,
    images: Sequence[AnsweredImage],
    codes: CodeTable,
    now: datetime.datetime | None = None,
) -> list[Result]:
    """Return the reports on any images, as few as possible; see `make_report`.

    Images of another study or patient are in a report of their own. A study that contains images
    of two patients is one that was filed wrongly.
    """
    subjects: dict[tuple[str, ...], list[AnsweredImage]] = {}
    for image in images:
        subjects.setdefault(subject_of(image), []).append(image)
    return [
        make_report(model, own[first : first + MOST_IMAGES], codes, now)
        for own in subjects.values()
        for first in range(0, len(own), MOST_IMAGES)
    ]


def make_report(
    model: Model,
    images: Sequence[AnsweredImage],
    codes: CodeTable,
    now: datetime.datetime | None = None,
) -> Result:
    """Return the report on images of one study and patient.

    Its UID depends on the images and the bundle alone, so that the same answer is never stored
    twice. ``now`` is the time of the content. Any thread may call this.

    Raises
    ------
    UsageError
        If there are no images, more than `MOST_IMAGES`, or of several studies or patients.
    """
    if not 1 <= len(images) <= MOST_IMAGES or len(set(map(subject_of, images))) > 1:
        raise UsageError(
            f"a report is on 1 to {MOST_IMAGES} images of one study and patient",
            received=f"{len(images)} images",
        )
    with ISOLATION, QUIET_PYDICOM:  # a warning would quote a value
        return _make(model, images, codes, now or datetime.datetime.now())


def _make(
    model: Model, images: Sequence[AnsweredImage], codes: CodeTable, now: datetime.datetime
) -> Result:
    identity = sorted(f"{one.header.sop_uid} {one.sha256}" for one in images)
    uid = derived_uid(*identity, model.bundle_id, "report")
    report = content_tree(model, images, codes)
    _add_header(report, model, images, uid, now)
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    report.save_as(file, enforce_file_format=True)
    return Result(uid, "report", str(Comprehensive3DSRStorage), file.getvalue())


def _add_header(
    report: Dataset,
    model: Model,
    images: Sequence[AnsweredImage],
    uid: str,
    now: datetime.datetime,
) -> None:
    """Add patient, study, series, equipment and evidence."""
    header = images[0].header
    for keyword in _COPIED:
        report[keyword] = header.evidence[keyword]
    report.Modality = "SR"
    report.SOPClassUID = Comprehensive3DSRStorage
    report.SOPInstanceUID = uid
    report.InstanceNumber = instance_number(uid)
    report.SeriesInstanceUID = derived_uid(*subject_of(images[0]), model.bundle_id, "report series")
    report.SeriesNumber = str(REPORT_SERIES)
    report.SeriesDescription = DESCRIPTION
    report.Manufacturer, report.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    report.SoftwareVersions, report.DeviceSerialNumber = model.version, model.bundle_id
    report.ContentDate = report.InstanceCreationDate = now.strftime("%Y%m%d")
    report.ContentTime = report.InstanceCreationTime = now.strftime("%H%M%S.%f")
    report.CompletionFlag = "COMPLETE"
    report.PreliminaryFlag = "PRELIMINARY"
    report.VerificationFlag = "UNVERIFIED"
    report.ReferencedPerformedProcedureStepSequence = Items()
    report.PerformedProcedureCodeSequence = Items()
    report.CurrentRequestedProcedureEvidenceSequence = Items([_evidence(images)])
    scheme = Dataset()
    scheme.CodingSchemeDesignator = PRIVATE_SCHEME
    scheme.CodingSchemeName = "plainfilm"
    scheme.CodingSchemeResponsibleOrganization = "The plainfilm developers"
    report.CodingSchemeIdentificationSequence = Items([scheme])


def _evidence(images: Sequence[AnsweredImage]) -> Dataset:
    """Return the study with its series and the images that the report is on."""
    series: dict[str, dict[str, Dataset]] = {}
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID = image.header.sop_class
        reference.ReferencedSOPInstanceUID = image.header.sop_uid
        series.setdefault(str(image.header.evidence.SeriesInstanceUID), {})[
            image.header.sop_uid
        ] = reference
    study = Dataset()
    study.StudyInstanceUID = images[0].header.study_uid
    study.ReferencedSeriesSequence = Items()
    for uid, references in series.items():
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedSOPSequence = Items(references.values())
        study.ReferencedSeriesSequence.append(item)
    return study
