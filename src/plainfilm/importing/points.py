"""Thresholds that a user gives, without validation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from plainfilm.errors import UsageError
from plainfilm.metrics import lock_operating_points
from plainfilm.records import LockedPoint, Task

__all__ = ["GIVEN", "given_points"]

GIVEN = "given"
"""Name of the operating point of a threshold that a user gives."""


def given_points(
    task: Task, thresholds: float | Mapping[str, float] | None
) -> tuple[LockedPoint, ...]:
    """Return the operating points of thresholds that a user gives for all or some labels."""
    if thresholds is None:
        return ()
    if task.kind == "multiclass":
        raise UsageError(
            "classes that exclude each other need no threshold: the most probable one is predicted",
            received=thresholds,
            remedy="leave out threshold=",
        )
    chosen = (
        dict(thresholds)
        if isinstance(thresholds, Mapping)
        else dict.fromkeys(task.labels, float(thresholds))
    )
    for label, threshold in chosen.items():
        if label not in task.labels or not 0 < threshold < 1:
            raise UsageError(
                "a threshold must be a probability between 0 and 1 of one of the labels",
                received=f"{label}={threshold:g}",
                remedy=f"the labels are: {', '.join(task.labels)}",
            )
    nothing = np.empty(0)
    return tuple(
        point
        for label in task.labels
        if label in chosen
        for point in lock_operating_points(nothing, nothing, label, own={GIVEN: chosen[label]})
        if point.point.purpose == "custom"
    )
