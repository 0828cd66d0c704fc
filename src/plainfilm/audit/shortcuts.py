"""Judges the baseline models: which results are findings, and how severe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from plainfilm._text import plural
from plainfilm.audit.baselines import FEATURE_SETS, METADATA
from plainfilm.audit.columns import is_acquisition
from plainfilm.audit.document import Baseline, ColumnResult, FeatureSet
from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import SETS, images, join_names, make_finding, share
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
_COMMON, _SHOWN_GROUPS = 0.05, 3
_COLUMN_LIMITS = (0.55, 0.7)
"""Lower bounds of the AUROC above which a column is a warning, and serious."""
_REMEDIES: Mapping[FeatureSet, str] = {
    "file metadata": "save all images with the same size, format and quality before training, and "
    "evaluate on external data",
    "border": "trim the borders (input.trim) or augment them (augment.border, augment.side_bars), "
    "mask markers, and evaluate on external data",
    "thumbnail": "compare every model with this AUROC: a thumbnail shows no detail of the lungs; "
    "evaluate on external data",
    "histogram": "augment gamma, brightness and contrast (augment) or match histograms "
    "(input.histogram), and evaluate on external data",
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


def drawn_images(baseline: Baseline) -> str:
    """Return how many images were drawn at random, or an empty text if all were used."""
    if baseline.drawn_from is None:
        return ""
    whole = images(sum(baseline.drawn_from))
    return f"{sum(baseline.counts):,} of {whole}, drawn at random"


def _measured_on(baseline: Baseline) -> str:
    words = drawn_images(baseline)
    return words and f", measured on {words}"


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
            f"{baseline.target} with AUROC {_write(baseline.auroc)}{_strongest(baseline)}"
            f"{_measured_on(baseline)}",
            count=sum(baseline.drawn_from or baseline.counts),
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
            f"{b.target} by {b.features}: AUROC {_write(b.auroc)}{_strongest(b)}{_measured_on(b)}"
            for b in reported
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


def judge_column(result: ColumnResult) -> Judgement:
    """Return the severity of what a column predicts."""
    auroc = result.auroc
    if not auroc.high - auroc.low <= _MAX_WIDTH:  # also if undefined
        return "inconclusive"
    first, second = _COLUMN_LIMITS if result.kind == "shortcut" else _SHIFT_LIMITS
    if auroc.low <= first:
        return "no finding"
    if result.kind == "shift":
        return "warning" if auroc.low > second else "note"
    if not is_acquisition(result.column):  # it may be derived from the label
        return "note" if result.is_copy else "warning"
    return "serious" if auroc.low > second else "warning"


def check_columns(columns: Sequence[ColumnResult]) -> Iterator[Finding]:
    """Report columns that predict a label, or distinguish a split within a class."""
    for one in sorted(columns, key=lambda result: -result.auroc.value):
        judgement = judge_column(one)
        if judgement == "inconclusive" or judgement == "no finding":
            continue
        count = sum(sum(group.counts) for group in one.table)
        if one.kind == "shift":
            yield make_finding(
                "column-shift",
                judgement,
                f"the column {one.column} alone distinguishes the {SETS[one.groups[0]]} from the "
                f"training set among images of {one.target}, with AUROC {_write(one.auroc)}: "
                f"{_shares(one)}",
                count=count,
                consequence="a threshold and a calibration from one may not hold on the other",
                remedy=f"report results by {one.column}",
            )
            continue
        copy = one.is_copy and not is_acquisition(one.column)
        more = "; each of its values occurs in one class only" if copy else f": {_shares(one)}"
        derived = "unless the column was derived from the label, "
        yield make_finding(
            "shortcut-column",
            judgement,
            f"the column {one.column} alone predicts {one.target} with AUROC "
            f"{_write(one.auroc)}{more}",
            count=count,
            consequence=f"{'' if is_acquisition(one.column) else derived}a network that recognises "
            f"{one.column} in the image performs well here, and fails where it is distributed "
            "otherwise",
            remedy="find out where the column comes from"
            if copy
            else f"balance {one.column} between the classes or select rows, and report results by "
            f"{one.column}",
        )


def _shares(result: ColumnResult) -> str:
    """Return the share of the first group in up to three values, or in the two extremes."""
    few = _COMMON * sum(sum(group.counts) for group in result.table)
    # A rare value may have any share by chance.
    common = [group for group in result.table if sum(group.counts) >= few]
    shown = sorted(common, key=lambda group: -group.counts[0] / sum(group.counts))
    if len(shown) > _SHOWN_GROUPS:
        shown = [shown[0], shown[-1]]
    parts = [
        f"{share(group.counts[0], total)} of {images(total)} with {group.value}"
        for group in shown
        if (total := sum(group.counts))
    ]
    more = len(result.table) - len(shown)
    others = f" ({plural(more, 'further value')})" if more else ""
    return f"{result.groups[0]} in {join_names(parts)}{others}"


def _write(auroc: Interval) -> str:
    return f"{auroc.value:.3f} ({auroc.low:.3f} to {auroc.high:.3f})"


def _strongest(baseline: Baseline) -> str:
    strong = [f"{METADATA[f.name][0]} {f.auroc:.3f}" for f in baseline.strongest if f.auroc > 0.6]
    return f"; alone: {join_names(strong)}" if strong else ""
