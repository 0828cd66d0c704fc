"""Each reason for doubt is written when its numbers call for it, and not otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from plainfilm.records import Finding
from plainfilm.report.content import ReportContent
from plainfilm.report.sections.caveats import write_caveats


def sound() -> dict[str, Any]:
    """Return an evaluation that gives no cause for doubt but the one that always holds."""

    def metric(value: float) -> dict[str, Any]:
        return {"value": value, "low": value - 0.01, "high": value + 0.01, "method": "Wilson"}

    return {
        "schema": 1,
        "task": {"kind": "binary", "labels": ["mass"], "classes": ["none", "mass"]},
        "dataset": {"name": "here", "split": "test"},
        "n": 4000,
        "patients": 4000,
        "positives": 400,
        "prevalence": 0.1,
        "metrics": {"auroc": metric(0.95)},
        "operating_points": {
            "balanced": {
                "purpose": "balanced",
                "threshold": 0.5,
                "metrics": {"sensitivity": metric(0.9), "specificity": metric(0.9)},
                "determination": {"low": 0.45, "high": 0.55, "note": ""},
            }
        },
        "curves": {"calibration": {"bins": [{"mean": 0.1, "observed": 0.11, "count": 4000}]}},
    }


def titles(content: ReportContent) -> list[str]:
    return [caveat.title for caveat in write_caveats(content)]


def test_a_sound_evaluation_keeps_the_doubt_that_always_holds() -> None:
    assert titles(ReportContent(evaluation=sound())) == ["One place, one training"]


@pytest.mark.parametrize(
    ("path", "value", "title", "words"),
    [
        (("dataset", "split"), "validation", "Not a test", "validation images"),
        (("patients",), None, "Patients unknown", "one patient"),
        (("patients",), 900, "Several images a patient", "only 900 patients"),
        (("positives",), 31, "Few images", "Only 31 images are mass; one more error"),
        (("positives",), 0, "One class only", "There is no image that is mass"),
        (("metrics", "auroc", "low"), 0.8, "Wide interval", "The AUROC of mass may lie anywhere"),
        (("metrics", "auroc", "value"), None, "Undefined", "not computed"),
        (
            ("operating_points", "balanced", "determination", "high"),
            0.7,
            "Loose threshold",
            "from 0.45 to 0.70",
        ),
        (
            ("operating_points", "balanced", "determination", "note"),
            "few cases",
            "Threshold",
            "few cases.",
        ),
        # 0.9 * 0.05 of 0.9 * 0.05 + 0.1 * 0.95
        (("prevalence",), 0.5, "Prevalence", "32 of 100 flagged images"),
        (
            ("curves", "calibration", "bins"),
            [
                {"mean": 0.1, "observed": 0.3, "count": 1},
                {"mean": 0.9, "observed": 0.9, "count": 1},
                {"mean": 0.5, "observed": None, "count": 0},
            ],
            "Probabilities are off",
            "by 10 points",
        ),
        (
            ("curves", "calibration", "error"),
            {"value": 0.12, "low": 0.08, "high": 0.16},
            "Probabilities are off",
            "by 12 points",
        ),
        (("left_out",), [{"id": "a", "reason": "empty"}], "Files left out", "1 file is not"),
    ],
)
def test_each_doubt_has_its_cause(
    path: tuple[str, ...], value: Any, title: str, words: str
) -> None:
    evaluation = sound()
    place = evaluation
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    caveats = write_caveats(ReportContent(evaluation=evaluation))
    found = [caveat for caveat in caveats if caveat.title == title]
    assert len(caveats) == 2
    assert len(found) == 1
    assert words in found[0].text


def test_a_calibration_error_within_its_noise_is_no_doubt() -> None:
    evaluation = sound()
    evaluation["curves"]["calibration"]["error"] = {"value": 0.06, "low": 0.0, "high": 0.1}
    assert titles(ReportContent(evaluation=evaluation)) == ["One place, one training"]


def test_a_fall_from_validation_to_test_is_said() -> None:
    history = [{"epoch": 1, "val_auroc": 0.8}, {"epoch": 2, "val_auroc": 0.99}]
    caveats = write_caveats(ReportContent(evaluation=sound(), history=history, best_epoch=2))
    assert caveats[0].title == "Worse than on validation"
    assert "0.990 on validation and is 0.950 here, outside its interval" in caveats[0].text
    wide = sound()
    wide["metrics"]["auroc"]["high"] = 0.995
    caveats = write_caveats(ReportContent(evaluation=wide, history=history, best_epoch=2))
    assert "which may be chance" in caveats[0].text
    kept_first = ReportContent(evaluation=sound(), history=history, best_epoch=1)
    assert titles(kept_first) == ["One place, one training"]


def test_an_auroc_below_a_half_is_grave() -> None:
    evaluation = sound()
    evaluation["metrics"]["auroc"] = {"value": 0.3, "low": 0.25, "high": 0.35, "method": "DeLong"}
    first = write_caveats(ReportContent(evaluation=evaluation))[0]
    assert (first.severity, first.title) == ("serious", "Worse than chance")
    assert "labels" in first.text
    evaluation["metrics"]["auroc"]["high"] = 0.52  # this may be chance
    assert "Worse than chance" not in titles(ReportContent(evaluation=evaluation))


def test_wide_intervals_are_one_doubt() -> None:
    evaluation = sound()
    wide = {"value": 0.5, "low": 0.4, "high": 0.6, "method": "Wilson"}
    evaluation["metrics"]["auroc"] = wide
    evaluation["operating_points"]["balanced"]["metrics"] = {
        "sensitivity": wide,
        "specificity": wide,
    }
    found = [
        caveat
        for caveat in write_caveats(ReportContent(evaluation=evaluation))
        if caveat.title.startswith("Wide")
    ]
    assert [caveat.text for caveat in found] == [
        "The AUROC of mass may lie anywhere in 0.400–0.600, the sensitivity of mass in 40.0–60.0%, "
        "the specificity of mass in 40.0–60.0%."
    ]
    several = {**evaluation, "labels": {f"l{i}": {"metrics": {"auroc": wide}} for i in range(5)}}
    several |= {"task": {"kind": "multilabel", "labels": [f"l{i}" for i in range(5)]}}
    (text,) = (
        caveat.text
        for caveat in write_caveats(ReportContent(evaluation=several))
        if caveat.title == "Wide intervals"
    )
    assert text.endswith("2 more are in the tables.")


@pytest.mark.parametrize(
    ("kind", "assumed", "words"),
    [
        ("binary", "balanced", "that half of the images are mass"),
        ("multiclass", "balanced", "that all classes are equally frequent"),
        ("multilabel", "training", "that mass is as frequent as in the training images"),
        ("binary", None, "not as a chance."),
    ],
)
def test_miscalibration_says_what_is_taken_for_granted(
    kind: str, assumed: str | None, words: str
) -> None:
    evaluation = sound()
    evaluation["curves"]["calibration"]["error"] = {"value": 0.12, "low": 0.08, "high": 0.16}
    own = {key: evaluation[key] for key in ("n", "positives", "prevalence", "metrics", "curves")}
    evaluation |= {"bundle": {"assumed_prevalence": assumed}, "labels": {"mass": own}}
    evaluation["task"]["kind"] = kind
    (text,) = (
        caveat.text
        for caveat in write_caveats(ReportContent(evaluation=evaluation))
        if caveat.title == "Probabilities are off"
    )
    assert text.endswith(words if words.endswith(".") else f"{words}.")


def test_the_gravest_stands_first_and_each_kind_has_its_turn() -> None:
    evaluation = sound()
    evaluation["dataset"]["split"] = "train"
    evaluation["positives"] = 50
    findings = [
        Finding(
            check="a", severity="serious", problem="One leaks", count=1, consequence="It flatters"
        ),
        Finding(check="b", severity="serious", problem="Two leaks.", count=1),
        Finding(check="c", severity="warning", problem="w", count=1),
    ]
    caveats = write_caveats(ReportContent(evaluation=evaluation, findings=findings))
    assert [caveat.title for caveat in caveats] == [
        "The audit found",
        "Not a test",
        "The audit found",
        "Few images",
        "While listing",
        "One place, one training",
    ]
    assert caveats[0].text == "One leaks. It flatters."
    assert caveats[2].text == "Two leaks."
