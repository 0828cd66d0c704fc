"""What a reader should distrust, written from the numbers themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from plainfilm.records import Severity
from plainfilm.report.content import (
    ReportContent,
    calibration_of,
    default_point,
    label_views,
    left_out_rows,
    value_of,
    worse_than_chance,
)
from plainfilm.report.sections.doubts import Caveat, doubts_beyond
from plainfilm.report.wording import count, describe, interval, number, points_wide

__all__ = ["Caveat", "write_caveats"]

WIDE = 10.0
"""Points of a hundred from which a 95% interval is called wide."""
FEW = 100
"""Images of a class below which its rate is called poorly known (Wilson: wider than 10 points)."""
GAP = 0.02
"""Fall of the AUROC from validation to test that is worth a sentence."""
MISCALIBRATED = 0.05
"""Mean distance of probability and observed share that is worth a sentence."""
TOLD = 3
"""Wide intervals that are told one by one."""
CLINIC = 0.05
"""Prevalence for which the positive predictive value is retold."""

_ORDER: dict[Severity, int] = {"serious": 0, "warning": 1, "note": 2}


def write_caveats(content: ReportContent) -> list[Caveat]:
    """Return every reason for doubt that the content gives, the gravest first."""
    found = [
        *_about_findings(content),
        *doubts_beyond(content),
        *_about_the_images(content),
        *_about_generalising(content),
        *_about_the_numbers(content),
        *_about_the_files(content),
        *_always(content),
    ]
    # With many labels one kind of doubt may recur: each kind has its turn before any comes again.
    turns: Counter[str] = Counter()
    ranked = []
    for caveat in found:
        ranked.append((_ORDER[caveat.severity], turns[caveat.title], caveat))
        turns[caveat.title] += 1
    return [caveat for _, _, caveat in sorted(ranked, key=lambda entry: entry[:2])]


def _about_findings(content: ReportContent) -> Iterator[Caveat]:
    for finding in content.findings:
        if finding.severity == "serious":
            why = f" {_sentence(finding.consequence)}" if finding.consequence else ""
            yield Caveat("serious", "The audit found", f"{_sentence(finding.problem)}{why}")
    beyond = content.audit.beyond(content.findings) if content.audit else ()
    for finding in beyond[:2]:
        what = f"{finding.problem[:1].upper()}{finding.problem[1:]}"
        yield Caveat("serious", "The audit found", _sentence(what))
    if more := len(beyond[2:]):
        findings = "finding" if more == 1 else "findings"
        text = f"{more} more serious {findings}, shown below under “What the data holds”."
        yield Caveat("serious", "The audit found", text)
    warnings = sum(finding.severity == "warning" for finding in content.findings)
    if warnings:
        are = "warning is" if warnings == 1 else f"{warnings} warnings are"
        yield Caveat(
            "note", "While listing", f"{'One' if warnings == 1 else 'Further'} {are} listed below."
        )


def _about_the_images(content: ReportContent) -> Iterator[Caveat]:
    evaluation = content.evaluation
    split = str((evaluation.get("dataset") or {}).get("split") or "")
    if split in ("train", "validation"):
        yield Caveat(
            "serious",
            "Not a test",
            f"These are {split} images: the model was fitted or chosen on them, so every "
            "number here flatters it.",
        )
    total, patients = value_of(evaluation, "n"), value_of(evaluation, "patients")
    for name, view in label_views(evaluation):
        yield from _about_sizes(name, view)
    if total is not None and patients is None:
        yield Caveat(
            "warning",
            "Patients unknown",
            "Nobody knows which images belong to one patient, so the intervals may be too narrow.",
        )
    elif total and patients and patients < total:
        yield Caveat(
            "note",
            "Several images a patient",
            f"{count(total)} images come from only {count(patients)} patients: they count for less "
            "than as many separate ones.",
        )


def _about_sizes(name: str, view: Mapping[str, Any]) -> Iterator[Caveat]:
    total, positive = value_of(view, "n"), value_of(view, "positives")
    if total is None or positive is None:
        point = default_point(view)
        cells = (point[1].get("confusion") or {}) if point else {}
        if not all(isinstance(cells.get(key), (int, float)) for key in ("tp", "fp", "tn", "fn")):
            return
        total, positive = float(sum(cells.values())), float(cells["tp"] + cells["fn"])
    negative = total - positive
    for size, words in ((positive, "are"), (negative, "are not")):
        if size == 0:
            text = f"There is no image that {'is' if words == 'are' else 'is not'} {name}."
            yield Caveat("serious", "One class only", text)
        elif size < FEW:
            yield Caveat(
                "serious" if size < 10 else "warning",
                "Few images",
                f"Only {count(size)} images {words} {name}; one more error would move the "
                f"{'sensitivity' if words == 'are' else 'specificity'} by "
                f"{100 / size:.1f} points.",
            )


def _about_generalising(content: ReportContent) -> Iterator[Caveat]:
    kept = [row for row in content.history if row.get("epoch") == content.best_epoch]
    metric = (content.evaluation.get("metrics") or {}).get("auroc")
    test, high = value_of(metric), value_of(metric, "high")
    validation = value_of(kept[0], "val_auroc") if kept else None
    if test is None or validation is None or validation - test <= GAP:
        return
    likely = (
        "outside its interval: these"
        if high is not None and validation > high
        else ("which may be chance, or these")
    )
    yield Caveat(
        "warning",
        "Worse than on validation",
        f"The AUROC was {number(validation)} on validation and is {number(test)} here, {likely} "
        "images differ from those that thresholds and temperature were chosen on.",
    )


def _about_the_numbers(content: ReportContent) -> Iterator[Caveat]:
    wide: list[str] = []
    for name, view in label_views(content.evaluation):
        point = default_point(view)
        metrics = {
            **(view.get("metrics") or {}),
            **((point[1].get("metrics") or {}) if point else {}),
        }
        yield from _about_chance(name, metrics.get("auroc"))
        for key in ("auroc", "sensitivity", "specificity"):
            width, kind = points_wide(metrics.get(key)), describe(key)
            if width is not None and width > WIDE:
                where = interval(metrics[key], kind.percent)
                may = "in" if wide else "may lie anywhere in"
                wide.append(f"the {_lower(kind.title)} of {name} {may} {where}")
            if key in metrics and value_of(metrics[key]) is None:
                reason = metrics[key].get("reason") or "not computed"
                text = f"The {_lower(kind.title)} of {name} is undefined: {reason}."
                yield Caveat("serious", "Undefined", text)
        if point:
            yield from _about_threshold(point[0], point[1])
            yield from _about_prevalence(name, metrics, value_of(view, "prevalence"))
        yield from _about_calibration(name, view, content.evaluation)
    if wide:
        # One doubt, however many numbers it is about.
        more = f"; {len(wide) - TOLD} more are in the tables" if len(wide) > TOLD else ""
        told = ", ".join(wide[:TOLD])
        text = f"{told[0].upper()}{told[1:]}{more}."
        yield Caveat("warning", "Wide interval" if len(wide) == 1 else "Wide intervals", text)


def _about_chance(name: str, auroc: Mapping[str, Any] | None) -> Iterator[Caveat]:
    if worse_than_chance(auroc):
        yield Caveat(
            "serious",
            "Worse than chance",
            f"The AUROC of {name} is {number(value_of(auroc) or 0.0)}, and its whole interval lies "
            "below 0.5: guessing would do better, and the opposite of each answer better still. "
            "Are the labels of these images swapped, or those of the training?",
        )


def _about_threshold(name: str, point: Mapping[str, Any]) -> Iterator[Caveat]:
    known = point.get("determination") or {}
    low, high = value_of(known, "low"), value_of(known, "high")
    note = str(known.get("note") or "")
    if note:
        yield Caveat("warning", "Threshold", f"On the threshold of “{name}”: {_sentence(note)}")
    elif low is not None and high is not None and high - low > 0.2:
        yield Caveat(
            "warning",
            "Loose threshold",
            f"The threshold of “{name}” is poorly determined: other validation images of the same "
            f"kind would have put it anywhere from {low:.2f} to {high:.2f}.",
        )


def _about_prevalence(
    name: str, metrics: Mapping[str, Any], prevalence: float | None
) -> Iterator[Caveat]:
    sensitivity, specificity = (
        value_of(metrics.get("sensitivity")),
        value_of(metrics.get("specificity")),
    )
    if prevalence is None or sensitivity is None or specificity is None or prevalence < 4 * CLINIC:
        return
    flagged = sensitivity * CLINIC + (1 - specificity) * (1 - CLINIC)
    if flagged > 0:
        yield Caveat(
            "note",
            "Prevalence",
            f"{prevalence:.0%} of these images are {name}. Where only {CLINIC:.0%} are, "
            f"{100 * sensitivity * CLINIC / flagged:.0f} of 100 flagged images would be right.",
        )


def _about_calibration(
    name: str, view: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> Iterator[Caveat]:
    error = calibration_of(view).get("calibration_error")
    distance = value_of(error)
    # The error of a perfect model is above 0 too, the more so the fewer images; where an interval
    # tells how far, it must speak as well.
    if distance is None:
        distance = _distance(view)
    elif (value_of(error, "low") or 0.0) < MISCALIBRATED / 2:
        return
    if distance is not None and distance > MISCALIBRATED:
        yield Caveat(
            "warning",
            "Probabilities are off",
            f"The probability of {name} misses the observed share by {100 * distance:.0f} "
            f"points on average: read it as a rank, not as a chance.{_assumed(name, evaluation)}",
        )


def _assumed(name: str, evaluation: Mapping[str, Any]) -> str:
    """Say which share of positives the probabilities take for granted, where that is known."""
    assumed = (evaluation.get("bundle") or {}).get("assumed_prevalence")
    kind = (evaluation.get("task") or {}).get("kind")
    if assumed == "training":
        return f" It takes for granted that {name} is as frequent as in the training images."
    if assumed != "balanced":
        return ""
    if kind == "multiclass":
        return " It takes for granted that all classes are equally frequent."
    return f" It takes for granted that half of the images are {name}."


def _distance(view: Mapping[str, Any]) -> float | None:
    """Return the mean distance of probability and observed share over the calibration bins."""
    bins = ((view.get("curves") or {}).get("calibration") or {}).get("bins") or ()
    gaps = [
        (abs(mean - seen), value_of(row, "count") or 0.0)
        for row in bins
        if (mean := value_of(row, "mean")) is not None
        and (seen := value_of(row, "observed")) is not None
    ]
    total = sum(size for _, size in gaps)
    return sum(gap * size for gap, size in gaps) / total if total else None


def _about_the_files(content: ReportContent) -> Iterator[Caveat]:
    left_out = len(left_out_rows(content))
    if left_out:
        yield Caveat(
            "warning" if left_out > 0.01 * (value_of(content.evaluation, "n") or 0) else "note",
            "Files left out",
            f"{count(left_out)} {'file is' if left_out == 1 else 'files are'} not in these "
            "numbers; the reasons are listed below.",
        )


def _always(content: ReportContent) -> Iterator[Caveat]:
    name = str((content.evaluation.get("dataset") or {}).get("name") or "one collection")
    rows = (content.external or {}).get("rows") or ()
    if content.seeds is not None or any(row["role"] == "external" for row in rows):
        return  # then somebody has looked at other places, or at other trainings
    yield Caveat(
        "note",
        "One place, one training",
        f"All images are from {name}, and the model was trained once. The intervals cover "
        "the choice of test images; not another hospital, machine, age group or training.",
    )


def _lower(title: str) -> str:
    """Write a title as it stands within a sentence; acronyms keep their capitals."""
    return title if title[1:2].isupper() else title.lower()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
