"""Words for an audit: its verdict, and the result of each baseline model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from plainfilm._text import plural
from plainfilm.audit.baselines import FEATURE_SETS
from plainfilm.audit.document import Baseline
from plainfilm.audit.shortcuts import judge, reporting_limit
from plainfilm.records import Finding, Severity
from plainfilm.report.wording import interval_text, number


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
    meaning = (
        f"Of a random image of each group, it scores the one of {first} higher in "
        f"{round(100 * auroc.value)} of 100 pairs."
        if auroc.value > 0.55
        else "This is close to chance."
    )
    return (
        f"A {model} distinguishes {first} from {second}{within} with AUROC {number(auroc.value)} "
        f"({interval_text(auroc)}). {meaning} {_interpretation(baseline)}"
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
