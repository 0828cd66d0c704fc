"""Doubts that come from beyond the test itself: elsewhere, for whom, under disturbance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plainfilm.records import Severity
from plainfilm.report.content import ReportContent, label_views, value_of
from plainfilm.report.wording import count, describe, metric_text, number

__all__ = ["Caveat", "doubts_beyond"]

MANY = 0.05
"""Share of rejected images that is worth a sentence; validation rejects about 0.01."""
EARLY = 2
"""Steps of a disturbance up to which it is called mild."""


@dataclass(frozen=True, slots=True)
class Caveat:
    """One reason for doubt.

    Attributes
    ----------
    severity
        How much it takes away from the numbers.
    title
        In a few words.
    text
        One or two sentences.
    """

    severity: Severity
    title: str
    text: str


def doubts_beyond(content: ReportContent) -> Iterator[Caveat]:
    """Yield what the evaluation found besides the headline that speaks against it."""
    yield from _elsewhere(content)
    yield from _for_whom(content)
    yield from _under_disturbance(content)
    yield from _declined(content)


def _elsewhere(content: ReportContent) -> Iterator[Caveat]:
    for row in (content.external or {}).get("rows") or ():
        drop = (row["drop"] or {}).get("auroc")
        if row["role"] != "external" or (value_of(drop, "high") or 0.0) >= 0:
            continue
        yield Caveat(
            "serious",
            "It does not travel",
            f"On {row['name']} the AUROC is {metric_text('auroc', row['auroc'])}: "
            f"{abs(value_of(drop) or 0.0):.3f} less than on internal validation. What is good here "
            "need not be good elsewhere.",
        )


def _for_whom(content: ReportContent) -> Iterator[Caveat]:
    labels: Mapping[str, Any] = (content.evaluation.get("subgroups") or {}).get("labels") or {}
    found = []
    for label, columns in labels.items():
        for column in columns:
            for cell in column["cells"]:
                for name, p in cell["p_adjusted"].items():
                    gap = value_of(cell["difference"].get(name))
                    if p is not None and p < 0.05 and gap is not None and gap < 0:
                        found.append((p, label, column["column"], cell, name))
    if not found:
        return
    _, label, column, cell, name = min(found, key=lambda one: one[0])
    kind = describe(name)
    more = f" ({count(len(found) - 1)} more in the table)" if len(found) > 1 else ""
    yield Caveat(
        "warning",
        "Not equally good for all",
        f"Where {column} is {cell['value']}, the {_lower(kind.title)} of {label} is "
        f"{metric_text(name, cell[name])}, lower than for the others beyond chance{more}.",
    )


def _under_disturbance(content: ReportContent) -> Iterator[Caveat]:
    part = content.evaluation.get("robustness") or {}
    first = part.get("first")
    if not first or first["step"] > EARLY:
        return
    kind = next(one for one in part["disturbances"] if one["name"] == first["name"])
    about = (
        " It looks at what surrounds the chest." if first["name"] in ("border", "corners") else ""
    )
    yield Caveat(
        "warning",
        "Easily disturbed",
        f"{kind['description']} ({first['strength']:g} {kind['unit']}), which is mild, costs "
        f"{number(abs(first['drop']['value']))} of AUROC.{about}",
    )


def _declined(content: ReportContent) -> Iterator[Caveat]:
    part = content.evaluation.get("rejection") or {}
    total = value_of(label_views(content.evaluation)[0][1], "n") or 0.0
    rejected = value_of(part, "rejected") or 0.0
    if total and rejected > MANY * total:
        yield Caveat(
            "warning",
            "Unlike the training images",
            f"The model itself finds {count(rejected)} of {count(total)} images not like what it "
            "was trained on; of its own validation images it says so of about one in a hundred.",
        )


def _lower(title: str) -> str:
    return title if title[1:2].isupper() else title.lower()
