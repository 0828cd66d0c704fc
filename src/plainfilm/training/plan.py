"""The plan of a run, ``plan.json``: a recipe resolved against the data and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm import __version__, _files
from plainfilm._json import from_json, to_json
from plainfilm._machine import Machine, describe_machine, versions
from plainfilm.config import Recipe
from plainfilm.data import Manifest
from plainfilm.data.counts import Description
from plainfilm.errors import ConfigError, RunError

__all__ = ["SCHEMA", "Identity", "Plan", "check_folder", "claim_folder", "make_plan"]

SCHEMA = 2
_FILE = "plan.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """What determines the weights of a run: the same identity gives the same weights.

    Attributes
    ----------
    recipe, seed, backend, precision
        What is trained; an ensemble has the seeds of its members.
    manifest
        Content hash of the manifest.
    members
        Ids of the bundles that an ensemble is made from.
    """

    recipe: Recipe
    seed: int | tuple[int, ...]
    manifest: str
    backend: str
    precision: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run."""

    identity: Identity
    dataset: Description
    machine: Machine
    versions: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write the plan into the folder of its run."""
        _files.write_json(folder / _FILE, {"schema": SCHEMA, **to_json(self, complete=True)})

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Read the plan of a run.

        Raises
        ------
        RunError
            If there is none, it is damaged, or its schema has another version.
        """
        path = folder / _FILE
        try:
            values = _files.read_json(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(
                f"{folder} is not the folder of a run",
                received=f"there is no {_FILE}",
                remedy="give the folder that plainfilm train wrote",
            ) from error
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is damaged", remedy="choose another folder") from error
        schema = values.get("schema") if isinstance(values, Mapping) else None
        if isinstance(schema, int) and schema != SCHEMA:
            newer = schema > SCHEMA
            raise RunError(
                f"{folder} is a run of {'a newer' if newer else 'an older'} version of plainfilm",
                received=f"schema {schema}; this version reads schema {SCHEMA}",
                remedy="upgrade plainfilm" if newer else "train again, into another folder",
            )
        try:
            if schema != SCHEMA:
                raise RunError("it has no schema version")
            own = {key: value for key, value in values.items() if key != "schema"}
            return from_json(cls, own, _FILE)
        except (ConfigError, RunError) as error:
            raise RunError(
                f"{path} is damaged", received=error.problem, remedy="choose another folder"
            ) from error


def make_plan(
    recipe: Recipe, manifest: Manifest, *, seed: int, backend: str, precision: str
) -> Plan:
    """Return the plan of a run."""
    return Plan(
        Identity(recipe, seed, manifest.hash, backend, precision),
        manifest.describe(),
        describe_machine(),
        {
            "plainfilm": __version__,
            **versions("keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "numpy", "pillow"),
        },
    )


def check_folder(folder: Path, plan: Plan) -> None:
    """Check that the folder is missing or empty, or that of a run with the same plan.

    Raises
    ------
    RunError
        If the folder has another run or other files in it.
    """
    if not folder.is_dir():
        return
    if not (folder / _FILE).exists():
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise RunError(
                f"{folder} is not empty and not a run",
                received=", ".join(others[:5]),
                remedy="choose an empty or new folder",
            )
        return
    old, new = (to_json(own.identity, complete=True) for own in (Plan.read(folder), plan))
    differing = _differences(old, new)
    if differing:
        raise RunError(
            f"{folder} holds another run",
            received="; ".join(differing[:4]),
            remedy="choose another folder with out=, or repeat the settings of that run to "
            "continue it",
        )


def claim_folder(folder: Path, plan: Plan) -> None:
    """Create the folder of a run and write its plan, unless the same plan is there.

    Raises
    ------
    RunError
        If the folder has another run or other files in it.
    StorageError
        If it cannot be written.
    """
    _files.make_folder(folder)
    check_folder(folder, plan)
    if not (folder / _FILE).exists():
        plan.write(folder)


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return a sentence for each difference between two plain values."""
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
