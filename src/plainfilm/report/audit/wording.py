"""An audit in words: its verdict, the result of each baseline model, and lines for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from plainfilm._text import plural
from plainfilm.audit import Audit
from plainfilm.audit.baselines import FEATURE_SETS
from plainfilm.audit.document import Baseline
from plainfilm.audit.shortcuts import drawn_images, judge, reporting_limit
from plainfilm.records import Finding, Severity
from plainfilm.report.html.markup import visible
from plainfilm.report.wording import interval_text, number

_WIDTH = 100
_INDENT = " " * 9
_MAX_ROWS = 40


def verdict(
    findings: Sequence[Finding], *, baselines: int, quick: bool = False
) -> tuple[Severity | Literal["clean"], str, str]:
    """Return the severity of an audit, a headline and a sentence.

    ``baselines`` is the number of baseline models that predict a label.
    """
    numbers: Counter[str] = Counter(finding.severity for finding in findings)
    nouns = {"serious": "serious finding", "warning": "warning", "note": "note"}
    headline = ", ".join(counted(numbers[severity], noun) for severity, noun in nouns.items())
    if serious := numbers["serious"]:
        which = "the serious finding" if serious == 1 else "the serious findings"
        text = (
            f"Resolve {which} first: until then, an evaluation on this data set may be "
            "misleading, or part of the data is unusable."
        )
        return "serious", headline, text
    if numbers["warning"]:
        text = "Read the warnings before you trust an evaluation on this data set."
        return "warning", headline, text
    if not baselines or any(finding.check.endswith("-inconclusive") for finding in findings):
        text = "The data set is too small for some checks, so problems cannot be ruled out."
        return "note", headline, text
    limit = "but no image was decoded" if quick else "which does not prove that there is none"
    return "clean", headline, f"No check found a problem, {limit}."


def counted(number: int, noun: str) -> str:
    """Return ``no note``, ``1 note``, ``2 notes``."""
    return plural(number, noun, separator="\u202f") if number else f"no {noun}"


def baseline_sentence(baseline: Baseline) -> str:
    """Describe the result of a baseline model."""
    first, second = baseline.groups
    judgement, auroc = judge(baseline), baseline.auroc
    within = "" if baseline.kind == "shortcut" else f" among the images of {baseline.target}"
    model = f"model that sees only {FEATURE_SETS[baseline.features]}"
    if judgement == "inconclusive":
        limits = interval_text(auroc)
        reason = f"the interval is {limits}" if limits else auroc.reason or "too few patients"
        return (
            f"Inconclusive for a {model} and distinguishes {first} from {second}{within}: {reason}."
        )
    words = drawn_images(baseline)
    drawn = words and f" It was measured on {words}."
    meaning = (
        f"Of a random image of each group, it scores the one of {first} higher in "
        f"{round(100 * auroc.value)} of 100 pairs."
        if auroc.value > 0.55
        else "This is close to chance."
    )
    return (
        f"A {model} distinguishes {first} from {second}{within} with AUROC {number(auroc.value)} "
        f"({interval_text(auroc)}). {meaning} {_interpretation(baseline)}{drawn}"
    )


def _interpretation(baseline: Baseline) -> str:
    if judge(baseline) == "no finding":
        limit = reporting_limit(baseline)
        return f"The audit reports a finding if the whole interval is above {limit:.2f}."
    if baseline.kind == "shift":
        return "Results on one split may not hold on the other."
    if baseline.features in ("file metadata", "border"):
        return (
            "These features show little or no disease: a network can reach this AUROC without "
            "using the lungs."
        )
    return (
        "Part of this may be disease. Only a higher AUROC shows that a network uses more than "
        "these features."
    )


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
