"""The plan: a recipe resolved against the data and the machine, and who may continue a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plainfilm import __version__, _files
from plainfilm._machine import describe_machine, versions
from plainfilm.config import Recipe
from plainfilm.data import Manifest
from plainfilm.errors import RunError

__all__ = ["SCHEMA", "claim_folder", "make_plan"]

SCHEMA = 1


def make_plan(
    recipe: Recipe, manifest: Manifest, *, seed: int, backend: str, precision: str
) -> dict[str, Any]:
    """Return the plan of a run.

    Its ``identity`` is what a run is made from: the same identity gives the same weights.
    """
    return {
        "schema": SCHEMA,
        "identity": {
            "recipe": json.loads(json.dumps(recipe.to_json())),
            "seed": seed,
            "manifest": manifest.hash,
            "backend": backend,
            "precision": precision,
        },
        "dataset": asdict(manifest.describe()),
        "machine": describe_machine(),
        "versions": {
            "plainfilm": __version__,
            **versions("keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "numpy", "pillow"),
        },
    }


def claim_folder(folder: Path, plan: Mapping[str, Any]) -> bool:
    """Make the folder this plan's, or find that it already is; return whether it was new.

    Raises
    ------
    RunError
        If the folder holds another run, or files that are no run's.
    StorageError
        If it cannot be written.
    """
    _files.make_folder(folder)
    path = folder / "plan.json"
    if not path.exists():
        strangers = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if strangers:
            raise RunError(
                f"{folder} is not empty and not a run",
                received=", ".join(strangers[:5]),
                remedy="choose an empty or new folder",
            )
        _files.write_json(path, plan)
        return True
    try:
        stored = _files.read_json(path)
        identity, schema = stored["identity"], stored["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged", remedy="choose another folder") from error
    if schema != SCHEMA:
        raise RunError(
            f"{folder} is a run of another version of plainfilm",
            received=f"schema {schema}",
            remedy="choose another folder",
        )
    differing = _differences(identity, plan["identity"])
    if differing:
        raise RunError(
            f"{folder} holds another run",
            received="; ".join(differing[:4]),
            remedy="choose another folder with --out, or ask for the same run to continue it",
        )
    return False


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Name what differs between two plain values."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in dict.fromkeys([*old, *new])
            for line in _differences(old.get(key), new.get(key), f"{where}.{key}".strip("."))
        ]
    if old == new:
        return []
    if where == "manifest":
        return ["the images, their labels or their splits differ"]
    return [f"{where} was {old!r} and is {new!r}"]
