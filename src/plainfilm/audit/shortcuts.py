"""Judges the baseline models: which results are findings, and how severe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from plainfilm.audit.baselines import FEATURE_SETS, METADATA
from plainfilm.audit.document import Baseline, FeatureSet
from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import SETS, join_names, make_finding
from plainfilm.metrics.intervals import Interval
from plainfilm.records import Finding

Judgement = Literal["serious", "warning", "note", "no finding", "inconclusive"]

_MAX_WIDTH = 0.3
"""Width of an interval above which the result is inconclusive."""
_SHORTCUT_LIMITS: Mapping[FeatureSet, tuple[float, float]] = {
    # File metadata cannot show disease, and a border hardly ever. A thumbnail and a histogram can
    # show some: their results are never serious.
    "file metadata": (0.6, 0.75),
    "border": (0.6, 0.8),
    "thumbnail": (0.8, math.inf),
    "histogram": (0.75, math.inf),
}
"""Lower bounds of the AUROC above which a shortcut is a warning, and serious."""
_SHIFT_LIMITS = (0.55, 0.6)
"""Lower bounds of the AUROC above which a shift is a note, and a warning."""
_REMEDIES: Mapping[FeatureSet, str] = {
    "file metadata": "save all images with the same size, format and quality before training, and "
    "evaluate on external data",
    "border": "crop or trim the borders (input.trim), mask markers, and evaluate on external data",
    "thumbnail": "compare every model with this AUROC: a thumbnail shows no detail of the lungs; "
    "evaluate on external data",
    "histogram": "augment brightness and contrast (augment), and evaluate on external data",
}


def judge(baseline: Baseline) -> Judgement:
    """Return the severity of a result."""
    if not baseline.auroc.high - baseline.auroc.low <= _MAX_WIDTH:  # also if undefined
        return "inconclusive"
    first, second = _limits(baseline)
    if baseline.auroc.low <= first:
        return "no finding"
    if baseline.kind == "shortcut":
        return "serious" if baseline.auroc.low > second else "warning"
    return "warning" if baseline.auroc.low > second else "note"


def reporting_limit(baseline: Baseline) -> float:
    """Return the AUROC above which the whole interval must be for the result to be a finding."""
    return _limits(baseline)[0]


def _limits(baseline: Baseline) -> tuple[float, float]:
    return _SHORTCUT_LIMITS[baseline.features] if baseline.kind == "shortcut" else _SHIFT_LIMITS


def check_shortcuts(evidence: Evidence, baselines: Sequence[Baseline]) -> Iterator[Finding]:
    """Report baseline models that predict a label."""
    inconclusive = []
    for baseline in baselines:
        judgement = judge(baseline)
        if baseline.kind != "shortcut" or judgement == "no finding":
            continue
        if judgement == "inconclusive":
            inconclusive.append(f"{baseline.features} ({baseline.target})")
            continue
        yield make_finding(
            f"shortcut-{baseline.features.replace(' ', '-')}",
            judgement,
            f"a baseline model that sees only {FEATURE_SETS[baseline.features]} predicts "
            f"{baseline.target} with AUROC {_write(baseline.auroc)}{_strongest(baseline)}",
            count=sum(baseline.counts),
            consequence="a network can learn the same shortcut, perform well here, and fail on "
            "data from another source",
            remedy=_REMEDIES[baseline.features],
        )
    if inconclusive:
        yield make_finding(
            "shortcuts-inconclusive",
            "note",
            f"too few patients to check for shortcuts by {join_names(inconclusive)}",
            count=len(evidence),
            consequence="shortcuts cannot be ruled out",
            remedy="collect data of more patients",
        )


def check_shift(evidence: Evidence, baselines: Sequence[Baseline]) -> Iterator[Finding]:
    """Report splits that a baseline model distinguishes within a class."""
    for split in ("test", "validation"):
        reported = [
            baseline
            for baseline in baselines
            if baseline.kind == "shift"
            and baseline.groups[0] == split
            and judge(baseline) in ("note", "warning")
        ]
        if not reported:
            continue
        reported.sort(key=lambda baseline: -baseline.auroc.value)
        parts = [
            f"{b.target} by {b.features}: AUROC {_write(b.auroc)}{_strongest(b)}" for b in reported
        ]
        yield make_finding(
            f"shift-{split}",
            "warning" if "warning" in map(judge, reported) else "note",
            f"baseline models distinguish the {SETS[split]} from the training set within a class "
            f"({join_names(parts, 2)})",
            count=int((evidence.splits == split).sum()),
            consequence="a threshold and a calibration from one may not hold on the other",
            remedy="do not expect results on a part of the training set to hold on the "
            f"{SETS[split]}; report both",
        )


def _write(auroc: Interval) -> str:
    return f"{auroc.value:.3f} ({auroc.low:.3f} to {auroc.high:.3f})"


def _strongest(baseline: Baseline) -> str:
    strong = [f"{METADATA[f.name][0]} {f.auroc:.3f}" for f in baseline.strongest if f.auroc > 0.6]
    return f"; alone: {join_names(strong)}" if strong else ""
