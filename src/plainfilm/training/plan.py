"""The plan of a run, ``plan.json``: a recipe resolved against the data and the machine."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from plainfilm import __version__, _files
from plainfilm._document import Document
from plainfilm._json import to_json
from plainfilm._machine import Machine, describe_machine, versions
from plainfilm.bundle import PretrainedWeights
from plainfilm.config import Recipe
from plainfilm.data import Manifest
from plainfilm.data.counts import Description
from plainfilm.errors import RunError

PLAN = "plan.json"


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
    pretrained
        The weights from which the training starts; None if they are random.
    ranks
        Number of processes that train together.
    """

    recipe: Recipe
    seed: int | tuple[int, ...]
    manifest: str
    backend: str
    precision: str
    members: tuple[str, ...] = ()
    pretrained: PretrainedWeights | None = None
    ranks: int = 1


@dataclass(frozen=True, slots=True)
class Plan(Document):
    """The plan of a run."""

    SCHEMA: ClassVar[int] = 2
    REMEDY: ClassVar[str] = "train again, into another folder"
    COMPLETE: ClassVar[bool] = True

    identity: Identity
    dataset: Description
    machine: Machine
    versions: Mapping[str, str]


def make_plan(
    recipe: Recipe,
    manifest: Manifest,
    *,
    seed: int,
    backend: str,
    precision: str,
    pretrained: PretrainedWeights | None = None,
    ranks: int = 1,
) -> Plan:
    """Return the plan of a run."""
    identity = Identity(
        recipe, seed, manifest.hash, backend, precision, pretrained=pretrained, ranks=ranks
    )
    others = versions("keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "numpy", "pillow")
    own = {"plainfilm": __version__}
    return Plan(identity, manifest.describe(), describe_machine(), own | others)


def check_folder(folder: Path, plan: Plan) -> None:
    """Raise a RunError unless the folder is missing, empty or that of a run with the same plan."""
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            raise _files.explain_oserror(FileExistsError(errno.EEXIST, "it exists"), folder)
        return
    if not (folder / PLAN).exists():
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise RunError(
                f"{folder} is not empty and not a run",
                received=", ".join(others[:5]),
                remedy="choose an empty or new folder",
            )
        return
    old, new = (to_json(own.identity, complete=True) for own in (Plan.read(folder / PLAN), plan))
    differing = differences(old, new)
    if differing:
        raise RunError(
            f"{folder} holds another run",
            received="; ".join(differing[:4]),
            remedy="choose another folder with out=, or repeat the settings of that run to "
            "continue it",
        )


def claim_folder(folder: Path, plan: Plan) -> None:
    """Create the folder of a run and write its plan, unless the same plan is there."""
    _files.make_folder(folder)
    check_folder(folder, plan)
    if not (folder / PLAN).exists():
        plan.write(folder / PLAN)


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return a sentence for each difference between two plain values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in dict.fromkeys([*old, *new])
            for line in differences(old.get(key), new.get(key), f"{where}.{key}".strip("."))
        ]
    if old == new:
        return []
    if where == "manifest":
        return ["the images, their labels or their splits differ"]
    return [f"{where} was {old!r} and is {new!r}"]
