"""A run's folder belongs to one plan; whoever comes with another learns what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plainfilm.config import load_recipe
from plainfilm.data import Manifest
from plainfilm.errors import RunError, StorageError
from plainfilm.records import Record, Task
from plainfilm.training.plan import SCHEMA, claim_folder, make_plan

TASK = Task("binary", ("sick",), ("well", "sick"))


def manifest(n: int = 4, name: str = "data") -> Manifest:
    records = tuple(
        Record(id=f"{i}.png", path=f"/somewhere/{i}.png", labels=(float(i % 2),), patient=f"p{i}")
        for i in range(n)
    )
    return Manifest(name, TASK, records)


def plan(*settings: str, data: Manifest | None = None, **changes: Any) -> dict[str, Any]:
    given: Mapping[str, Any] = {
        "seed": 0,
        "backend": "tensorflow",
        "precision": "float32",
        **changes,
    }
    return make_plan(load_recipe("swift", settings), data or manifest(), **given)


def test_a_plan_is_plain_and_says_what_the_weights_depend_on() -> None:
    made = plan()
    assert json.loads(json.dumps(made)) == made
    assert set(made["identity"]) == {"recipe", "seed", "manifest", "backend", "precision"}
    assert made["identity"]["manifest"] == manifest().hash
    assert made["dataset"]["images"] == 4
    assert "/somewhere" not in json.dumps(made)


def test_a_folder_is_claimed_once_and_again(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    claim_folder(folder, plan())
    before = (folder / "plan.json").read_bytes()
    assert json.loads(before)["schema"] == SCHEMA
    claim_folder(folder, plan())
    assert (folder / "plan.json").read_bytes() == before


def test_where_the_files_lie_and_the_machine_do_not_matter(tmp_path: Path) -> None:
    claim_folder(tmp_path, plan())
    moved = replace(
        manifest(name="renamed"),
        records=tuple(replace(r, path=f"/elsewhere/{r.id}") for r in reversed(manifest().records)),
    )
    other = plan(data=moved)
    other["machine"] = {"cores": 99}
    claim_folder(tmp_path, other)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (plan(seed=1), "seed was 0 and is 1"),
        (plan("epochs=99"), "recipe.fit.epochs was "),
        (plan("network.options.blocks=2"), "recipe.network.options.blocks was None and is 2"),
        (plan("rotation=77"), "recipe.augment.rotation was "),
        (plan(backend="jax"), "backend was 'tensorflow' and is 'jax'"),
        (plan(precision="bfloat16"), "precision was 'float32' and is 'bfloat16'"),
        (plan(data=manifest(5)), "the images, their labels or their splits differ"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, other: dict[str, Any], named: str) -> None:
    claim_folder(tmp_path, plan())
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(RunError, match="holds another run") as caught:
        claim_folder(tmp_path, other)
    assert named in str(caught.value.received)
    assert (tmp_path / "plan.json").read_bytes() == before


def test_many_differences_are_a_few(tmp_path: Path) -> None:
    claim_folder(tmp_path, plan())
    with pytest.raises(RunError) as caught:
        claim_folder(tmp_path, plan("augment=none", "epochs=99", seed=7))
    assert str(caught.value.received).count(" and is ") == 4


def test_a_folder_with_something_else_in_it(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "thesis.doc").write_bytes(b"")
    with pytest.raises(RunError, match="not empty and not a run") as caught:
        claim_folder(tmp_path, plan())
    assert caught.value.received == "thesis.doc"
    (tmp_path / "thesis.doc").unlink()
    claim_folder(tmp_path, plan())


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '{"schema": 1}'])
def test_a_damaged_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        claim_folder(tmp_path, plan())


def test_a_plan_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(
        json.dumps({**plan(), "schema": SCHEMA + 1}), encoding="utf-8"
    )
    with pytest.raises(RunError, match="another version"):
        claim_folder(tmp_path, plan())


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(StorageError, match="in the way"):
        claim_folder(tmp_path / "run", plan())
