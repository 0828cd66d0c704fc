"""Each caveat is written if its results call for it, and otherwise not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from locked_points import evidence
from plainfilm.cli.describe import describe_evaluation
from plainfilm.evaluation import EvaluationDocument
from plainfilm.evaluation.document import LabelResults
from plainfilm.evaluation.document.evaluation import LeftOutImage
from plainfilm.evaluation.document.label import PredictiveValueCurve
from plainfilm.metrics import PREVALENCES, Interval, predictive_values
from plainfilm.records import Finding, Task, ThresholdEvidence
from plainfilm.report.content import ReportContent
from plainfilm.report.sections.caveats import Caveat, write_caveats
from report_content import draw_training

MakeDocument = Callable[..., EvaluationDocument]
TASK = Task("binary", ("mass",), ("none", "mass"))
ALWAYS = "One source, one training"


def interval(value: float, half: float = 0.01, reason: str | None = None) -> Interval:
    return Interval(value, value - half, value + half, "Wilson", reason)


def curve_of(*rates: float) -> PredictiveValueCurve:
    """Return predictive values where sensitivity and specificity are equal: value and limits."""
    value, low, high = (predictive_values(rate, rate) for rate in rates)
    columns = (value.ppv, low.ppv, high.ppv, value.npv, low.npv, high.npv)
    return PredictiveValueCurve(PREVALENCES, *(tuple(one.tolist()) for one in columns), "drawn")


@pytest.fixture
def sound(make_document: MakeDocument) -> EvaluationDocument:
    """Return an evaluation that gives no caveat but the one that is always there."""
    document = make_document(TASK)
    (label,) = document.labels.values()
    rates = {"sensitivity": interval(0.9), "specificity": interval(0.9)}
    point = replace(
        label.operating_points["balanced"],
        metrics=rates,
        predictive_values=curve_of(0.9, 0.87, 0.93),
        validation=evidence(0.45, 0.55, ""),
    )
    metrics = {**label.metrics, **rates, "auroc": interval(0.95)}
    calibration = replace(label.curves.calibration, error=interval(0.01, 0.01))
    label = replace(
        label,
        n=4000,
        positives=400,
        prevalence=0.1,
        metrics=metrics,
        operating_points={"balanced": point},
        curves=replace(label.curves, calibration=calibration),
    )
    return replace(
        document,
        n=4000,
        patients=4000,
        metrics=metrics,
        labels={"mass": label},
        dataset=replace(document.dataset, name="here"),
    )


def change_label(document: EvaluationDocument, **changes: Any) -> EvaluationDocument:
    (label,) = document.labels.values()
    return replace(document, labels={"mass": replace(label, **changes)})


def change_metrics(document: EvaluationDocument, **metrics: Interval) -> EvaluationDocument:
    (label,) = document.labels.values()
    point = label.operating_points["balanced"]
    point = replace(point, metrics={**point.metrics, **metrics})
    changed = change_label(
        document, metrics={**label.metrics, **metrics}, operating_points={"balanced": point}
    )
    return replace(changed, metrics={**document.metrics, **metrics})


def change_range(document: EvaluationDocument, known: ThresholdEvidence) -> EvaluationDocument:
    point = document.labels["mass"].operating_points["balanced"]
    return change_label(document, operating_points={"balanced": replace(point, validation=known)})


def change_error(document: EvaluationDocument, error: Interval) -> EvaluationDocument:
    curves = document.labels["mass"].curves
    calibration = replace(curves.calibration, error=error)
    return change_label(document, curves=replace(curves, calibration=calibration))


def titles(content: ReportContent) -> list[str]:
    return [caveat.title for caveat in write_caveats(content)]


def only(document: EvaluationDocument, title: str) -> Caveat:
    """Return the one caveat with a title."""
    found = write_caveats(ReportContent(evaluation=document))
    (caveat,) = [caveat for caveat in found if caveat.title == title]
    return caveat


def test_a_sound_evaluation_has_the_caveat_that_is_always_there(sound: EvaluationDocument) -> None:
    assert titles(ReportContent(evaluation=sound)) == [ALWAYS]


CASES: Mapping[str, tuple[Callable[[EvaluationDocument], EvaluationDocument], str, str]] = {
    "validation": (
        lambda own: replace(own, dataset=replace(own.dataset, split="validation")),
        "Not a test set",
        "validation images",
    ),
    "patients": (
        lambda own: replace(own, patients=900),
        "Several images of one patient",
        "only 900 patients",
    ),
    "few": (
        lambda own: change_label(own, positives=32),
        "Few images",
        "Only 32 images are positive for mass; one more error would change the sensitivity by 3.1",
    ),
    "one image": (
        lambda own: change_label(own, n=401),
        "Few images",
        "Only 1 image is negative for mass",
    ),
    "one class": (
        lambda own: change_label(own, positives=0),
        "One class only",
        "No image is positive for mass.",
    ),
    "wide": (
        lambda own: change_metrics(own, auroc=Interval(0.95, 0.8, 0.96, "x")),
        "Wide interval",
        "The 95% confidence interval of the AUROC of mass (0.800–0.960) is wide.",
    ),
    "undefined": (
        lambda own: change_metrics(own, auroc=interval(float("nan"), reason="one class")),
        "Undefined",
        "The AUROC of mass is undefined: one class.",
    ),
    "loose": (
        lambda own: change_range(own, evidence(0.45, 0.7, "")),
        "Imprecise threshold",
        "from 0.45 to 0.70",
    ),
    "note": (
        lambda own: change_range(own, evidence(0.45, 0.55, "few cases")),
        "Threshold",
        "Few cases.",
    ),
    # 0.9 * 0.05 of 0.9 * 0.05 + 0.1 * 0.95
    "prevalence": (
        lambda own: change_label(own, prevalence=0.5),
        "Prevalence",
        "about 32 of 100 positive predictions would be correct (95% CI 26 to 41)",
    ),
    "calibration": (
        lambda own: change_error(own, Interval(0.12, 0.08, 0.16, "x")),
        "Miscalibrated probabilities",
        "by 12 percentage points",
    ),
    "left out": (
        lambda own: replace(own, left_out=(LeftOutImage("a", "empty", "w"),)),
        "Files left out",
        "1 file is not included",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_caveat_has_its_cause(sound: EvaluationDocument, name: str) -> None:
    change, title, words = CASES[name]
    caveats = write_caveats(ReportContent(evaluation=change(sound)))
    found = [caveat for caveat in caveats if caveat.title == title]
    assert len(caveats) == 2
    assert len(found) == 1
    assert words in found[0].text


SAME = "the same threshold as balanced: validation separates the classes too well to set another"


def add_points(document: EvaluationDocument, *rules: tuple[str, str, Any]) -> EvaluationDocument:
    """Add points, each with its name, rule and changes of the evidence."""
    points = dict(document.labels["mass"].operating_points)
    for name, rule, changes in rules:
        known = evidence(0.45, 0.55, **changes)
        points[name] = replace(points["balanced"], rule=rule, validation=known)
    return change_label(document, operating_points=points)


def test_points_that_equal_the_balanced_one_are_a_caveat(sound: EvaluationDocument) -> None:
    same = {"status": "not determined", "same_as_balanced": True, "target": 0.95}
    document = add_points(sound, ("rule-out", SAME, same), ("rule-in", SAME, same))
    assert only(document, "Operating points").text == f"“rule-out” and “rule-in”: {SAME}."


def test_a_target_out_of_reach_is_a_caveat(sound: EvaluationDocument) -> None:
    rule = "no threshold reaches a specificity of 0.95 on validation"
    document = add_points(sound, ("rule-in", rule, {"status": "not attainable", "target": 0.95}))
    assert only(document, "Operating points").text == f"“rule-in”: {rule}."


def test_distinct_points_are_no_caveat(sound: EvaluationDocument) -> None:
    document = add_points(sound, ("rule-out", "lowest", {"target": 0.95}))
    assert titles(ReportContent(evaluation=document)) == [ALWAYS]


@pytest.mark.parametrize(("high", "swapped"), [(0.49, True), (0.5, False), (0.53, False)])
def test_swapped_labels_are_suspected_only_of_a_whole_interval_below_chance(
    sound: EvaluationDocument, high: float, swapped: bool
) -> None:
    document = change_metrics(sound, auroc=Interval(0.41, 0.3, high, "x"))
    found = [caveat.title for caveat in write_caveats(ReportContent(evaluation=document))]
    assert ("Worse than chance" in found) is swapped
    assert ("swapped" in describe_evaluation(document)) is swapped


def test_a_calibration_error_within_its_noise_is_no_caveat(sound: EvaluationDocument) -> None:
    noisy = change_error(sound, Interval(0.06, 0.0, 0.1, "x"))
    assert titles(ReportContent(evaluation=noisy)) == [ALWAYS]


def test_a_lower_auroc_than_on_validation_is_a_caveat(sound: EvaluationDocument) -> None:
    history = [{"epoch": 1, "val_auroc": 0.8}, {"epoch": 2, "val_auroc": 0.99}]
    training = draw_training()
    kept = replace(training.provenance, epoch=2)
    training = replace(training, history=history, provenance=kept)
    caveats = write_caveats(ReportContent(evaluation=sound, training=training))
    assert caveats[0].title == "Worse than on validation"
    assert (
        "was 0.990 on the unchanged validation images in training and is 0.950 here"
        in caveats[0].text
    )
    assert "outside the interval" in caveats[0].text
    wide = change_metrics(sound, auroc=Interval(0.95, 0.94, 0.995, "x"))
    caveats = write_caveats(ReportContent(evaluation=wide, training=training))
    assert "may be chance" in caveats[0].text
    first = replace(training, provenance=replace(kept, epoch=1))
    assert titles(ReportContent(evaluation=sound, training=first)) == [ALWAYS]


def test_an_auroc_below_a_half_is_serious(sound: EvaluationDocument) -> None:
    bad = change_metrics(sound, auroc=Interval(0.3, 0.25, 0.35, "DeLong"))
    first = write_caveats(ReportContent(evaluation=bad))[0]
    assert (first.severity, first.title) == ("serious", "Worse than chance")
    assert "labels" in first.text
    maybe = change_metrics(sound, auroc=Interval(0.3, 0.25, 0.52, "DeLong"))
    assert "Worse than chance" not in titles(ReportContent(evaluation=maybe))


def test_wide_intervals_are_one_caveat(sound: EvaluationDocument) -> None:
    wide = Interval(0.5, 0.4, 0.6, "Wilson")
    three = change_metrics(sound, auroc=wide, sensitivity=wide, specificity=wide)
    assert only(three, "Wide intervals").text == (
        "The 95% confidence intervals of the AUROC of mass (0.400–0.600), the sensitivity of mass "
        "(40.0–60.0%) and the specificity of mass (40.0–60.0%) are wide."
    )
    label: LabelResults = replace(sound.labels["mass"], operating_points={})
    label = replace(label, metrics={"auroc": wide})
    names = tuple(f"l{i}" for i in range(5))
    several = replace(
        sound,
        labels=dict.fromkeys(names, label),
        task=Task("multilabel", names, names),
        metrics={"auroc": wide},
    )
    assert only(several, "Wide intervals").text.endswith(
        "and 2 other metrics (see the report) are wide."
    )


@pytest.mark.parametrize(
    ("kind", "assumed", "words"),
    [
        ("binary", "balanced", "that half of the images are positive for mass."),
        ("multiclass", "balanced", "that all classes are equally frequent."),
        ("multilabel", "training", "the prevalence of mass in the training images."),
        ("binary", None, "not as a probability."),
    ],
)
def test_miscalibration_names_the_assumed_prevalence(
    sound: EvaluationDocument, kind: Any, assumed: str | None, words: str
) -> None:
    document = replace(
        change_error(sound, Interval(0.12, 0.08, 0.16, "x")),
        model=replace(sound.model, assumed_prevalence=assumed),
        task=replace(TASK, kind=kind),
    )
    assert only(document, "Miscalibrated probabilities").text.endswith(words)


def test_the_most_severe_is_first_and_titles_take_turns(sound: EvaluationDocument) -> None:
    document = change_label(sound, positives=50)
    document = replace(document, dataset=replace(document.dataset, split="train"))
    findings = [
        Finding(check="a", severity="serious", problem="One leaks", count=1, consequence="Biased"),
        Finding(check="b", severity="serious", problem="Two leaks.", count=1),
        Finding(check="c", severity="warning", problem="w", count=1),
    ]
    caveats = write_caveats(ReportContent(evaluation=document, findings=findings))
    assert [caveat.title for caveat in caveats] == [
        "Audit finding",
        "Not a test set",
        "Audit finding",
        "Few images",
        "Listing and splitting",
        ALWAYS,
    ]
    assert caveats[0].text == "One leaks. Biased."
    assert caveats[2].text == "Two leaks."


def test_the_terminal_names_points_without_a_threshold_of_their_own(
    sound: EvaluationDocument,
) -> None:
    same = {"status": "not determined", "same_as_balanced": True, "target": 0.95}
    document = add_points(sound, ("rule-out", SAME, same), ("rule-in", SAME, same))
    document = replace(document, task=Task("binary", ("mass",), ("none", "mass")))
    lines = describe_evaluation(document).splitlines()
    assert f"rule-out, rule-in: {SAME}" in lines
    assert not any("0.95 on validation" in line for line in lines)
