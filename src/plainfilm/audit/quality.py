"""Checks of the decoded images: contrast, orientation, outliers and text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import images, make_finding
from plainfilm.audit.orientation import ORIENTATIONS, estimate_orientation
from plainfilm.audit.outliers import outlier_scores
from plainfilm.pixels.histogram import BLANK_RANGE
from plainfilm.records import Finding

_LOW_CONTRAST = 56
_MARGIN = 0.25  # fewer than 1 in 1,000 upright radiographs exceed it
_CLEAR_MARGIN = 0.5  # almost no upright radiograph exceeds it; five in six rotated ones do
_OUTLIER = 4.4  # 1 in 1,000 radiographs exceeds it; 19 in 20 other pictures do
_CLEAR_OUTLIER = 5.5  # below it a note, because most data sets have some unusual radiograph


def check_contrast(evidence: Evidence) -> Iterator[Finding]:
    """Report images that are blank or nearly so."""
    if evidence.summaries is None:
        return
    grey_range = evidence.summaries.grey_range
    if ids := evidence.ids_where(grey_range <= BLANK_RANGE):
        yield make_finding(
            "blank-image",
            "warning",
            f"{images(len(ids), 'are')} blank: nearly all pixels have the same grey level",
            ids,
            consequence="a blank image does not show its label, but counts in training and testing",
            remedy="exclude them",
            exclude=ids,
        )
    if ids := evidence.ids_where((grey_range > BLANK_RANGE) & (grey_range <= _LOW_CONTRAST)):
        yield make_finding(
            "low-contrast",
            "warning",
            f"{images(len(ids), 'have')} low contrast: at most {_LOW_CONTRAST} grey levels between "
            "the 1st and the 99th percentile",
            ids,
            consequence="a wrong window or a failed exposure removed detail before the file was "
            "saved",
            remedy="export them again with the correct window, or exclude them",
        )


def check_orientation(evidence: Evidence) -> Iterator[Finding]:
    """Report images that are rotated or inverted."""
    if evidence.summaries is None:
        return
    found = estimate_orientation(evidence.summaries.thumbnails, evidence.groups)
    if found is None:
        yield make_finding(
            "orientation-inconclusive",
            "note",
            "too few patients to check which images are rotated or inverted",
            count=0,
            consequence="rotated or inverted images would not be reported",
            remedy="view the images (plainfilm show)",
        )
        return
    if found.overall:
        rotation = [ORIENTATIONS[found.overall % 4]] if found.overall % 4 else []
        inversion = ["inverted"] if found.overall >= 4 else []
        yield make_finding(
            "whole-dataset-rotated-or-inverted",
            "serious",
            f"the data set as a whole appears to be {' and '.join(rotation + inversion)}",
            count=len(evidence),
            consequence="a model trained on it is unreliable for images of normal orientation",
            remedy="view the images (plainfilm show), and correct their orientation",
        )
    suspected = (found.margin > _MARGIN) & (evidence.summaries.grey_range > BLANK_RANGE)
    rotated = suspected & (found.best < 4)
    counts = np.bincount(found.best[rotated], minlength=4)
    kinds = ", ".join(f"{counts[n]} {ORIENTATIONS[n]}" for n in (1, 2, 3) if counts[n])
    for check, rows, description, consequence in (
        (
            "inverted",
            suspected & ~rotated,
            "inverted (dark bone, bright air)",
            "the same disease looks different; if one class is inverted more often, that is a "
            "shortcut",
        ),
        (
            "rotated",
            rotated,
            f"rotated ({kinds})",
            "a model expects the lungs in their usual position; a tightly cropped image can be "
            "reported here by mistake",
        ),
    ):
        if not rows.any():
            continue
        ids = _sorted_ids(evidence, rows, found.margin)
        clear = evidence.ids_where(rows & (found.margin > _CLEAR_MARGIN))
        yield make_finding(
            check,
            "warning" if clear else "note",
            f"{images(len(ids), 'appear')} to be {description}, {len(clear) or 'none'} with high "
            "confidence",
            ids,
            consequence=consequence,
            remedy=f"view these images, and correct or exclude those that are {check}",
            exclude=clear,
        )


def _sorted_ids(
    evidence: Evidence, rows: NDArray[np.bool_], score: NDArray[np.floating]
) -> list[str]:
    """Return the ids of the selected rows, the highest score first."""
    chosen = np.flatnonzero(rows)
    return [evidence.ids[row] for row in chosen[np.argsort(-score[chosen], kind="stable")]]


def check_outliers(evidence: Evidence) -> Iterator[Finding]:
    """Report images that differ from all others in the data set."""
    if evidence.summaries is None:
        return
    scores = outlier_scores(evidence.summaries.thumbnails)
    if scores is None:
        yield make_finding(
            "outliers-inconclusive",
            "note",
            "too few images to detect outliers",
            count=0,
            consequence="images that are not frontal chest radiographs would not be reported",
            remedy="view the images (plainfilm show)",
        )
        return
    rows = (scores > _OUTLIER) & (evidence.summaries.grey_range > BLANK_RANGE)
    if ids := _sorted_ids(evidence, rows, scores):
        yield make_finding(
            "outlier",
            "warning" if scores[rows].max() > _CLEAR_OUTLIER else "note",
            f"{images(len(ids), 'differ')} strongly from the rest of the data set",
            ids,
            consequence="they may not be frontal chest radiographs, and a classifier makes a "
            "prediction for any image",
            remedy="view these images, most unusual first, and exclude those that do not belong",
        )


def check_text(evidence: Evidence) -> Iterator[Finding]:
    """Report images with a line of text near an edge, beyond a side marker or a projection.

    Letters lower than about a fiftieth of the image are lost at the size that is examined.
    """
    long = [any(line.is_long for line in lines) for lines in evidence.text_lines()]
    if ids := evidence.ids_where(np.array(long, bool)):
        yield make_finding(
            "burnt-in-text",
            "warning",
            f"{images(len(ids), 'appear')} to have text near an edge, beyond a side marker",
            ids,
            consequence="the text may identify the patient; if one class has it more often, it is "
            "a shortcut",
            remedy="view these images, and mask the text before you share them or train on them",
        )


IMAGE_CHECKS = (check_contrast, check_orientation, check_outliers, check_text)
