"""An audit as plain lines, for a terminal and for a log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from plainfilm.audit.run import Audit
from plainfilm.records import Finding
from plainfilm.report.audit.wording import TITLES, judge, verdict
from plainfilm.report.content import value_of
from plainfilm.report.html.markup import visible
from plainfilm.report.wording import number

__all__ = ["audit_lines"]

_WIDTH = 100
_INDENT = " " * 9
_ROWS = 40


def audit_lines(audit: Audit, *, width: int = _WIDTH) -> list[str]:
    """Return an audit as lines of plain text.

    Parameters
    ----------
    audit
        What `plainfilm.audit` found.
    width
        Characters in a line; a word that is longer (a path) is not broken.

    Returns
    -------
    lines
        The verdict, each finding with what to do, then the shortcuts. No markup; characters that
        could command a terminal are spelled out.
    """
    probes = [one.to_json() for one in audit.probes if one.about == "shortcut"]
    _, told, words = verdict(
        audit.findings, images=audit.images, probes=len(probes), quick=audit.quick
    )
    name = visible(audit.manifest.name)
    lines = _wrapped(
        f"{name}: {audit.images:,} image{'' if audit.images == 1 else 's'}, {told}. {words}",
        width,
        "",
    )
    for finding in audit.findings:
        lines += ["", *_finding(finding, width)]
    return [*lines, "", *_shortcuts(probes)]


def _finding(finding: Finding, width: int) -> Iterator[str]:
    head = f"{finding.severity:<7}  {finding.check}  {finding.problem}"
    yield from _wrapped(head, width, _INDENT)
    if finding.remedy:
        yield from _wrapped(f"{_INDENT}remedy: {finding.remedy}", width, _INDENT + " " * 7)


def _wrapped(text: str, width: int, later: str) -> list[str]:
    # Alignment within the first line survives: only its start holds several spaces.
    return textwrap.wrap(
        visible(text).replace("\n", " "),
        width,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _shortcuts(probes: Sequence[dict[str, Any]]) -> list[str]:
    if not probes:
        return ["Shortcuts: cannot tell, for no label has 10 images with it and 10 without."]
    rows = [("label", "what a cheat sees", "AUROC", "interval", "")]
    for probe in probes[:_ROWS]:
        area = probe["auroc"]
        value, low, high = (value_of(area, part) for part in ("value", "low", "high"))
        judgement = judge(probe)
        rows.append(
            (
                visible(probe["target"]),
                TITLES.get(probe["cheat"], probe["cheat"]).lower(),
                "–" if value is None else number(value),
                "–" if low is None or high is None else f"{number(low)} to {number(high)}",
                "" if judgement == "harmless" else judgement,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if len(probes) > _ROWS:
        lines.append(f"and {len(probes) - _ROWS} more")
    head = "How far a cheat gets (0.5 is guessing; all intervals hold together with 95 %):"
    return [head, *(f"  {line}" for line in lines)]
