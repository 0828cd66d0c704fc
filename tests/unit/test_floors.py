"""Every requirement has a lower bound that is tested, and constraints.txt satisfies all of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OPTIONAL: dict[str, list[str]] = PROJECT["optional-dependencies"]
TEXTS = [*PROJECT["dependencies"], *(one for extra in OPTIONAL.values() for one in extra)]
REQUIREMENTS = [Requirement(text) for text in TEXTS]


def test_every_requirement_has_the_same_lower_bound_in_every_list() -> None:
    bounds: dict[str, set[str]] = {}
    for one in REQUIREMENTS:
        (bound,) = (part.version for part in one.specifier if part.operator == ">=")
        bounds.setdefault(canonicalize_name(one.name), set()).add(bound)
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def test_the_tested_versions_satisfy_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    tested = {canonicalize_name(name): version for name, version in pairs}
    for one in REQUIREMENTS:
        version = tested.get(canonicalize_name(one.name))
        assert version or one.name == "tensorflow", f"{one.name} is not in constraints.txt"
        assert version is None or version in one.specifier, one


def test_the_oldest_versions_are_read_from_the_project() -> None:
    command = [sys.executable, str(ROOT / "script" / "floors"), "train", "dicom", "serve"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = {one.name: str(one.specifier) for one in map(Requirement, done.stdout.splitlines())}
    texts = [*PROJECT["dependencies"], *OPTIONAL["train"], *OPTIONAL["dicom"], *OPTIONAL["serve"]]
    for one in map(Requirement, texts):
        assert printed[canonicalize_name(one.name)] == re.sub(">=", "==", str(one.specifier))
    assert printed["pytest"].startswith(">=") and "schemathesis" not in printed
