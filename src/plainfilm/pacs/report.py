"""Writes a structured report: the answer of a model to the images of one study.

It is a Comprehensive 3D SR of template TID 1500. Each image has one measurement group for each
label, or one group that says why there is no prediction.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from plainfilm.errors import UsageError
from plainfilm.pacs import content
from plainfilm.pacs.codes import PRIVATE_SCHEME, Code, CodeTable, code_text
from plainfilm.pacs.results import (
    DESCRIPTION,
    MANUFACTURER,
    MODEL_NAME,
    REPORT_SERIES,
    AnsweredImage,
    Evaluation,
    Model,
    Refusal,
    Result,
    State,
    derived_uid,
)

__all__ = ["MOST_IMAGES", "make_report"]

MOST_IMAGES = 16
"""Images of one report."""


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


_LANGUAGE = Code("en-US", "RFC5646", "English (United States)")
_PROCEDURE = Code("43468-8", "LN", "XR unspecified body region")
_NO_UNITS = Code("1", "UCUM", "no units")
_UNUSABLE = _dcm("111235", "Unusable - Quality renders image unusable")
_STATES: dict[State, Code] = {
    "present": Code("52101004", "SCT", "Present"),
    "absent": Code("272519000", "SCT", "Absent"),
    "undetermined": Code("373068000", "SCT", "Undetermined"),
}
_COPIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    *("ReferringPhysicianName", "SpecificCharacterSet"),
)
_CONTEXT, _MODIFIER, _CONTAINS = "HAS OBS CONTEXT", "HAS CONCEPT MOD", "CONTAINS"


def make_report(
    model: Model,
    images: Sequence[AnsweredImage],
    codes: CodeTable,
    now: datetime.datetime | None = None,
) -> Result:
    """Return the report on images of one study.

    Its UID depends on the images and the bundle alone, so that the same answer is never stored
    twice. ``now`` is the time of the content. Any thread may call this.

    Raises
    ------
    UsageError
        If there are no images, more than `MOST_IMAGES`, or images of several studies.
    """
    if not 1 <= len(images) <= MOST_IMAGES or len({one.header.study_uid for one in images}) > 1:
        raise UsageError(
            f"a report is on 1 to {MOST_IMAGES} images of one study",
            received=f"{len(images)} images",
        )
    identity = sorted(f"{one.header.sop_uid} {one.sha256}" for one in images)
    uid = derived_uid(*identity, model.bundle_id, "report")
    report = _content(model, images, codes)
    _add_header(report, model, images, uid, now or datetime.datetime.now())
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
    report.InstanceNumber = "1"
    report.SeriesInstanceUID = derived_uid(header.study_uid, model.bundle_id, "report series")
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


def _content(model: Model, images: Sequence[AnsweredImage], codes: CodeTable) -> Dataset:
    """Return the content tree (TID 1500)."""
    groups = [group for image in images for group in _groups(model, image, codes)]
    items = [
        content.coded(
            _MODIFIER, _dcm("121049", "Language of Content Item and Descendants"), _LANGUAGE
        ),
        content.coded(_CONTEXT, _dcm("121005", "Observer Type"), _dcm("121007", "Device")),
        content.uid(
            _CONTEXT,
            _dcm("121012", "Device Observer UID"),
            derived_uid("device", model.bundle_id),
        ),
        content.text(_CONTEXT, _dcm("121013", "Device Observer Name"), DESCRIPTION),
        content.text(_CONTEXT, _dcm("121014", "Device Observer Manufacturer"), MANUFACTURER),
        content.text(_CONTEXT, _dcm("121015", "Device Observer Model Name"), MODEL_NAME),
        content.text(_CONTEXT, _dcm("121016", "Device Observer Serial Number"), model.bundle_id),
        content.coded(_MODIFIER, _dcm("121058", "Procedure reported"), _PROCEDURE),
        content.container(_CONTAINS, _dcm("126010", "Imaging Measurements"), groups),
    ]
    return content.container(None, _dcm("126000", "Imaging Measurement Report"), items, "1500")


def _groups(model: Model, image: AnsweredImage, codes: CodeTable) -> Iterator[Dataset]:
    """Yield the measurement groups (TID 1501) of one image."""
    if image.prediction is None:
        refusal = image.refusal or Refusal("no-prediction", "The image has no prediction")
        yield _group(model, image, f"no prediction: {refusal.code}", _reasons(refusal), [])
        return
    for evaluation in model.evaluate(image.prediction):
        state = content.coded(_CONTAINS, codes.of(evaluation.label), _STATES[evaluation.state])
        value = f"{evaluation.probability:.6f}"
        probability = content.number(_CONTAINS, _dcm("122157", "Probability"), value, _NO_UNITS)
        rules = _rules(model, evaluation)
        yield _group(model, image, evaluation.label, [state, probability], rules)


def _group(
    model: Model,
    image: AnsweredImage,
    name: str,
    answer: Sequence[Dataset],
    rules: Sequence[str],
) -> Dataset:
    """Return a group: what the model says on an image, and what says so."""
    uid = derived_uid(image.header.sop_uid, model.bundle_id, name, "tracking")
    parameters = (f"bundle {model.bundle_id}", *rules)
    items = [
        content.text(_CONTEXT, _dcm("112039", "Tracking Identifier"), code_text(name)),
        content.uid(_CONTEXT, _dcm("112040", "Tracking Unique Identifier"), uid),
        *answer,
        content.image(
            _CONTAINS,
            _dcm("121112", "Source of Measurement"),
            image.header.sop_class,
            image.header.sop_uid,
        ),
        content.text(_MODIFIER, _dcm("111001", "Algorithm Name"), f"plainfilm, model {model.name}"),
        content.text(_MODIFIER, _dcm("111003", "Algorithm Version"), model.version),
        *(
            content.text(_MODIFIER, _dcm("111002", "Algorithm Parameters"), parameter)
            for parameter in parameters
        ),
        content.coded(
            _MODIFIER,
            _dcm("111000", "Algorithm Family"),
            _dcm("123110", "Artificial Intelligence"),
        ),
    ]
    return content.container(_CONTAINS, _dcm("125007", "Measurement Group"), items, "1501")


def _reasons(refusal: Refusal) -> list[Dataset]:
    reason = Code(refusal.code, PRIVATE_SCHEME, code_text(refusal.meaning))
    return [
        content.coded(_CONTAINS, _dcm("111050", "Quality Assessment"), _UNUSABLE),
        content.coded(_CONTAINS, _dcm("111052", "Quality Finding"), reason),
    ]


def _rules(model: Model, evaluation: Evaluation) -> list[str]:
    """Return in words how the probability decides."""
    point, limits = evaluation.point, model.indeterminate.get(evaluation.label)
    if model.task.kind == "multiclass":
        rules = ["the class with the highest probability is present"]
    elif point is None:
        rules = ["no operating point, therefore undetermined"]
    else:
        rules = [f"operating point {point.name}: present from probability {point.threshold:.6f}"]
    if limits is not None:
        rules.append(f"undetermined from probability {limits.low:.6f} to below {limits.high:.6f}")
    return rules
