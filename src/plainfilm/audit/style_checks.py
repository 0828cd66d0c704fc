"""Checks whether acquisition styles are tied to a class, or differ between the splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.columns import measure_groups
from plainfilm.audit.document import ColumnResult, Style, Trait
from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import SETS, join_names, make_finding, share
from plainfilm.audit.styles import Styles, cluster_styles
from plainfilm.records import Finding

COLUMN = "acquisition style"
"""Name of the column in the results."""

_MOST, _IMAGES_EACH, _FEWEST = 8, 50, 100
_EXAMPLES = 12
_LIMIT = 0.7
"""Lower bound of the AUROC above which a style is tied to a class; disease changes a style too."""
_SHIFT_LIMITS = (0.55, 0.6)


def measure_styles(
    evidence: Evidence, *, seed: int = 0
) -> tuple[tuple[Style, ...], tuple[ColumnResult, ...]]:
    """Group the images by style, and measure what the style alone predicts.

    Returns nothing for fewer than 100 images, or if none was decoded.
    """
    if evidence.summaries is None or len(evidence) < _FEWEST:
        return (), ()
    features = evidence.summaries.styles.copy()
    width, height = evidence.numbers("width"), evidence.numbers("height")
    with np.errstate(all="ignore"):
        features[:, -1] = np.log(width / height)
    found = cluster_styles(features, min(_MOST, len(evidence) // _IMAGES_EACH), seed)
    used = len(np.unique(found.members))  # equal images can leave the last styles empty
    names = [style_name(number) for number in range(used)]
    styles = tuple(_describe(evidence, found, number) for number in range(len(names)))
    return styles, measure_groups(evidence, [(COLUMN, names, found.members)], seed=seed)


def style_name(number: int) -> str:
    """Return the name of a style, whose numbers begin at 0."""
    return f"style {number + 1}"


def _describe(evidence: Evidence, found: Styles, number: int) -> Style:
    assert evidence.summaries is not None
    rows = np.flatnonzero(found.members == number)
    mean = np.round(evidence.summaries.thumbnails[rows].mean(axis=0), 1)
    traits = tuple(Trait(name, round(value, 2)) for name, value in found.traits(number))
    ids = tuple(evidence.ids[row] for row in _spread(rows, evidence.groups[rows]))
    return Style(len(rows), traits, tuple(tuple(line) for line in mean.tolist()), ids)


def _spread(rows: NDArray[np.intp], patients: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return up to twelve rows, evenly spaced, each of another patient."""
    _, first = np.unique(patients, return_index=True)
    first = np.sort(first)
    chosen = np.unique(np.linspace(0, len(first) - 1, min(_EXAMPLES, len(first))).astype(np.intp))
    return rows[first[chosen]]


def judge_style(result: ColumnResult) -> Literal["warning", "note", "no finding"]:
    """Return the severity of what the style predicts."""
    low = result.auroc.low
    if result.kind == "shortcut":
        return "warning" if low > _LIMIT else "no finding"
    return (
        "warning" if low > _SHIFT_LIMITS[1] else "note" if low > _SHIFT_LIMITS[0] else "no finding"
    )


def check_styles(results: Sequence[ColumnResult]) -> Iterator[Finding]:
    """Report styles that predict a label, or distinguish a split within a class."""
    for one in sorted(results, key=lambda result: -result.auroc.value):
        judgement = judge_style(one)
        if judgement == "no finding":
            continue
        count = sum(sum(group.counts) for group in one.table)
        auroc = f"AUROC {one.auroc.value:.3f} ({one.auroc.low:.3f} to {one.auroc.high:.3f})"
        if one.kind == "shortcut":
            yield make_finding(
                "style-tied-to-class",
                judgement,
                f"the acquisition style alone predicts {one.target} with {auroc}: {_extremes(one)}",
                count=count,
                consequence="a network can recognise the device or the crop instead of the "
                "disease, and fail on images of another style",
                remedy='augment margins, tone and sharpness (augment = "robust"), choose '
                "models by styles they were not trained on, and report results by style",
            )
            continue
        yield make_finding(
            "style-shift",
            judgement,
            f"the acquisition style alone distinguishes the {SETS[one.groups[0]]} from the "
            f"training set among the images of {one.target} with {auroc}: {_extremes(one)}",
            count=count,
            consequence="a threshold and a calibration from one may not hold on the other",
            remedy="report results by style, and lock thresholds on augmented images",
        )


def _extremes(result: ColumnResult) -> str:
    """Return the share of the first group in the two styles where it is highest and lowest."""
    few = 0.02 * sum(sum(group.counts) for group in result.table)
    common = [group for group in result.table if sum(group.counts) >= few]
    ranked = sorted(common, key=lambda group: -group.counts[0] / sum(group.counts))
    parts = [
        f"{share(group.counts[0], sum(group.counts))} of {group.value}"
        for group in (ranked[0], ranked[-1])
    ]
    return f"{result.groups[0]} is {join_names(parts)}"
