"""Images that are refused, and the code of the reason."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pydicom")

from pydicom.dataset import Dataset

from pacs_files import CR, DX_FOR_PROCESSING, SECONDARY_CAPTURE, chest, odd_chests, to_bytes
from plainfilm.bundle.rejection import REJECTIONS
from plainfilm.inference.codes import IMAGE_CODES
from plainfilm.pacs.admission import REFUSALS, refusal, refuse, refuse_prediction
from plainfilm.pacs.header import read_header
from plainfilm.prediction import Prediction

LATERAL = Dataset()
LATERAL.CodeValue, LATERAL.CodingSchemeDesignator = "399067008", "SCT"
LATERAL.CodeMeaning = "lateral projection"


def code(data: bytes, *, secondary_capture: bool = False) -> str | None:
    found = refuse(read_header(data), secondary_capture)
    return None if found is None else found.code


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ordinary", None),
        ("computed radiography", None),
        ("few attributes", None),
        ("no view", None),
        ("no body part", None),
        ("invalid dates", None),
        ("lateral view", "not-frontal"),
        ("hand", "other-body-part"),
        ("for processing", "for-processing"),
        ("secondary capture", "other-class"),
        ("two frames", "several-frames"),
    ],
)
def test_only_single_frontal_chest_radiographs_for_presentation_are_admitted(
    name: str, expected: str | None
) -> None:
    assert code(odd_chests(name)[name]) == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ViewPosition": "AP"}, None),
        ({"ViewPosition": "SUPINE"}, None),
        ({"ViewPosition": "LAT"}, "not-frontal"),
        ({"ViewPosition": "RAO"}, "not-frontal"),
        ({"ViewPosition": "OBLIQUE"}, "not-frontal"),
        ({"ViewPosition": None, "ViewCodeSequence": [LATERAL]}, "not-frontal"),
        ({"ViewPosition": None, "PatientOrientation": ["A", "F"]}, "not-frontal"),
        ({"ViewPosition": None, "PatientOrientation": ["R", "FA"]}, None),
        ({"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, None),
        ({"BodyPartExamined": "THORAX"}, None),
        ({"BodyPartExamined": "STATION 3", "AnatomicRegionSequence": None}, None),
        ({"BodyPartExamined": "Left knee, 2 views"}, "other-body-part"),
        ({"Modality": "MG"}, "other-modality"),
        ({"SOPClassUID": CR, "Modality": "CT"}, "other-modality"),
        ({"Modality": ""}, None),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "other-class"),
        ({"SOPClassUID": DX_FOR_PROCESSING, "PresentationIntentType": None}, "for-processing"),
        ({"SOPClassUID": CR, "PresentationIntentType": "FOR PROCESSING"}, "for-processing"),
        ({"NumberOfFrames": 1}, None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, while it writes such values
def test_what_the_header_states_decides_and_unknown_words_do_not(
    attributes: dict[str, Any], expected: str | None
) -> None:
    assert code(to_bytes(chest(attributes=attributes))) == expected


@pytest.mark.parametrize("end", ["", ".1", ".2", ".3", ".4"])
def test_captured_images_are_admitted_on_request(end: str) -> None:
    data = to_bytes(chest(SOPClassUID=SECONDARY_CAPTURE + end, Modality="OT"))
    assert code(data) == "other-class" and code(data, secondary_capture=True) is None


def test_the_rejection_of_the_model_is_a_refusal() -> None:
    assert refuse_prediction(Prediction("", {"pneumonia": 0.5})) is None
    rejected = Prediction("", {"pneumonia": 0.5}, reason="blank", problem="", rejected=True)
    found = refuse_prediction(rejected)
    assert found is not None and found.code == "blank"


def test_every_reason_has_a_sentence_that_fits_the_meaning_of_a_code() -> None:
    assert {*REJECTIONS, *IMAGE_CODES} <= {*REFUSALS}
    assert all(0 < len(sentence) <= 64 for sentence in REFUSALS.values())
    assert refusal("unknown").code == "unreadable"
