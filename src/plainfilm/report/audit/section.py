"""The section of an evaluation report on the audit of the training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm.audit import AuditDocument, Baseline
from plainfilm.data import Manifest
from plainfilm.errors import RunError
from plainfilm.records import Finding
from plainfilm.report.audit.baselines import forest
from plainfilm.report.audit.cards import finding_card
from plainfilm.report.audit.pictures import Thumbnails
from plainfilm.report.html.markup import Html, element, join, lead, quiet
from plainfilm.report.wording import sentence

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContent:
    """The audit of the data that a model was trained on."""

    findings: tuple[Finding, ...] = ()  # the most severe first
    baselines: tuple[Baseline, ...] = ()
    quick: bool = False  # no image was decoded
    thumbnails: Thumbnails | None = None
    problem: str = ""  # why audit.json cannot be shown; empty if it can

    def beyond(self, known: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return the serious findings that are not known already."""
        seen = {(finding.check, finding.problem) for finding in known}
        return tuple(
            finding
            for finding in self.findings
            if finding.severity == "serious" and (finding.check, finding.problem) not in seen
        )


def read_audit(path: Path, manifest: Manifest) -> AuditContent | None:
    """Read ``audit.json`` of a run, if there is one; the manifest has the paths of the files."""
    if not path.is_file():
        return None
    try:
        audit = AuditDocument.read(path)
    except RunError as error:
        problem = f"audit.json cannot be shown ({error.problem}); repeat it: plainfilm audit DATA"
        return AuditContent(problem=problem)
    return AuditContent(
        findings=audit.findings,
        baselines=audit.baselines,
        quick=audit.quick,
        thumbnails=Thumbnails(manifest, audit.findings),
    )


def audit_section(audit: AuditContent) -> Html:
    """Return the serious findings and warnings, and the performance of the baseline models."""
    if audit.problem:
        return lead(sentence(audit.problem))
    parts = []
    if findings := [finding for finding in audit.findings if finding.severity != "note"]:
        cards = [finding_card(finding, audit.thumbnails) for finding in findings[:_SHOWN]]
        parts.append(element("div", *cards, class_="briefs"))
    else:
        text = "The audit before training reported no serious finding and no warning."
        parts.append(lead(text))
    if len(findings) > _SHOWN:
        text = f"{len(findings) - _SHOWN} more findings are in audit.json of the run."
        parts.append(quiet(text))
    if baselines := [baseline for baseline in audit.baselines if baseline.kind == "shortcut"]:
        text = (
            "Small models predict the label from features that show little or no disease, on all "
            "images of the data set. Only a higher AUROC shows that a model uses more than these "
            "features."
        )
        parts += [
            element("h3", "Baseline models on shortcuts"),
            element("p", text),
            forest(baselines),
        ]
    if audit.quick:
        text = "This was a quick audit, which decodes no image. To check the images as well: "
        command = element("code", "plainfilm audit DATA")
        parts.append(quiet(text, command, "."))
    return join(parts)
