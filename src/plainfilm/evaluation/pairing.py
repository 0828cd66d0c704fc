"""Evaluations as their files tell them, and whether two can be paired image by image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm import _files
from plainfilm.errors import UsageError

__all__ = ["Side", "check_same", "describe_side", "read_side"]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One evaluation as its files tell it; rows are in the order of ``ids``."""

    folder: Path
    values: Mapping[str, Any]
    ids: list[str]
    patients: list[str]
    labels: dict[str, NDArray[np.float64]]
    chances: dict[str, NDArray[np.float64]]

    def threshold(self, label: str) -> float | None:
        """Return that of the balanced operating point."""
        points = (self.values["labels"].get(label) or {}).get("operating_points") or {}
        found = (p["threshold"] for p in points.values() if p["purpose"] == "balanced")
        return next(found, None)


def read_side(folder: Path) -> Side:
    import pyarrow.parquet as parquet

    if not (folder / "evaluation.json").is_file() and (folder / "evaluation").is_dir():
        folder = folder / "evaluation"
    try:
        values = _files.read_json(folder / "evaluation.json")
        table = parquet.read_table(folder / "predictions.parquet")
        told = json.loads(table.schema.metadata[b"plainfilm"])
        names = values["task"]["labels"]
        columns = {name: table.column(name) for name in table.column_names}
        side = Side(
            folder,
            values,
            columns["id"].to_pylist(),
            columns["patient"].to_pylist(),
            {label: _numbers(columns[f"label_{label}"]) for label in names},
            {label: _numbers(columns[f"probability_{label}"]) for label in names},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{folder} holds no evaluation that can be compared",
            received=f"{type(error).__name__}: {error}",
            remedy="give the folder that plainfilm evaluate wrote, or a run that was evaluated",
        ) from error
    if told.get("bundle") != values["bundle"]["id"]:
        raise UsageError(
            f"{folder}: predictions.parquet is of another bundle than evaluation.json",
            remedy="evaluate again",
        )
    return side


def _numbers(column: Any) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def check_same(one: Side, other: Side) -> None:
    """Refuse what cannot be paired; bring the second into the order of the first."""
    if one.values["task"] != other.values["task"]:
        raise UsageError(
            "the two models tell different things apart",
            received=f"{one.values['task']['classes']} and {other.values['task']['classes']}",
        )
    mine, theirs = set(one.ids), set(other.ids)
    if mine != theirs or len(mine) != len(one.ids) or len(theirs) != len(other.ids):
        lone = sorted(mine ^ theirs)
        raise UsageError(
            "the two evaluations are not of the same images",
            received=f"{len(mine & theirs)} in both, {len(mine - theirs)} in the first only, "
            f"{len(theirs - mine)} in the second only, such as {', '.join(lone[:3]) or 'none'}",
            remedy="evaluate both on the same data: plainfilm evaluate BUNDLE DATA --out FOLDER",
        )
    place = {id_: row for row, id_ in enumerate(other.ids)}
    order = np.array([place[id_] for id_ in one.ids])
    patients = [other.patients[row] for row in order]
    # Keys may be salted differently: what counts is who is together.
    if len(set(zip(one.patients, patients, strict=True))) != len(set(patients)) or len(
        set(patients)
    ) != len(set(one.patients)):
        raise UsageError("the two evaluations group the images into different patients")
    for label, values in one.labels.items():
        found = other.labels[label][order]
        if not np.array_equal(values, found, equal_nan=True):
            row = int(
                np.flatnonzero(~((values == found) | (np.isnan(values) & np.isnan(found))))[0]
            )
            raise UsageError(
                f"the two evaluations disagree about the truth of {label}",
                received=f"{one.ids[row]}: {values[row]:g} and {found[row]:g}",
            )
        other.labels[label] = found
        other.chances[label] = other.chances[label][order]


def describe_side(side: Side) -> dict[str, Any]:
    bundle = side.values["bundle"]
    name = side.folder.parent.name if side.folder.name == "evaluation" else side.folder.name
    return {"name": name, "id": bundle["id"], "recipe": bundle["recipe"], "seed": bundle["seed"]}
