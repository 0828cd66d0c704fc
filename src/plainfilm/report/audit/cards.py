"""The findings of an audit, one card each."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.records import Finding
from plainfilm.report.audit.pictures import Thumbnails
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.wording import count

__all__ = ["finding_cards", "finding_links", "sentence"]

_FIRST = 8  # findings on the first screen; the others fold out


def finding_links(findings: Sequence[Finding]) -> Html:
    """Return the serious findings and the warnings as a list that leads to their cards."""
    items = [
        element(
            "li",
            element("b", finding.severity.capitalize(), class_=f"mark {finding.severity}"),
            " ",
            element("a", sentence(finding.problem), href=f"#finding-{place}"),
        )
        for place, finding in enumerate(findings)
        if finding.severity != "note"
    ]
    if not items:
        return Html("")
    first = element("ul", *items[:_FIRST], class_="doubts")
    if len(items) <= _FIRST:
        return first
    rest = element("ul", *items[_FIRST:], class_="doubts")
    more = element("summary", f"{len(items) - _FIRST} more")
    return join([first, element("details", more, rest)])


def finding_cards(findings: Sequence[Finding], thumbnails: Thumbnails) -> Html:
    """Return every finding with its pictures, in the order given."""
    return join([_card(finding, place, thumbnails) for place, finding in enumerate(findings)])


def _card(finding: Finding, place: int, thumbnails: Thumbnails) -> Html:
    head = element(
        "p",
        element("span", finding.severity, class_=f"badge {finding.severity}"),
        " ",
        element("code", finding.check),
        " ",
        element("span", f"concerns {count(finding.count)}" if finding.count else ""),
        class_="head",
    )
    parts: list[str] = [head, element("h3", sentence(finding.problem))]
    if finding.consequence:
        parts.append(element("p", element("b", "Why it matters: "), sentence(finding.consequence)))
    if finding.remedy:
        parts.append(element("p", element("b", "What remedy: "), sentence(finding.remedy)))
    parts += [thumbnails.tiles(finding), _files(finding)]
    return element("article", *parts, class_=f"finding {finding.severity}", id=f"finding-{place}")


def _files(finding: Finding) -> Html:
    if not finding.files:
        return Html("")

    shown = len(finding.files)
    words = "1 file" if shown == 1 else f"{count(shown)} files"
    if finding.count > shown and not finding.groups:
        words = f"The first {count(shown)} of {count(finding.count)} files"
    names = [element("li", element("code", name)) for name in finding.files]
    return element("details", element("summary", words), element("ol", *names, class_="files"))


def sentence(text: str) -> str:
    """Return a finding's words as a sentence."""
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith((".", "!", "?")) else f"{text}."
