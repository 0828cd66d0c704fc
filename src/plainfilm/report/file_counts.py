"""Counts what became of every file: found, left out, split, scored, rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from plainfilm.data import LeftOut, Manifest
from plainfilm.report.wording import count

__all__ = ["REASONS", "SPLIT_NAMES", "list_flow", "tell_flow"]

REASONS = 4
"""Reasons for leaving files out that are named; the rest are summed."""
SPLIT_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}


def list_flow(
    manifest: Manifest, evaluation: Mapping[str, Any], *, whole: bool = True
) -> dict[str, Any]:
    """Count what became of every file.

    Parameters
    ----------
    manifest
        Of the run, every split; or what was evaluated, if ``whole`` is False.
    evaluation
        The content of ``evaluation.json``.
    whole
        Whether the manifest holds the splits of a run.

    Returns
    -------
    ``found``, ``left_out`` (reason to count), ``splits`` (name to ``images``, ``patients``,
    ``positives``), ``unreadable`` (reason to count, of what was to be scored), ``scored``,
    ``rejected`` and ``indeterminate`` (None where the bundle cannot tell).
    """
    late = _reasons(evaluation.get("left_out") or ())
    early = Counter(row.reason for row in manifest.left_out)
    if not whole:
        # The left-out files of a set that is scored as it is are those of the evaluation.
        late, early = Counter(), late + (early - late)
    else:
        late = late - early
    parts: dict[str, dict[str, int]] = {}
    for name in ("train", "validation", "test"):
        own = [record for record in manifest.records if record.split == name]
        if own and whole:
            parts[name] = {
                "images": len(own),
                "patients": len({record.patient for record in own}),
                "positives": sum(1.0 in record.labels for record in own),
            }
    rejection = evaluation.get("rejection") or {}
    known = rejection.get("threshold") is not None
    between = rejection.get("indeterminate") or {}
    scored = int(evaluation.get("n") or 0)
    return {
        "found": len(manifest.records) + sum(early.values()),
        "left_out": dict(early.most_common()),
        "splits": parts,
        "unreadable": dict(late.most_common()),
        "scored": scored,
        "rejected": rejection.get("rejected") if known else None,
        "indeterminate": max(between.values()) if between else None,
    }


def _reasons(rows: Iterable[Mapping[str, Any] | LeftOut]) -> Counter[str]:
    return Counter(
        row.reason if isinstance(row, LeftOut) else str(row.get("reason") or "unknown")
        for row in rows
    )


def tell_flow(listed: Mapping[str, Any]) -> str:
    """Say the diagram in words, for those who listen."""
    told = [f"{count(listed['found'])} files found"]
    if listed["left_out"]:
        told.append("left out: " + _listed(listed["left_out"]))
    for name, part in listed["splits"].items():
        told.append(
            f"{SPLIT_NAMES[name].lower()}: {count(part['images'])} images of "
            f"{count(part['patients'])} patients, {count(part['positives'])} positive"
        )
    if listed["unreadable"]:
        told.append("not scored: " + _listed(listed["unreadable"]))
    told.append(f"{count(listed['scored'])} scored")
    declined = [key for key in ("rejected", "indeterminate") if listed[key] is not None]
    told += [f"{count(listed[key])} {key}" for key in declined]
    return "; ".join(told) + "."


def _listed(reasons: Mapping[str, int]) -> str:
    pairs = [*reasons.items()]
    more = sum(size for _, size in pairs[REASONS:])
    texts = [f"{count(size)} {reason}" for reason, size in pairs[:REASONS]]
    return ", ".join([*texts, *([f"{count(more)} for other reasons"] if more else [])])
