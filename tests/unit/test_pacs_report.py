"""Structured reports: what they say, to whom they belong, and that they conform."""

from __future__ import annotations

import datetime
import logging
import os
import re
import shutil
import subprocess
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.sr.codedict import codes as public
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

pytest.importorskip("highdicom", reason="needs highdicom, of the extra [test]")

from highdicom.sr import CodedConcept, Comprehensive3DSR
from test_pacs_header import encode, image

from pacs_files import ODD, odd_chests
from plainfilm.bundle import IndeterminateRange, Provenance
from plainfilm.errors import BundleError, UsageError
from plainfilm.pacs.admission import REFUSALS, refusal
from plainfilm.pacs.caption import caption
from plainfilm.pacs.capture import make_capture
from plainfilm.pacs.codes import read_codes
from plainfilm.pacs.header import read_header
from plainfilm.pacs.report import make_report, make_reports
from plainfilm.pacs.result_trial import check_codes
from plainfilm.pacs.results import (
    AnsweredImage,
    Model,
    Refusal,
    Result,
    content_hash,
    describe_origin,
)
from plainfilm.prediction import Prediction
from plainfilm.records import OperatingPoint, Task

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)
BUNDLE = "b9db62a5" * 8
CODES = read_codes()
LABELS = ("Pleural_Thickening", "No Finding", "폐결절 " * 20)
SHA = "ab" * 32
SUMMARY = "Error - Dicom dataset contains invalid data values for Value Representations"
REFUSED = Refusal("not-frontal", "Not a frontal chest radiograph")


ORIGIN = "Trained on wards. It may fail on images of another site."


def point(label: str, threshold: float = 0.6123) -> OperatingPoint:
    return OperatingPoint("balanced", "balanced", label, threshold, "rule")


BINARY = Model(
    "pneumonia-v2",
    BUNDLE,
    "1.2.3",
    Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA")),
    {"PNEUMONIA": point("PNEUMONIA")},
    {"PNEUMONIA": IndeterminateRange(0.5, 0.7, "rule")},
    ORIGIN,
)
MANY = Model(
    "many",
    BUNDLE,
    "1.2.3",
    Task("multilabel", LABELS, LABELS),
    {label: point(label) for label in LABELS[:2]},
    {},
    ORIGIN,
)
CLASSES = Model(
    "classes", BUNDLE, "1.2.3", Task("multiclass", ("a", "b"), ("a", "b")), {}, {}, ORIGIN
)


def predicted(probability: float = 0.9026461, label: str = "PNEUMONIA", **more: Any) -> Prediction:
    return Prediction("", {"PNEUMONIA": probability}, {"balanced": label}, **more)


def answered(prediction: Prediction | None = None, **changes: Any) -> AnsweredImage:
    """Return an image with a prediction, or refused."""
    refusal = REFUSED if prediction is None else None
    return AnsweredImage(read_header(encode(image(**changes))), SHA, prediction, refusal)


def report(*images: AnsweredImage, model: Model = BINARY) -> Result:
    return make_report(model, images, CODES, NOW)


def parsed(result: Result) -> Any:
    return Comprehensive3DSR.from_dataset(dcmread(DicomBytesIO(result.data)))


def groups(result: Result) -> Any:
    return parsed(result).content.get_image_measurement_groups()


def evaluations(group: Any) -> Any:
    """Return the evaluations of a group; highdicom counts the algorithm family among them."""
    family = public.DCM.AlgorithmFamily
    return [one for one in group.get_qualitative_evaluations() if one.name != family]


def states(result: Result) -> list[tuple[str, str, float]]:
    """Return meaning, state and probability of each group."""
    return [
        (
            evaluations(group)[0].name.meaning,
            evaluations(group)[0].value.meaning,
            group.get_measurements()[0].value,
        )
        for group in groups(result)
    ]


