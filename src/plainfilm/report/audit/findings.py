"""The findings of an audit: links, cards, and the section of an evaluation report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm._text import plural
from plainfilm.audit import AuditDocument, Baseline
from plainfilm.data import Manifest
from plainfilm.errors import RunError
from plainfilm.records import Finding
from plainfilm.report.audit.baselines import forest
from plainfilm.report.audit.pictures import Thumbnails
from plainfilm.report.html.markup import Html, element, folded, join, lead, quiet
from plainfilm.report.wording import count, sentence

_FIRST = 8  # links on the first screen; the others are folded
_SHOWN = 20


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
        thumbnails=Thumbnails(manifest, audit.findings, audit.marked),
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
