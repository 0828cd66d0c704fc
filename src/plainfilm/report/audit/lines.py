"""An audit as lines of text for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from plainfilm._text import plural
from plainfilm.audit import Audit, Baseline
from plainfilm.audit.shortcuts import judge
from plainfilm.report.audit.wording import verdict
from plainfilm.report.html.markup import visible
from plainfilm.report.wording import number

_WIDTH = 100
_INDENT = " " * 9
_MAX_ROWS = 40


def audit_lines(audit: Audit, *, width: int = _WIDTH) -> list[str]:
    """Return an audit as lines of text.

    Parameters
    ----------
    audit
        Result of `plainfilm.audit_dataset`.
    width
        Characters in a line; a longer word (a path) is not broken.

    Returns
    -------
    lines
        The verdict, each finding with its remedy, and the baseline models on shortcuts. Control
        characters in names are escaped.
    """
    baselines = [baseline for baseline in audit.baselines if baseline.kind == "shortcut"]
    _, headline, text = verdict(audit.findings, baselines=len(baselines), quick=audit.quick)
    images = plural(audit.images, "image")
    lines = _wrap(f"{audit.manifest.name}: {images}, {headline}. {text}", width, "")
    for finding in audit.findings:
        head = f"{finding.severity:<7}  {finding.check}  {finding.problem}"
        lines += ["", *_wrap(head, width, _INDENT)]
        if finding.remedy:
            lines += _wrap(f"{_INDENT}remedy: {finding.remedy}", width, _INDENT + " " * 8)
    return [*lines, "", *_baseline_lines(baselines)]


def _wrap(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        visible(text).replace("\n", " "),
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _baseline_lines(baselines: Sequence[Baseline]) -> list[str]:
    if not baselines:
        return ["Shortcuts: not checked, because no label has 10 positive and 10 negative images."]
    rows = [("label", "features", "AUROC", "interval", "")]
    for baseline in baselines[:_MAX_ROWS]:
        auroc, judgement = baseline.auroc, judge(baseline)
        defined = math.isfinite(auroc.value)
        rows.append(
            (
                visible(baseline.target),
                baseline.features,
                number(auroc.value) if defined else "–",
                f"{number(auroc.low)} to {number(auroc.high)}" if defined else "–",
                "" if judgement == "no finding" else judgement,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "Baseline models on shortcuts (0.5 is chance; all intervals hold simultaneously with 95 %):"
    ]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    if len(baselines) > _MAX_ROWS:
        lines.append(f"  and {len(baselines) - _MAX_ROWS} more")
    return lines
