"""The sections on the data and on provenance: file counts, splits, findings, facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import cast

from plainfilm.config import PROBE
from plainfilm.evaluation.document.evaluation import LeftOutImage
from plainfilm.records import Finding
from plainfilm.report.characteristics_table import characteristics_table
from plainfilm.report.content import ReportContent
from plainfilm.report.figures import flow_figure
from plainfilm.report.file_counts import describe_counts, split_rows
from plainfilm.report.html.markup import Html, element, folded, join, lead, quiet
from plainfilm.report.html.page import Part, Plot, Section
from plainfilm.report.html.table import Cell, Row, Table, TableName
from plainfilm.report.wording import count, counted, sentence

_ROWS = 200
_FILES = 20
_SEVERITIES = ("serious", "warning", "note")


def data_section(content: ReportContent) -> Section:
    """Return the flow of the files, the splits, the files left out and the findings."""
    parts: list[Part] = []
    if (files := content.files) is not None:
        words = "Flow of the images: files found, files left out and why, splits, images scored."
        parts.append(Plot("flow", flow_figure(files), words, describe_counts(files), wide=True))
    if content.characteristics:
        parts.append(characteristics_table(content.characteristics))
    elif content.training is not None and content.training.plan.dataset.splits:
        rows = split_rows(content.training.plan.dataset.splits)
        parts.append(Table("splits", "Images and patients in each split", rows, numeric=True))
    left_out = content.evaluation.left_out
    if left_out:
        parts += _left_out(left_out)
    else:
        parts.append(lead("No file was left out."))
    if content.findings:
        parts.append(_findings(content.findings))
    return Section("Data", parts)


def _left_out(files: Sequence[LeftOutImage]) -> list[Table]:
    reasons = Counter(own.reason for own in files).most_common()
    rows: list[Row] = [
        {
            "File": Cell(element("code", own.id), {"id": own.id}),
            "Reason": own.reason,
            "Problem": own.problem or None,
        }
        for own in files
    ]
    counts: list[Row] = [{"Reason": reason, "Files": size} for reason, size in reasons]
    return [
        Table("left_out_reasons", "Files left out, by reason", counts),
        Table("left_out", "Files left out", rows, limit=_ROWS),
    ]


def _findings(findings: Sequence[Finding]) -> Table:
    rows: list[Row] = [
        {
            "Check": own.check,
            "Severity": Cell(
                element("span", own.severity, class_=f"mark {own.severity}"),
                {"severity": own.severity},
            ),
            "Finding": Cell(
                _finding(own),
                {"problem": own.problem, "consequence": own.consequence, "remedy": own.remedy},
            ),
            "Files": own.count,
        }
        for own in sorted(findings, key=lambda own: _SEVERITIES.index(own.severity))
    ]
    return Table("findings", "Findings while listing and splitting the images", rows, limit=_ROWS)


def _finding(finding: Finding) -> Html:
    parts = [element("p", sentence(finding.problem))]
    notes = (finding.consequence, finding.remedy)
    parts += [quiet(sentence(text)) for text in notes if text]
    files, shown = finding.files, min(_FILES, len(finding.files))
    if files:
        more = f" and {count(len(files) - shown)} more" if len(files) > shown else ""
        names = join((element("code", name) for name in files[:shown]), ", ")
        words = f"Show {counted(shown, 'file')}{f' of {count(len(files))}' if more else ''}"
        parts.append(folded(words, element("p", names, more)))
    return join(parts)


def provenance_section(content: ReportContent) -> Section:
    """Return the facts of the evaluation and of the training."""
    evaluation, training = content.evaluation, content.training
    facts: dict[str, object] = {
        "created": evaluation.created,
        "model": asdict(evaluation.model),
        "data set": asdict(evaluation.dataset),
        "task": asdict(evaluation.task),
    }
    parts = [_facts("evaluation", "Evaluation", facts)]
    if training is not None:
        identity = asdict(training.plan.identity)
        if training.plan.identity.recipe.network.name == PROBE:
            del identity["recipe"]["network"]["weights"]  # those of the encoder are listed below
        facts = {
            **identity,
            "parameters": training.provenance.parameters,
            "epochs": len(training.history) or training.plan.identity.recipe.fit.epochs,
            "epoch kept": training.provenance.epoch,
            "training seconds": training.provenance.training_seconds,
            "machine": asdict(training.plan.machine),
            "versions": training.plan.versions,
        }
        parts.append(_facts("training", "Training", facts))
    return Section("Provenance", parts)


def _facts(name: TableName, caption: str, facts: Mapping[str, object]) -> Table:
    flat = _flatten(facts).items()
    rows: list[Row] = [
        {"Property": key.replace("_", " "), "Value": _fact(value)} for key, value in flat
    ]
    return Table(name, caption, rows, dense=True)


def _flatten(facts: Mapping[str, object], above: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in facts.items():
        name = f"{above} · {key}" if above else str(key)
        if isinstance(value, Mapping):
            flat |= _flatten(cast("Mapping[str, object]", value), name)
        elif isinstance(value, list | tuple):
            flat |= {name: ", ".join(map(str, value))} if value else {}
        elif value is not None:
            flat[name] = value
    return flat


def _fact(value: object) -> Cell:
    if isinstance(value, bool):
        return Cell("yes" if value else "no", {"value": str(value).lower()})
    if isinstance(value, int):
        # Only large numbers have separators: smaller ones may be seeds or years.
        return Cell(count(value) if abs(value) >= 10_000 else str(value), {"value": value})
    if isinstance(value, float):
        return Cell(f"{value:g}", {"value": value})
    text = str(value)
    is_hash = len(text) >= 32 and " " not in text
    return Cell(element("code", text) if is_hash else text, {"value": text})
