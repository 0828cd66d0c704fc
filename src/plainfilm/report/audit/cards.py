"""Cards that show the findings of an audit."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm._text import plural
from plainfilm.records import Finding
from plainfilm.report.audit.pictures import Thumbnails
from plainfilm.report.html.markup import Html, element, folded, join, quiet
from plainfilm.report.wording import count, sentence

_FIRST = 8  # links on the first screen; the others are folded


def finding_links(findings: Sequence[Finding]) -> Html:
    """Return a list of the serious findings and warnings with links to their cards."""
    items = [
        element(
            "li",
            element("b", finding.severity.capitalize(), class_=f"mark {finding.severity}"),
            " ",
            element("a", sentence(finding.problem), href=f"#finding-{index}"),
        )
        for index, finding in enumerate(findings)
        if finding.severity != "note"
    ]
    if not items:
        return Html("")
    parts = [element("ul", *items[:_FIRST], class_="caveats")]
    if rest := items[_FIRST:]:
        parts.append(folded(f"{len(rest)} more", element("ul", *rest, class_="caveats")))
    return join(parts)


def finding_card(finding: Finding, thumbnails: Thumbnails | None, index: int | None = None) -> Html:
    """Return a card; without an ``index``, a brief one without links and lists of files."""
    badge = element("span", finding.severity, class_=f"badge {finding.severity}")
    head = [badge, " ", element("code", finding.check)]
    problem = sentence(finding.problem)
    consequence, remedy = (
        sentence(text) if text else "" for text in (finding.consequence, finding.remedy)
    )
    class_ = f"finding {finding.severity}"
    if index is None:
        parts = [element("p", *head, class_="head"), element("p", element("b", problem))]
        if consequence or remedy:
            parts.append(quiet(f"{consequence} {remedy}".strip()))
        if thumbnails is not None:
            parts.append(thumbnails.tiles(finding, limit=4, groups=2, members=2))
        return element("article", *parts, class_=class_)
    if finding.count:
        head += [" ", element("span", f"{count(finding.count)} affected")]
    parts = [element("p", *head, class_="head"), element("h3", problem)]
    for title, text in (("Consequence: ", consequence), ("Remedy: ", remedy)):
        if text:
            parts.append(element("p", element("b", title), text))
    if thumbnails is not None:
        parts.append(thumbnails.tiles(finding))
    return element("article", *parts, _files(finding), class_=class_, id=f"finding-{index}")


def _files(finding: Finding) -> Html:
    if not finding.files:
        return Html("")
    shown = len(finding.files)
    summary = plural(shown, "file", separator="\u202f")
    if finding.count > shown and not finding.groups:
        summary = f"The first {count(shown)} of {count(finding.count)} files"
    names = [element("li", element("code", name)) for name in finding.files]
    return folded(summary, element("ol", *names, class_="files"))
