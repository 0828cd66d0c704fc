"""Reporting checklists: items that the run answers, with a link, and items for the authors."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import chain

from plainfilm._json import TOML, from_json
from plainfilm.evaluation.document import EvaluationDocument, LabelResults
from plainfilm.report.content import ReportContent, TrainingContent, default_point, is_locked
from plainfilm.report.html.markup import element, join, lead, quiet
from plainfilm.report.html.page import Folded, Part, Section
from plainfilm.report.html.table import Cell, Row, Table, TableName
from plainfilm.report.sections.summary import CAVEATS
from plainfilm.report.wording import count, counted, enumerate_texts, metric_text, number

CHECKLISTS: dict[str, TableName] = {
    "claim": "checklist_claim",
    "tripod_ai": "checklist_tripod_ai",
    "stard_ai": "checklist_stard_ai",
}
"""Files in ``checklists`` and names of their tables, in the order of the page."""
TITLE = "Reporting checklists"

_AUTHORS = "to be stated by the authors"
_RATES = ("sensitivity", "specificity")


@dataclass(frozen=True, slots=True)
class Item:
    """An item: its number, its topic, and the name of the evidence that a run can give, or None."""

    number: str
    topic: str
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Checklist:
    """A checklist: its name, its publication and its items."""

    name: str
    source: str
    items: tuple[Item, ...]


def read_checklist(name: str) -> Checklist:
    """Return a checklist of this package."""
    folder = resources.files("plainfilm.report.sections").joinpath("checklists")
    values = tomllib.loads(folder.joinpath(f"{name}.toml").read_text("utf-8"))
    return from_json(Checklist, values, name, TOML)


def checklist_section(content: ReportContent, places: Mapping[str, str]) -> Section:
    """Return every checklist as a table.

    ``places`` holds the ids of sections by title; evidence of a missing section is not shown.
    """
    evidence = {
        name: (text, title, places[title])
        for title, texts in collect_evidence(content).items()
        for name, text in texts.items()
        if title in places
    }
    words = (
        "Items that this run can answer are filled in, with a link to the section; the authors "
        "must state the others. Check each answer: it may not cover the item completely."
    )
    parts: list[Part] = [lead(words)]
    for name, table in CHECKLISTS.items():
        checklist = read_checklist(name)
        rows: list[Row] = []
        for item in checklist.items:
            text, title, place = evidence.get(item.evidence or "", ("", "", ""))
            link = element("a", title, href=f"#{place}")
            shown = (
                join([text, " (", link, ")"]) if text else element("span", _AUTHORS, class_="quiet")
            )
            answer = Cell(shown, {"answer": text, "section": title})
            rows.append({"Item": item.number, "Topic": item.topic, "Answer": answer})
        filled = sum(item.evidence in evidence for item in checklist.items)
        caption = f"{checklist.name}: {filled} of {len(rows)} items filled in"
        source = quiet(f"{checklist.source}. Topics are abridged.")
        parts.append(Folded(caption, [Table(table, caption, rows, dense=True), source]))
    return Section(TITLE, parts)


def collect_evidence(content: ReportContent) -> dict[str, dict[str, str]]:
    """Return the texts that the run gives, by title of a section and name of the evidence."""
    evaluation = content.evaluation
    first = next(iter(evaluation.labels.values()))
    found = {
        CAVEATS: {"limitations": "derived from the results themselves"},
        "Performance": {"blind": "the model receives the image only"}
        if evaluation.model.kind == "bundle"
        else {},
        "All metrics": _metrics(evaluation, first),
        "Provenance": _provenance(evaluation, first),
        "Data": _data(content, first),
    }
    area = evaluation.main.get("auroc")
    if area is not None and math.isfinite(area.value):
        text = f"{'macro ' if evaluation.macro else ''}AUROC {metric_text('auroc', area)}"
        found["Performance"] |= {"internal": text, "performance": text}
    if point := default_point(first):
        rates = [f"{own} {metric_text(own, point[1].metrics.get(own))}" for own in _RATES]
        found["Performance"]["rates"] = ", ".join(rates)
    found |= _analyses(content)
    if training := content.training:
        found["Provenance"] |= _training(training)
        if training.provenance.epoch is not None:
            found["Training"] = {"epoch": "by validation or the last epoch, as marked"}
    if content.worst is not None:
        texts = {"failures": "misclassified images with the largest errors"}
        texts |= {"heatmaps": "class activation maps"} if content.worst else {}
        found["Misclassified images"] = texts
    if content.audit:
        found["Data audit"] = {
            "audit": "duplicates, leaks, shortcuts, labels and image quality",
            "shift": "the audit tests whether the splits can be distinguished",
        }
    return found


def _metrics(evaluation: EvaluationDocument, first: LabelResults) -> dict[str, str]:
    found = {
        "missing": f"{counted(first.unknown, 'image')} of unknown label excluded from the results "
        "of that label",
        "metrics": "each metric with its meaning",
        "uncertainty": "95% confidence intervals, each with its method",
    }
    if point := default_point(first):
        found["thresholds"] = (
            f"{point[0]} threshold {number(point[1].threshold)}, given and not locked on validation"
            if not is_locked(evaluation.model)
            else f"calibrated probabilities; {point[0]} threshold {number(point[1].threshold)}, "
            "locked on validation before the test set was opened"
        )
    if size := first.sample_sizes.auroc:
        found["sample_size"] = (
            f"not planned; the half width of the 95% CI of the AUROC is "
            f"{number(size.half_width)}; sizes for narrower intervals are given"
        )
    return found


def _provenance(evaluation: EvaluationDocument, first: LabelResults) -> dict[str, str]:
    data, model = evaluation.dataset, evaluation.model
    found = {
        "data": f"{data.name}, {data.split}; content hash {data.hash[:12]}",
        "bundle": f"sealed bundle {model.id[:12]}: an ONNX graph with everything that a "
        "prediction requires",
    }
    if model.imported_from:
        found["bundle"] += f"; imported from {model.imported_from}"
    if model.kind == "predictions":
        found["bundle"] = f"only the predictions are known: {model.name}, SHA-256 {model.id[:12]}"
    if model.kind == "folds":
        found["bundle"] = f"{model.name}: {model.scores}, SHA-256 {model.id[:12]}"
    if model.temperature is not None:
        fitted = f"temperature {number(model.temperature)}, fitted on validation only"
        found["temperature"] = fitted
    if model.assumed_prevalence:
        here = f"; {first.prevalence:.1%} of these images are positive" if first.n else ""
        classes = {
            "balanced": "equally frequent classes",
            "adaptation": "the prevalence of the images that the model was adapted to",
        }.get(model.assumed_prevalence, f"the {model.assumed_prevalence} prevalence")
        found["balance"] = f"probabilities assume {classes}{here}"
    return found


def _training(training: TrainingContent) -> dict[str, str]:
    plan, recipe = training.plan, training.plan.identity.recipe
    versions = [f"{name} {version}" for name, version in plan.versions.items()]
    seed, size = plan.identity.seed, recipe.input.size
    members = plan.identity.members
    matched = "; histograms are matched" if recipe.input.histogram == "matched" else ""
    several = f"mean of the logits of {len(members)} trainings" if members else None
    teacher = f", distilled from the bundle {recipe.distil.teacher[:12]}" if recipe.distil else ""
    return {
        "kind": "deep learning on the image only",
        "preprocessing": f"the same for every file; size and geometry are stated{matched}",
        "identity": "patient keys are keyed hashes; see also your data source",
        "network": f"{recipe.network.name}, {count(training.provenance.parameters or 0)} "
        f"parameters, {size} x {size}, {recipe.input.geometry}",
        "software": ", ".join(versions[:4]),
        "seed": f"random, seed {seed}",
        "training": f"recipe {recipe.name}, "
        f"{counted(len(training.history) or recipe.fit.epochs, 'epoch')}, "
        f"augmentation {recipe.augment.name}, {plan.identity.precision} on {plan.identity.backend}"
        f"{teacher}",
        "ensemble": several or "none",
    }


def _data(content: ReportContent, first: LabelResults) -> dict[str, str]:
    evaluation, files = content.evaluation, content.files
    sizes = f"{counted(evaluation.n, 'image')} of {counted(evaluation.patients, 'patient')}"
    one = len(evaluation.labels) == 1
    found = {"sizes": f"{sizes}, {count(first.positives)} positive" if one else sizes}
    if files is None:
        return found
    left_out = sum(files.left_out.values()) + sum(files.unreadable.values())
    found["flow"] = "diagram"
    found["left_out"] = (
        f"{counted(left_out, 'file')} left out for technical reasons; state the clinical criteria"
    )
    if files.splits:
        splits = [f"{name} {count(own.images)}" for name, own in files.splits.items()]
        found["splits"] = ", ".join(splits)
        found["disjoint"] = "patient, as far as patients are known; intervals account for patients"
    return found


def _analyses(content: ReportContent) -> dict[str, dict[str, str]]:
    evaluation, found = content.evaluation, {}
    rows = content.external.rows if content.external else ()
    external = [f"{own.name} ({counted(own.n, 'image')})" for own in rows if own.role == "external"]
    if external:
        found["External validation"] = {"external": ", ".join(external)}
    subgroups = evaluation.subgroups
    if columns := list(dict.fromkeys(own.column for own in chain(*subgroups.labels.values()))):
        tests = counted(subgroups.tests, "test")
        text = f"results by {enumerate_texts(columns)}, adjusted for {tests}"
        found["Subgroups"] = {"subgroups": text}
    if robustness := evaluation.robustness:
        text = f"{len(robustness.disturbances)} kinds of disturbance at several strengths"
        found["Robustness"] = {"robustness": text}
    if rejection := evaluation.rejection:
        text = (
            f"{counted(rejection.rejected, 'image')} rejected, "
            f"{count(max(rejection.indeterminate.values(), default=0))} indeterminate; results "
            "with and without them"
        )
        found["Rejected images"] = {"rejection": text}
    return found
