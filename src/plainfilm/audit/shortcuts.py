"""How far a cheat gets, and how far apart the splits are: what is worth a finding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from plainfilm.audit.baselines import CHEATS, Cheat, Probe
from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import found, listed
from plainfilm.metrics.intervals import Interval
from plainfilm.records import Finding

__all__ = ["LIMITS", "SHIFTED", "WIDE", "check_shift", "check_shortcuts"]

_FACTS = {
    "bytes": "file size",
    "pixels": "number of pixels",
    "aspect": "width to height",
    "density": "bytes per pixel",
    "width": "width",
    "height": "height",
    "quantisation": "JPEG quantisation",
}
WIDE = 0.3
"""Width from which on an interval tells nothing."""
LIMITS: Mapping[Cheat, tuple[float, float]] = {
    # What a file says of itself has no business with the disease. A border little; small pictures
    # and shades have some: those two never spoil an evaluation alone.
    "file metadata": (0.6, 0.75),
    "border": (0.6, 0.8),
    "thumbnail": (0.8, math.inf),
    "histogram": (0.75, math.inf),
}
"""Lower bounds above which a shortcut is a warning, and above which it is serious."""
SHIFTED = (0.55, 0.6)
"""Lower bounds above which a shift is a note, and above which it is a warning."""


def check_shortcuts(evidence: Evidence, probes: Sequence[Probe]) -> Iterator[Finding]:
    """Report cheats that can tell the label."""
    doubtful = []
    for one in probes:
        if one.about != "shortcut":
            continue
        if not _tells(one.interval):
            doubtful.append(f"{one.cheat} ({one.target})")
            continue
        warning, serious = LIMITS[one.cheat]
        if one.interval.low <= warning:
            continue
        most = _metadata_in_words(one)
        yield found(
            f"shortcut-{one.cheat.replace(' ', '-')}",
            "serious" if one.interval.low > serious else "warning",
            f"a model that sees nothing but {CHEATS[one.cheat]} tells {one.target} with AUROC "
            f"{_in_words(one.interval)}{most}",
            count=sum(one.counts),
            consequence="a network finds it too, scores well by it, and fails where the habit is another",
            remedy=_ADVICE[one.cheat],
        )
    if doubtful:
        yield found(
            "cannot-tell-shortcuts",
            "note",
            f"too few patients to tell whether there are shortcuts by {listed(doubtful)}",
            count=len(evidence),
            remedy="a small set cannot be called clean: gather more",
        )


_ADVICE: Mapping[Cheat, str] = {
    "file metadata": "save all images alike (size, format, quality) before learning, and test "
    "on images from elsewhere",
    "border": "crop or trim the borders (input.trim), mask markers, and test on images from "
    "elsewhere",
    "thumbnail": "compare any model with this number: what lies above it is what it sees of the "
    "lungs; test on images from elsewhere",
    "histogram": "augment brightness and contrast (augment), and test on images from elsewhere",
}


def check_shift(evidence: Evidence, probes: Sequence[Probe]) -> Iterator[Finding]:
    """Report splits that can be told apart within a class."""
    for side in ("test", "validation"):
        chosen = [p for p in probes if p.about == "shift" and p.sides[0] == side]
        told = [p for p in chosen if _tells(p.interval) and p.interval.low > SHIFTED[0]]
        if not told:
            continue
        worst = max(told, key=lambda p: p.interval.low)
        parts = [
            f"{p.target} by the {p.cheat}: {_in_words(p.interval)}{_metadata_in_words(p)}"
            for p in sorted(told, key=lambda p: -p.interval.value)
        ]
        yield found(
            f"shift-{side}",
            "warning" if worst.interval.low > SHIFTED[1] else "note",
            f"{side} and train can be told apart within a class ({listed(parts, 2)})",
            count=int((evidence.splits == side).sum()),
            consequence="a threshold and a calibration made on one need not hold on the other",
            remedy=f"do not expect on {side} what a share of train says; report both",
        )


def _tells(interval: Interval) -> bool:
    return bool(math.isfinite(interval.value) and interval.high - interval.low <= WIDE)


def _in_words(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _metadata_in_words(one: Probe) -> str:
    strong = [fact for fact in one.metadata if fact.auroc > 0.6]
    if not strong:
        return ""
    return "; alone: " + listed([f"{_FACTS[f.name]} {f.auroc:.3f}" for f in strong])