def validator_errors(data: bytes, folder: Path) -> list[str]:
    """Return the errors of dciodvfy."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    path = folder / "report.dcm"
    path.write_bytes(data)
    done = subprocess.run(["dciodvfy", path], capture_output=True, timeout=60, check=False)
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "Comprehensive3DSR" in text
    errors = [line for line in text.splitlines() if line.startswith("Error")]
    found = [line for line in errors if not too_long(line)]
    return [] if len(found) < len(errors) and found == [SUMMARY] else found


def too_long(error: str) -> bool:
    """Return whether an error is on a length that the standard allows.

    PS3.5, 6.2 counts characters, and dciodvfy the bytes of UTF-8.
    """
    found = re.search("<(.*)> - Length invalid for this VR", error)
    return found is not None and len(found[1].encode()) > 64 and len(found[1]) <= 64


def dumped(data: bytes, folder: Path) -> str:
    """Return the text of dsrdump."""
    if shutil.which("dsrdump") is None:
        pytest.skip("dsrdump (Debian package dcmtk) is not installed")
    path = folder / "report.dcm"
    path.write_bytes(data)
    done = subprocess.run(["dsrdump", "+Pl", path], capture_output=True, timeout=60, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("prediction", "state"),
    [
        (predicted(), "Present"),
        (predicted(0.0312, "NORMAL"), "Absent"),
        (predicted(0.65, indeterminate=("PNEUMONIA",)), "Undetermined"),
    ],
)
def test_values_are_those_given(prediction: Prediction, state: str) -> None:
    result = report(answered(prediction))
    (group,) = groups(result)
    (evaluation,) = evaluations(group)
    assert evaluation.name == CodedConcept("233604007", "SCT", "Pneumonia")
    assert evaluation.value.meaning == state
    (probability,) = group.get_measurements()
    assert probability.name == public.DCM.Probability
    assert probability.value == round(prediction.probabilities["PNEUMONIA"], 6)
    assert group.source_images[0].referenced_sop_instance_uid == "1.2.3.4.5.6"
    assert group.tracking_identifier == "PNEUMONIA"


def test_the_document_belongs_to_the_study_and_names_the_bundle() -> None:
    changes = {"AccessionNumber": "A7", "StudyID": "S1", "IssuerOfPatientID": "H"}
    result = report(answered(predicted(), **changes))
    found = parsed(result)
    assert (found.PatientID, found.PatientName) == ("P1", "Doe^Jane")
    assert (found.StudyInstanceUID, found.StudyID, found.AccessionNumber) == ("1.2.3.4", "S1", "A7")
    assert found.IssuerOfPatientID == "H"
    assert (found.SeriesNumber, found.Modality) == (9001, "SR")
    assert found.SeriesInstanceUID != "1.2.3.4.5"
    assert (found.PreliminaryFlag, found.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    assert (found.ContentDate, found.ContentTime) == (NOW.strftime("%Y%m%d"), "030405.000000")
    assert (found.Manufacturer, found.ManufacturerModelName) == ("plainfilm", "plainfilm")
    assert (found.DeviceSerialNumber, found.SoftwareVersions) == (BUNDLE, "1.2.3")
    (study,) = found.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.4.5"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.5.6"
    assert (result.uid, result.kind) == (found.SOPInstanceUID, "report")
    assert result.sop_class == found.SOPClassUID
    assert read_header(result.data).is_own_result


def test_the_text_names_finding_probability_and_rule(tmp_path: Path) -> None:
    text = dumped(report(answered(predicted())).data, tmp_path)
    for words in (
        '"Pneumonia")=(52101004,SCT,"Present")',
        '"Probability")="0.902646"',
        "plainfilm: research only, not for diagnosis",
        "plainfilm, model pneumonia-v2",
        f"bundle {BUNDLE}",
        "operating point balanced: present from probability 0.612300",
        "undetermined from probability 0.500000 to below 0.700000",
        "Trained on wards. It may fail on images of another site.",
        "Artificial Intelligence",
        "PRELIMINARY",
        "UNVERIFIED",
    ):
        assert words in text, text


@pytest.mark.parametrize(
    ("origin", "sentence"),
    [
        (Provenance(), "Trained on images that are not stated. It may fail"),
        (Provenance(dataset="w" * 50), f"Trained on {'w' * 37}.... It may fail"),
        (Provenance(dataset="drawn", synthetic_images=9), "Trained on drawn images: the result"),
    ],
)
def test_the_origin_of_a_model_is_in_words(origin: Provenance, sentence: str) -> None:
    assert describe_origin(origin).startswith(sentence)


def test_a_refusal_has_a_reason_and_no_probability(tmp_path: Path) -> None:
    result = report(answered())
    (group,) = groups(result)
    assert group.get_measurements() == []
    quality, reason = evaluations(group)
    assert quality.value == public.DCM.UnusableQualityRendersImageUnusable
    assert reason.value == CodedConcept("not-frontal", "99PLAINFILM", REFUSED.meaning)
    text = dumped(result.data, tmp_path)
    assert REFUSED.meaning in text
    assert not any(word in text for word in ("Present", "Absent", "Probability"))


def test_each_label_has_a_group() -> None:
    prediction = Prediction(
        "",
        dict(zip(LABELS, (0.7, 0.2, 0.999999999), strict=True)),
        {f"{LABELS[0]}/balanced": "positive", f"{LABELS[1]}/balanced": "negative"},
    )
    found = report(answered(prediction), model=MANY)
    long = CODES.of(LABELS[2]).meaning
    assert len(long.encode()) <= 64
    assert states(found) == [
        ("Thickening of pleura", "Present", 0.7),
        ("No Finding", "Absent", 0.2),
        (long, "Undetermined", 1.0),
    ]
    assert groups(found)[2].tracking_identifier == LABELS[2].strip()
    (scheme,) = parsed(found).CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99PLAINFILM"


def test_the_predicted_class_is_present_and_the_others_absent() -> None:
    prediction = Prediction("", {"a": 0.3, "b": 0.7}, {"most-likely": "b"})
    found = report(answered(prediction), model=CLASSES)
    assert states(found) == [("a", "Absent", 0.3), ("b", "Present", 0.7)]


def test_images_of_one_study_share_a_report(tmp_path: Path) -> None:
    images = [
        answered(predicted()),
        answered(predicted(0.1, "NORMAL"), SOPInstanceUID="1.2.9", SeriesInstanceUID="1.2.8"),
        answered(SOPInstanceUID="1.2.10"),
    ]
    result = report(*images)
    found = [group.source_images[0].referenced_sop_instance_uid for group in groups(result)]
    assert found == ["1.2.3.4.5.6", "1.2.9", "1.2.10"]
    assert validator_errors(result.data, tmp_path) == []
    assert report(*reversed(images)).uid == result.uid
    other = AnsweredImage(images[0].header, "cd" * 32, images[0].prediction)
    assert report(other, *images[1:]).uid != result.uid


def test_the_encoding_of_an_image_does_not_matter_and_what_results_show_does() -> None:
    def made(answer: Prediction, grey: int = 0, syntax: str = "", **changes: Any) -> str:
        data = encode(image(**changes), syntax or ExplicitVRLittleEndian)
        picture = np.full((8, 8), grey, np.uint8)
        return content_hash(AnsweredImage(read_header(data), "", answer, picture=picture))

    same = made(predicted())
    assert same == made(predicted(), syntax=ImplicitVRLittleEndian, StudyDescription="new")
    others = [made(predicted(0.8)), made(predicted(), 1), made(predicted(), PatientName="B^B")]
    refused = content_hash(answered())
    assert len({same, *others, refused}) == 5


def test_the_same_answer_has_the_same_bytes() -> None:
    assert report(answered(predicted())).data == report(answered(predicted())).data


def test_a_capture_does_not_change_the_report() -> None:
    image = replace(answered(predicted()), picture=np.zeros((8, 8), np.uint8))
    before = report(image).data
    assert make_capture(BINARY, image).uid != image.header.sop_uid
    assert report(image).data == before


def test_images_of_two_studies_are_an_error() -> None:
    with pytest.raises(UsageError, match="one study"):
        report(answered(predicted()), answered(predicted(), StudyInstanceUID="1.9"))
    with pytest.raises(UsageError, match="one study"):
        report(answered(predicted()), answered(predicted(), PatientID="P2"))
    with pytest.raises(UsageError, match="one study"):
        report()


def test_patients_and_many_images_have_reports_of_their_own() -> None:
    images = [answered(predicted(), SOPInstanceUID=f"1.2.{n}") for n in range(17)]
    images.insert(3, answered(predicted(), SOPInstanceUID="1.2.99", PatientID="P2"))
    found = make_reports(BINARY, images, CODES, NOW)
    assert [len(groups(one)) for one in found] == [16, 1, 1]
    assert [parsed(one).PatientID for one in found] == ["P1", "P1", "P2"]
    assert len({one.uid for one in found}) == 3
    first, second, other = (parsed(one).SeriesInstanceUID for one in found)
    assert first == second != other


@pytest.mark.parametrize("number", ["", "P1", "P" * 65])
def test_patients_with_one_id_in_one_study_share_no_report_and_no_series(number: str) -> None:
    images = [
        answered(predicted(), PatientID=number, PatientName=name, SOPInstanceUID=f"1.2.{n}")
        for n, name in enumerate(("A^A", "B^B"))
    ]
    found = make_reports(BINARY, images, CODES, NOW)
    assert [str(parsed(one).PatientName) for one in found] == ["A^A", "B^B"]
    assert len({parsed(one).InstanceNumber for one in found}) == 2
    pictured = [replace(one, picture=np.zeros((8, 8), np.uint8)) for one in images]
    series = {
        dcmread(DicomBytesIO(make_capture(BINARY, one).data)).SeriesInstanceUID for one in pictured
    }
    assert len(series) == 2


def test_numbers_show_on_which_side_of_the_limits_a_probability_is(tmp_path: Path) -> None:
    near = replace(BINARY, points={"PNEUMONIA": point("PNEUMONIA", 0.5)}, indeterminate={})
    below = Prediction("", {"PNEUMONIA": 0.49999997}, {"balanced": "NORMAL"})
    text = dumped(report(answered(below), model=near).data, tmp_path)
    assert '"Probability")="0.49999997"' in text and "from probability 0.50000000" in text
    words = caption(near, answered(below))[0].text
    assert words == "PNEUMONIA: absent, probability 0.49999997 (threshold 0.50000000, balanced)"
    rare = replace(near, points={"PNEUMONIA": point("PNEUMONIA", 0.0031)})
    found = Prediction("", {"PNEUMONIA": 0.004}, {"balanced": "PNEUMONIA"})
    words = caption(rare, answered(found))[0].text
    assert words == "PNEUMONIA: present, probability 0.004 (threshold 0.003, balanced)"


def test_labels_with_one_code_are_an_error() -> None:
    with pytest.raises(BundleError, match="two labels have one code"):
        check_codes(("Effusion", "Pleural_Effusion"), CODES)


@pytest.mark.parametrize(
    "prediction",
    [
        Prediction("", {"PNEUMONIA": 0.9}, {}, reason="unlike-training", rejected=True),
        Prediction("", {}, {}, reason="invalid-output"),
    ],
)
def test_a_rejected_prediction_is_never_reported(prediction: Prediction) -> None:
    (group,) = groups(report(answered(prediction)))
    assert group.get_measurements() == []
    assert evaluations(group)[1].value.value == "no-prediction"


def test_a_label_without_predicted_class_is_undetermined() -> None:
    prediction = Prediction("", {"PNEUMONIA": 0.9}, {"other": "PNEUMONIA"})
    assert states(report(answered(prediction))) == [("Pneumonia", "Undetermined", 0.9)]


def readable(data: bytes) -> AnsweredImage:
    return AnsweredImage(read_header(data), SHA, predicted())


@pytest.mark.parametrize("name", ODD)
def test_reports_on_odd_files_conform(name: str, tmp_path: Path) -> None:
    data = report(readable(odd_chests(name)[name])).data
    assert validator_errors(data, tmp_path) == []
    assert '"Pneumonia")=(52101004,SCT,"Present")' in dumped(data, tmp_path)


VALUES: dict[str, dict[str, Any]] = {
    "nothing": {"PatientID": None, "PatientName": None, "Modality": None, "Rows": None},
    "long": {"PatientID": "X" * 65, "AccessionNumber": "Y" * 17, "StudyID": "Z" * 17},
    "long in UTF-8": {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "å" * 200,
        "PatientID": "å" * 64,
    },
    "invalid": {"StudyDate": "19991332", "StudyTime": "25", "PatientSex": "X"},
    "old": {"StudyTime": "12:30:45", "StudyDate": "1999.12.31"},
    "components": {
        "PatientName": "a^b^c^d^e^f^g=h=i=j",
        "ReferringPhysicianName": "^^^^ =^ ",
    },
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_refusals_with_odd_values_conform(values: dict[str, Any], tmp_path: Path) -> None:
    assert validator_errors(report(answered(**values)).data, tmp_path) == []


def test_every_reason_conforms(tmp_path: Path) -> None:
    images = [
        AnsweredImage(
            read_header(encode(image(SOPInstanceUID=f"1.2.{n}"))), SHA, refusal=refusal(code)
        )
        for n, code in enumerate(REFUSALS)
    ]
    for first in range(0, len(images), 16):
        result = report(*images[first : first + 16])
        assert validator_errors(result.data, tmp_path) == []
        shown = [evaluations(group)[1].value.value for group in groups(result)]
        assert shown == [one.refusal.code for one in images[first : first + 16] if one.refusal]


def test_long_labels_and_codes_conform(tmp_path: Path) -> None:
    prediction = Prediction("", {LABELS[2]: 1e-7, LABELS[0]: 1.0}, {})
    assert validator_errors(report(answered(prediction), model=MANY).data, tmp_path) == []


@pytest.mark.real
def test_real_files_conform(tmp_path: Path) -> None:
    folder = Path(os.environ.get("PLAINFILM_DATA", "../shared/data")) / "dicom/chest"
    files = sorted(folder.glob("*.dcm"))
    if not files:
        pytest.skip("needs the chest files of PLAINFILM_DATA")
    for file in files:
        header, known = read_header(file.read_bytes()), dcmread(file, force=True)
        assert header.evidence.PatientName == str(known.get("PatientName", ""))
        assert (header.modality, header.body_part, header.view) == ("CR", "CHEST", "PA")
        for one in (
            AnsweredImage(header, SHA, predicted()),
            AnsweredImage(header, SHA, refusal=REFUSED),
        ):
            data = report(one).data
            assert validator_errors(data, tmp_path) == [], file.name
            assert "PRELIMINARY" in dumped(data, tmp_path)


COPIED = {
    "PatientID": "S-ident",
    "PatientName": "S-name",
    "AccessionNumber": "S-accession",
    "StudyID": "S-study",
    "ReferringPhysicianName": "S-referring",
    "IssuerOfPatientID": "S-issuer",
}
LEFT_OUT = {
    "InstitutionName": "S-institution",
    "StudyDescription": "S-description",
    "SeriesDescription": "S-series",
    "OtherPatientIDs": "S-other",
    "PatientAddress": "S-address",
    "PatientComments": "S-comments",
    "OperatorsName": "S-operator",
    "StationName": "S-station",
    "BodyPartExamined": "S-BODY",
    "ViewPosition": "S-VIEW",
    "Modality": "S-MODALITY",
    "DeviceSerialNumber": "S-serial",
}


def test_identity_is_only_where_it_belongs() -> None:
    result = report(answered(predicted(), **COPIED, **LEFT_OUT))
    found = dcmread(DicomBytesIO(result.data))
    places: dict[str, str] = {}

    def look(_: Dataset, element: Any) -> None:
        if "S-" in str(element.value) and element.VR != "SQ":
            places[element.keyword] = str(element.value)

    found.walk(look)
    assert places == COPIED
    assert result.data.count(b"S-") == len(COPIED)


def test_reports_are_silent_in_many_threads(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    image = answered(predicted(), PatientName="Doe")  # a form that highdicom warns of
    before, made = list(warnings.filters), []
    threads = [threading.Thread(target=lambda: made.append(report(image).data)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    assert warnings.filters == before
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
