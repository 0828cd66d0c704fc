"""The section of an evaluation report on the audit of the training data."""

from __future__ import annotations

from plainfilm.report.audit.cards import finding_card
from plainfilm.report.audit.content import AuditContent
from plainfilm.report.audit.forest import forest
from plainfilm.report.audit.wording import sentence
from plainfilm.report.html.markup import Html, element, join

__all__ = ["audit_section"]

_SHOWN = 20


def audit_section(audit: AuditContent) -> Html:
    """Return the serious findings and warnings, and the performance of the baseline models."""
    if audit.problem:
        return element("p", sentence(audit.problem), class_="lead")
    parts = []
    if findings := [finding for finding in audit.findings if finding.severity != "note"]:
        cards = [finding_card(finding, audit.thumbnails) for finding in findings[:_SHOWN]]
        parts.append(element("div", *cards, class_="briefs"))
    else:
        text = "The audit before training reported no serious finding and no warning."
        parts.append(element("p", text, class_="lead"))
    if len(findings) > _SHOWN:
        text = f"{len(findings) - _SHOWN} more findings are in audit.json of the run."
        parts.append(element("p", text, class_="quiet"))
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
        parts.append(element("p", text, command, ".", class_="quiet"))
    return join(parts)
