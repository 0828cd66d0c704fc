"""Caveats: reasons for caution that follow from the results themselves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from plainfilm.evaluation.document import LabelResults
from plainfilm.evaluation.overlap import CHECK as OVERLAP
from plainfilm.evaluation.pretraining import CHECK as PRETRAINED
from plainfilm.evaluation.tables.scores import CALLS
from plainfilm.metrics import Interval
from plainfilm.records import Severity
from plainfilm.report.content import ReportContent, auroc_drop, is_locked
from plainfilm.report.sections.metric_caveats import Caveat, metric_caveats
from plainfilm.report.wording import (
    change_text,
    counted,
    describe,
    enumerate_texts,
    lower_title,
    metric_text,
    number,
    sentence,
)

__all__ = ["Caveat", "write_caveats"]

_FEW = 100  # images of a class below which its rate is poorly known (Wilson: wider than 10 points)
_GAP = 0.02  # difference of AUROC between validation and test that is mentioned
_REJECTED = 0.05  # share of rejected images that is mentioned; about 0.01 on validation
_MILD = 2  # steps of a disturbance up to which it is called mild

_MASKED = (
    " Masking alone does not show why: the model may use what surrounds the chest, or the mask "
    "itself, which occurs in no radiograph, may disturb it."
)

_ORDER: dict[Severity, int] = {"serious": 0, "warning": 1, "note": 2}


def write_caveats(content: ReportContent) -> list[Caveat]:
    """Return every caveat that the content gives, the most severe first."""
    found = [
        *_synthetic(content),
        *_predictions_only(content),
        *_imported(content),
        *_pretrained(content),
        *_given_thresholds(content),
        *_overlap(content),
        *_findings(content),
        *_external(content),
        *(
            Caveat("warning", "AUROC mixes strata", sentence(one))
            for one in content.evaluation.mixing
        ),
        *_subgroups(content),
        *_disturbances(content),
        *_rejected(content),
        *_test_images(content),
        *_validation(content),
        *metric_caveats(content.evaluation),
        *_left_out(content),
        *_single_source(content),
    ]
    # Caveats with one title take turns, so that those of many labels do not hide others.
    turns: Counter[str] = Counter()
    ranked = []
    for caveat in found:
        ranked.append((_ORDER[caveat.severity], turns[caveat.title], caveat))
        turns[caveat.title] += 1
    return [caveat for _, _, caveat in sorted(ranked, key=lambda entry: entry[:2])]


def _synthetic(content: ReportContent) -> Iterator[Caveat]:
    evaluation = content.evaluation
    drawn, trained = evaluation.dataset.synthetic_images, evaluation.model.training
    parts = []
    if drawn:
        whole = drawn == evaluation.n
        parts.append("all these images" if whole else f"{drawn} of these {evaluation.n} images")
    if trained.synthetic_images:
        whole = trained.synthetic_images == trained.images
        size = f"{counted(trained.synthetic_images, 'training image')}"
        parts.append("all training images" if whole else size)
    if parts:
        text = f"plainfilm drew {enumerate_texts(parts)}. The results say nothing about patients."
        yield Caveat("serious", "Synthetic images", text)


def _predictions_only(content: ReportContent) -> Iterator[Caveat]:
    """Say what a table of predictions cannot show."""
    evaluation = content.evaluation
    if evaluation.model.kind != "predictions":
        return
    text = (
        "Only the predictions are known. Whether the model was trained on these images, and how it "
        "behaves on disturbed images, was not examined."
    )
    yield Caveat("warning", "Predictions without their model", text)
    if evaluation.model.scores != "probabilities":
        text = f"The table has {evaluation.model.scores}."
        if evaluation.model.scores == CALLS:
            text += " The AUROC of such scores is only the mean of sensitivity and specificity."
        yield Caveat("warning", "Scores are not probabilities", text)


def _imported(content: ReportContent) -> Iterator[Caveat]:
    """Say what is not known of an imported network."""
    if content.evaluation.model.imported_from is None:
        return
    text = (
        "The network comes from another library, and its training images are not known. If it was "
        "trained on images of these patients, the results are too optimistic."
    )
    yield Caveat("warning", "Imported model", text)


def _pretrained(content: ReportContent) -> Iterator[Caveat]:
    """Say that pretrained weights saw this data set, or that their images are not known."""
    for finding in content.evaluation.findings:
        if finding.check == PRETRAINED:
            text = f"{sentence(finding.problem)} {sentence(finding.consequence)}"
            yield Caveat("warning", "Weights that may have seen these images", text)
    model = content.evaluation.model
    for weights in filter(None, (model.pretrained, *model.inherited)):
        if weights.trained_on:
            continue
        imported = weights.role == "imported"
        text = sentence(
            f"{weights.beginning}, and it is not stated which images "
            f"{'it was' if imported else 'they were'} trained on"
        )
        text += " If these are among them, the results are too optimistic."
        yield Caveat("warning", "Imported teacher" if imported else "Pretrained weights", text)


def _given_thresholds(content: ReportContent) -> Iterator[Caveat]:
    """Say that thresholds were not locked on validation."""
    evaluation = content.evaluation
    if not is_locked(evaluation.model) and evaluation.thresholds:
        text = (
            "The thresholds were given, and no validation predictions show how they were chosen. "
            "If they were chosen on these images, the results are too optimistic."
        )
        yield Caveat("warning", "Thresholds not locked on validation", text)


def _overlap(content: ReportContent) -> Iterator[Caveat]:
    overlap = content.evaluation.overlap
    if overlap is None or not overlap.images:
        return
    kinds = [
        counted(overlap.identical, "identical file") if overlap.identical else "",
        counted(overlap.altered, "altered copy", "altered copies") if overlap.altered else "",
        f"{counted(overlap.same_patient, 'image')} of {counted(overlap.patients, 'patient')} of "
        "those images"
        if overlap.patients
        else "",
    ]
    start = (
        f"{overlap.images} of {counted(content.evaluation.n, 'image')} overlap with the images "
        f"that the model was trained or validated on: {enumerate_texts([*filter(None, kinds)])}."
    )
    rest = "No image is left without them."
    if area := overlap.metrics.get("auroc"):
        others = counted(overlap.others, "other image")
        rest = f"On the {others}, the AUROC is {metric_text('auroc', area)}."
    text = f"{start} This is no external validation. {rest}"
    yield Caveat("serious", "Trained on these images", text)


def _findings(content: ReportContent) -> Iterator[Caveat]:
    title = "Audit finding"
    for finding in content.findings:
        if finding.severity == "serious" and finding.check != OVERLAP:
            why = f" {sentence(finding.consequence)}" if finding.consequence else ""
            yield Caveat("serious", title, f"{sentence(finding.problem)}{why}")
    others = content.audit.beyond(content.findings) if content.audit else ()
    for finding in others[:2]:
        yield Caveat("serious", title, sentence(finding.problem))
    if more := len(others[2:]):
        text = f"{counted(more, 'more serious finding')} in the section “Data audit” of the report."
        yield Caveat("serious", title, text)
    if warnings := sum(finding.severity == "warning" for finding in content.findings):
        text = f"{counted(warnings, 'warning')} in the section “Data” of the report."
        yield Caveat("note", "Listing and splitting", text)


def _external(content: ReportContent) -> Iterator[Caveat]:
    for row in content.external.rows if content.external else ():
        if row.role == "external" and (change := auroc_drop(row)):
            yield Caveat(
                "serious",
                "External data performs worse",
                f"On “{row.name}” the AUROC is {metric_text('auroc', row.metrics.get('auroc'))}; "
                f"the difference from internal validation is {change_text(change)}. Good results "
                "on one data set need not hold on another.",
            )


def _subgroups(content: ReportContent) -> Iterator[Caveat]:
    found: list[tuple[float, str, Interval]] = []
    for label, columns in content.evaluation.subgroups.labels.items():
        for column in columns:
            for own in column.subgroups:
                for name, p in own.p_adjusted.items():
                    difference = own.difference.get(name)
                    if p < 0.05 and difference is not None and difference.value < 0:
                        where = f"Where {column.column} is “{own.value}”, the "
                        title = lower_title(describe(name).title)
                        value = metric_text(name, own.metrics.get(name))
                        found.append((p, f"{where}{title} of {label} is {value}", difference))
    if found:
        _, text, _ = min(found, key=lambda one: one[0])
        more = f" ({len(found) - 1} more in the report)" if len(found) > 1 else ""
        text += f", significantly lower than on the other images{more}."
        yield Caveat("warning", "Unequal performance in subgroups", text)


def _disturbances(content: ReportContent) -> Iterator[Caveat]:
    part = content.evaluation.robustness
    first = part.first_drop if part else None
    if part is None or first is None or first.step > _MILD:
        return
    kind = next(own for own in part.disturbances if own.name == first.name)
    outside = first.name in ("border", "corners")
    about = _MASKED if outside else ""
    yield Caveat(
        "warning",
        "Sensitive to mild disturbance",
        f"{kind.description} ({first.strength:g} {kind.unit}), a mild disturbance, lowers the "
        f"AUROC by {number(abs(first.auroc_change.value))}.{about}",
    )


def _rejected(content: ReportContent) -> Iterator[Caveat]:
    part, total = content.evaluation.rejection, content.evaluation.n
    if part is None:
        return
    if total and part.unlike_training > _REJECTED * total:
        yield Caveat(
            "warning",
            "Unlike the training images",
            f"The model rejects {counted(part.unlike_training, 'image')} of {total} as unlike its "
            "training images; of its own validation images it rejects about 1%.",
        )
    if others := part.other_reasons:
        reasons = ", ".join(f"{size} {reason}" for reason, size in others.items())
        yield Caveat(
            "warning",
            "Doubtful images",
            f"The model predicts no class for {counted(sum(others.values()), 'image')} "
            f"({reasons}); the results on all images include them.",
        )


def _test_images(content: ReportContent) -> Iterator[Caveat]:
    evaluation = content.evaluation
    split, total, patients = evaluation.dataset.split, evaluation.n, evaluation.patients
    if split in ("train", "validation"):
        use = "trained" if split == "train" else "selected and calibrated"
        text = f"The model was {use} on these {split} images, so every number here is optimistic."
        yield Caveat("serious", "Not a test set", text)
    for name, results in evaluation.labels.items():
        yield from _class_sizes(name, results)
    if total and patients < total:
        text = (
            f"{counted(total, 'image')} of only {counted(patients, 'patient')} carry less "
            "information than the same number of images of different patients."
        )
        yield Caveat("note", "Several images of one patient", text)


def _class_sizes(name: str, results: LabelResults) -> Iterator[Caveat]:
    for size, side, rate in (
        (results.positives, "positive", "sensitivity"),
        (results.n - results.positives, "negative", "specificity"),
    ):
        if size == 0:
            yield Caveat("serious", "One class only", f"No image is {side} for {name}.")
        elif size < _FEW:
            yield Caveat(
                "serious" if size < 10 else "warning",
                "Few images",
                f"Only {counted(size, 'image is', 'images are')} {side} for {name}; one more error "
                f"would change the {rate} by {100 / size:.1f} percentage points.",
            )


def _validation(content: ReportContent) -> Iterator[Caveat]:
    training, auroc = content.training, content.evaluation.main.get("auroc")
    history = training.history if training else ()
    kept = [row for row in history if training and row.get("epoch") == training.provenance.epoch]
    before = kept[0].get("val_auroc", math.nan) if kept else math.nan
    if auroc is None or not before - auroc.value > _GAP:
        return
    reason = "This may be chance, or these images may"
    if math.isfinite(auroc.high) and before > auroc.high:
        reason = "The validation value is outside the interval here: these images"
    text = (
        f"The AUROC was {number(before)} on the unchanged validation images in training and is "
        f"{number(auroc.value)} here. {reason} "
        "differ from those on which thresholds and temperature were chosen."
    )
    yield Caveat("warning", "Worse than on validation", text)


def _left_out(content: ReportContent) -> Iterator[Caveat]:
    size = len(content.evaluation.left_out)
    if size:
        yield Caveat(
            "warning" if size > 0.01 * content.evaluation.n else "note",
            "Files left out",
            f"{counted(size, 'file is', 'files are')} not included in these results; the section "
            "“Data” of the report lists the reasons.",
        )


def _single_source(content: ReportContent) -> Iterator[Caveat]:
    rows = content.external.rows if content.external else ()
    if content.seeds is not None or any(row.role == "external" for row in rows):
        return
    if content.evaluation.model.kind == "folds":
        yield Caveat(
            "note",
            "One source, a model for each fold",
            f"All images are from {content.evaluation.dataset.name}, each predicted by the model "
            "of its fold. The intervals take these models as given; they do not cover other "
            "hospitals, scanners, age groups or trainings.",
        )
        return
    known = content.evaluation.model.kind == "bundle"
    yield Caveat(
        "note",
        "One source, one training" if known else "One source",
        f"All images are from {content.evaluation.dataset.name}"
        f"{', and the model was trained once' if known else ''}. "
        "The intervals cover the sampling of test images only; they do not cover other hospitals, "
        "scanners, age groups or trainings.",
    )
