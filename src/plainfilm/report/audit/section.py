"""What an evaluation report says of the audit that went before the training."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.records import Finding
from plainfilm.report.audit.cards import sentence
from plainfilm.report.audit.content import AuditContent
from plainfilm.report.audit.forest import forest
from plainfilm.report.html.markup import Html, element, join

__all__ = ["audit_section"]

_PICTURES = 4
_SHOWN = 20


def audit_section(audit: AuditContent) -> Html:
    """Return the serious findings and the warnings, compactly, and how far each cheat gets."""
    if audit.problem:
        return element("p", sentence(audit.problem), class_="lead")
    grave = [finding for finding in audit.findings if finding.severity != "note"]
    cards = [_brief(finding, audit) for finding in grave[:_SHOWN]]
    parts = [element("div", *cards, class_="briefs")] if cards else []
    if len(grave) > _SHOWN:
        words = f"{len(grave) - _SHOWN} more are in audit.json of the run."
        parts.append(element("p", words, class_="quiet"))
    if not grave:
        words = "The audit before the training found nothing serious and no warning."
        parts.append(element("p", words, class_="lead"))
    parts += _cheats(audit)
    if audit.quick:
        command = element("code", "plainfilm audit DATA")
        told = "This was a quick audit, which opens no image; "
        parts.append(element("p", told, command, " looks at the pixels too.", class_="quiet"))
    return join(parts)


def _cheats(audit: AuditContent) -> Sequence[Html]:
    probes = [probe for probe in audit.probes if probe.get("about") == "shortcut"]
    if not probes:
        return []
    words = (
        "What small models tell that see nothing of the lungs, or next to nothing, on all images "
        "of the set. Only what this report's model scores above them can be more than that."
    )
    return [element("h3", "How far does a cheat get?"), element("p", words), forest(probes)]


def _brief(finding: Finding, audit: AuditContent) -> Html:
    head = element(
        "p",
        element("span", finding.severity, class_=f"badge {finding.severity}"),
        " ",
        element("code", finding.check),
        class_="head",
    )
    parts: list[str] = [head, element("p", element("b", sentence(finding.problem)))]
    told = " ".join(sentence(text) for text in (finding.consequence, finding.remedy) if text)
    if told:
        parts.append(element("p", told, class_="quiet"))
    if audit.thumbnails is not None:
        parts.append(audit.thumbnails.tiles(finding, most=_PICTURES, groups=2, members=2))
    return element("article", *parts, class_=f"finding {finding.severity}")
