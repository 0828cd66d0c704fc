"""How an audit is put into words: the verdict, and what each cheat can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from plainfilm._text import plural
from plainfilm.audit.baselines import CHEATS
from plainfilm.audit.shortcuts import LIMITS, SHIFTED, WIDE
from plainfilm.records import Finding, Severity
from plainfilm.report.content import value_of
from plainfilm.report.wording import count, interval, number

__all__ = [
    "FACTS",
    "TITLES",
    "Judgement",
    "amount",
    "counted",
    "judge",
    "limit_of",
    "probe_sentence",
    "verdict",
]

Judgement = Literal["serious", "warning", "note", "harmless", "cannot tell"]

TITLES: Mapping[str, str] = {
    "file metadata": "Facts of the file",
    "border": "Border",
    "thumbnail": "Thumbnail",
    "histogram": "Grey levels",
}
FACTS: Mapping[str, tuple[str, str]] = {
    "bytes": ("file size", "bytes"),
    "pixels": ("number of pixels", ""),
    "aspect": ("width to height", ""),
    "density": ("bytes per pixel", ""),
    "width": ("width", "pixels"),
    "height": ("height", "pixels"),
    "quantisation": ("JPEG quantisation", ""),
}
"""What a fact is called, and its unit."""


def verdict(
    findings: Sequence[Finding], *, images: int, probes: int, quick: bool = False
) -> tuple[Severity | Literal["clean"], str, str]:
    """Return how grave an audit is, in a headline and in a sentence.

    ``probes`` is the number of cheats that could be asked about a label.
    """
    numbers = {
        name: sum(finding.severity == name for finding in findings)
        for name in ("serious", "warning", "note")
    }
    told = ", ".join(
        [
            f"{numbers['serious'] or 'nothing'} serious",
            counted(numbers["warning"], "warning"),
            counted(numbers["note"], "note"),
        ]
    )
    if numbers["serious"]:
        until = "that is" if numbers["serious"] == 1 else "those are"
        sentence = (
            "An evaluation on this set would mislead, or a part of the set is of no use, until "
            f"{until} dealt with."
        )
        return "serious", told, sentence
    if numbers["warning"]:
        return "warning", told, "Read the warnings before believing an evaluation on this set."
    if not probes or any(finding.check.startswith("cannot-tell") for finding in findings):
        return "note", told, f"{counted(images, 'image')}: too few to call it clean."
    end = "but no image was opened." if quick else "which is no proof that there is none."
    return "clean", told, f"No check of this audit found a flaw, {end}"


def counted(number: int, noun: str) -> str:
    """Return ``no note``, ``1 note``, ``2 notes``."""
    return plural(number, noun, separator="\u202f") if number else f"no {noun}"


def judge(probe: Mapping[str, Any]) -> Judgement:
    """Say what a probe (as `Probe.to_json` writes it) means."""
    area = probe.get("auroc")
    value, low, high = value_of(area), value_of(area, "low"), value_of(area, "high")
    if value is None or low is None or high is None or high - low > WIDE:
        return "cannot tell"
    first, second = _limits(probe)
    names: tuple[Judgement, Judgement] = (
        ("warning", "serious") if probe.get("about") == "shortcut" else ("note", "warning")
    )
    return names[1] if low > second else names[0] if low > first else "harmless"


def _limits(probe: Mapping[str, Any]) -> tuple[float, float]:
    if probe.get("about") != "shortcut":
        return SHIFTED
    return {str(cheat): limits for cheat, limits in LIMITS.items()}.get(
        str(probe.get("cheat")), (0.6, float("inf"))
    )


def limit_of(probe: Mapping[str, Any]) -> float:
    """Return the AUROC above which the whole interval must lie for the probe to be reported."""
    return _limits(probe)[0]


def probe_sentence(probe: Mapping[str, Any]) -> str:
    """Say in plain words how far a cheat gets."""
    one, other = (str(side) for side in probe["sides"])
    sees = {str(cheat): words for cheat, words in CHEATS.items()}.get(
        str(probe["cheat"]), str(probe["cheat"])
    )
    within = "" if probe["about"] == "shortcut" else f" among the images of {probe['target']}"
    judgement, value = judge(probe), value_of(probe.get("auroc"))
    start = f"A model that sees nothing but {sees}"
    if value is None:
        reason = str((probe.get("auroc") or {}).get("reason") or "too few patients")
        return f"Cannot tell whether {start[0].lower()}{start[1:]} can tell {one} from {other}" + (
            f"{within}: {reason}."
        )
    if judgement == "cannot tell":
        return (
            f"Cannot tell: for a model that sees nothing but {sees}, asked to tell {one} from "
            f"{other}{within}, the interval runs from {interval(probe['auroc'])}."
        )
    right = round(100 * value)
    pairs = (
        f"Given one image of each, it would pick the right one {right} times in 100"
        if value > 0.55
        else "That is guessing"
    )
    return (
        f"{start} tells {one} from {other}{within} with AUROC {number(value)} "
        f"({interval(probe['auroc'])}). {pairs}{_meaning(probe, judgement)}"
    )


def _meaning(probe: Mapping[str, Any], judgement: Judgement) -> str:
    if judgement == "harmless":
        return f"; the audit reports it where the whole interval lies above {limit_of(probe):.2f}."
    if probe["about"] != "shortcut":
        return ". What holds in one split need not hold in the other."
    if probe["cheat"] in ("file metadata", "border"):
        return ". None of that is disease: a network can score as well without a look at the lungs."
    return (
        ". Some of that may be disease; a network shows that it sees more by what it scores above."
    )


def amount(value: float) -> str:
    """Write a fact's value: large ones as whole numbers, others with three digits."""
    return count(value) if abs(value) >= 100 else f"{value:.3g}"
