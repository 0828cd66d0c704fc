"""Images that were read but should not be learnt from as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import found, images
from plainfilm.audit.orientation import POSES, Poses, judge_poses
from plainfilm.audit.outliers import score_strangeness
from plainfilm.records import Finding

__all__ = ["check_contrast", "check_letters", "check_poses", "check_strangers"]

_BLANK = 6  # grey levels between the 1st and the 99th percentile
_FLAT = 56
_LEAD = 0.25  # of upright radiographs, fewer than 1 in 1,000 lie above it
_CLEAR_LEAD = 0.5  # and hardly any above this; of turned ones, five in six do
_STRANGE = 4.4  # of radiographs, 1 in 1,000 lies above it; of other pictures, 19 in 20
_STRANGER = 5.5  # a note below: in most sets somebody is the strangest
_LETTERS = 4.0
_FEWEST = 18  # strokes; without writing, 5,216 radiographs of children and 500 of adults have fewer


def _ids(evidence: Evidence, rows: NDArray[np.bool_]) -> list[str]:
    return [evidence.ids[row] for row in np.flatnonzero(rows)]


def check_contrast(evidence: Evidence) -> Iterator[Finding]:
    """Report images that show nothing, or next to nothing."""
    if evidence.pictures is None or not len(evidence):
        return
    span = evidence.pictures.span
    if ids := _ids(evidence, span <= _BLANK):
        yield found(
            "blank",
            "warning",
            f"{images(len(ids))} of one shade: nothing is to be seen",
            ids,
            consequence="a blank image teaches the share of its class, and is counted in the test",
            remedy="leave them out",
            exclude=ids,
        )
    if ids := _ids(evidence, (span > _BLANK) & (span <= _FLAT)):
        yield found(
            "low-contrast",
            "warning",
            f"{images(len(ids))} with fewer than {_FLAT} of 256 grey levels in use",
            ids,
            consequence="a wrong window or a failed exposure; what it shows was lost before it was saved",
            remedy="export them again with the right window, or leave them out",
        )


def check_poses(evidence: Evidence) -> Iterator[Finding]:
    """Report images that lie on a side, stand on their head, or are inverted."""
    if evidence.pictures is None:
        return
    if evidence.cache is None or len(evidence) == 0:
        return
    poses = judge_poses(evidence.pictures.small, evidence.groups)
    if poses is None:
        yield found(
            "cannot-tell-poses",
            "note",
            "too few patients to tell which images are turned or inverted",
            count=0,
            remedy="look at them: plainfilm show",
        )
        return
    if poses.whole:
        turned, dark = POSES[poses.whole % 4], poses.whole >= 4
        how = " and ".join(
            ([] if turned == "upright" else [f"turned ({turned})"]) + (["inverted"] if dark else [])
        )
        yield found(
            "whole-set-turned",
            "serious",
            f"the set as a whole seems to be {how}",
            count=len(evidence),
            consequence="a model made from it answers wrongly for every radiograph as it should be",
            remedy="look at them (plainfilm show), and turn them back",
        )
    seems = (poses.lead > _LEAD) & (evidence.pictures.span > _BLANK)
    yield from _posed(evidence, poses, seems)


def _posed(evidence: Evidence, poses: Poses, seems: NDArray[np.bool_]) -> Iterator[Finding]:
    clear = seems & (poses.lead > _CLEAR_LEAD)
    turned = poses.best < 4
    if ids := _by_lead(evidence, poses, seems & ~turned):
        sure = _ids(evidence, clear & ~turned)
        yield found(
            "inverted",
            "warning" if sure else "note",
            f"{images(len(ids))} with bone dark and air bright{_sure(len(sure))}",
            ids,
            consequence="the same disease looks the opposite; one class may be inverted more often",
            remedy="look at them; invert those that are, or leave them out",
            exclude=sure,
        )
    if ids := _by_lead(evidence, poses, seems & turned):
        sure = _ids(evidence, clear & turned)
        counts = [
            f"{int((seems & (poses.best == n)).sum())} {POSES[n]}"
            for n in (1, 2, 3)
            if (seems & (poses.best == n)).any()
        ]
        yield found(
            "rotated",
            "warning" if sure else "note",
            f"{images(len(ids))} not upright, by the look ({', '.join(counts)}){_sure(len(sure))}",
            ids,
            consequence="lungs are looked for where they should be; a tight crop may look turned, too",
            remedy="look at them; turn those that are, or leave them out",
            exclude=sure,
        )


def _by_lead(evidence: Evidence, poses: Poses, rows: NDArray[np.bool_]) -> list[str]:
    """Return the ids of rows, the clearest first."""
    chosen = np.flatnonzero(rows)
    return [evidence.ids[row] for row in chosen[np.argsort(-poses.lead[chosen], kind="stable")]]


def _sure(count: int) -> str:
    return f", {count} of them clearly" if count else ", none of them clearly"


def check_strangers(evidence: Evidence) -> Iterator[Finding]:
    """Report images that look like nothing else in the set."""
    if evidence.pictures is None or not len(evidence):
        return
    scores = score_strangeness(evidence.pictures.small)
    if scores is None:
        yield found(
            "cannot-tell-strangers",
            "note",
            "too few images to tell which are no frontal chest radiographs",
            count=0,
            remedy="look at them: plainfilm show",
        )
        return
    strange = (scores > _STRANGE) & (evidence.pictures.span > _BLANK)
    rows: Sequence[int] = sorted(np.flatnonzero(strange).tolist(), key=lambda row: -scores[row])
    if rows:
        yield found(
            "not-a-frontal-chest-radiograph",
            "warning" if scores[rows[0]] > _STRANGER else "note",
            f"{images(len(rows))} unlike the rest of the set: perhaps no frontal chest radiograph",
            [evidence.ids[row] for row in rows],
            consequence="a classifier has an answer for every picture, also for one of a knee",
            remedy="look at them, strangest first, and leave out what does not belong",
        )


def check_letters(evidence: Evidence) -> Iterator[Finding]:
    """Report images with writing at their upper or lower edge, more than a side marker.

    Letters lower than about a fortieth of the picture are lost at the size that is looked at.
    """
    if evidence.pictures is None or not len(evidence):
        return
    strokes = evidence.pictures.strokes.astype(np.float64)
    middle = float(np.median(strokes))
    spread = max(2.0, 1.4826 * float(np.median(np.abs(strokes - middle))))
    written = strokes > max(middle + _LETTERS * spread, _FEWEST)
    if ids := _ids(evidence, written):
        yield found(
            "burnt-in-text",
            "warning",
            f"{images(len(ids))} with writing at an edge, more than a side marker",
            ids,
            consequence="it may name the patient, and where one class is written on more, it is a shortcut",
            remedy="look at them; mask the writing before they are shared or learnt from",
        )
