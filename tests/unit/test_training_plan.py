"""The folder of a run has one plan; for another plan the error names the differences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from plainfilm.config import load_recipe
from plainfilm.data import Manifest
from plainfilm.errors import RunError, StorageError
from plainfilm.records import Record, Task
from plainfilm.training import open_run
from plainfilm.training.plan import PLAN, Plan, check_folder, claim_folder, make_plan

TASK = Task("binary", ("sick",), ("well", "sick"))


def manifest(n: int = 4, name: str = "data") -> Manifest:
    records = tuple(
        Record(id=f"{i}.png", path=f"/somewhere/{i}.png", labels=(float(i % 2),), patient=f"p{i}")
        for i in range(n)
    )
    return Manifest(name, TASK, records)


def plan(*settings: str, data: Manifest | None = None, **changes: Any) -> Plan:
    given: Mapping[str, Any] = {
        "seed": 0,
        "backend": "tensorflow",
        "precision": "float32",
        **changes,
    }
    return make_plan(load_recipe("swift", settings), data or manifest(), **given)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = plan("network.options.channels=[16, 16]")
    written.write(tmp_path / PLAN)
    assert Plan.read(tmp_path / PLAN) == written
    text = (tmp_path / "plan.json").read_text(encoding="utf-8")
    assert json.loads(text)["schema"] == Plan.SCHEMA
    assert "/somewhere" not in text


def test_the_identity_is_what_the_weights_depend_on() -> None:
    identity = plan().identity
    assert {field.name for field in fields(identity)} == {
        *("recipe", "seed", "manifest", "backend", "precision", "members", "pretrained", "ranks")
    }
    assert identity.manifest == manifest().hash
    assert plan().dataset.images == 4


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    check_folder(folder, plan())
    assert not folder.exists()
    claim_folder(folder, plan())
    before = (folder / "plan.json").read_bytes()
    claim_folder(folder, plan())
    assert (folder / "plan.json").read_bytes() == before


def test_options_given_as_tuples_are_the_same_plan(tmp_path: Path) -> None:
    recipe = load_recipe("swift", ["network.options.channels=[16, 16]"])
    network = replace(recipe.network, options={**recipe.network.options, "channels": (16, 16)})
    arguments: Any = {"seed": 0, "backend": "tensorflow", "precision": "float32"}
    claim_folder(tmp_path, make_plan(replace(recipe, network=network), manifest(), **arguments))
    claim_folder(tmp_path, make_plan(recipe, manifest(), **arguments))


def test_paths_and_the_machine_do_not_matter(tmp_path: Path) -> None:
    claim_folder(tmp_path, plan())
    moved = replace(
        manifest(name="renamed"),
        records=tuple(replace(r, path=f"/moved/{r.id}") for r in reversed(manifest().records)),
    )
    other = plan(data=moved)
    claim_folder(tmp_path, replace(other, machine=replace(other.machine, cores=99)))


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
def test_differences_are_named(tmp_path: Path, other: Plan, named: str) -> None:
    claim_folder(tmp_path, plan())
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(RunError, match="holds another run") as caught:
        claim_folder(tmp_path, other)
    assert named in str(caught.value.received)
    assert (tmp_path / "plan.json").read_bytes() == before


def test_at_most_four_differences_are_named(tmp_path: Path) -> None:
    claim_folder(tmp_path, plan())
    with pytest.raises(RunError) as caught:
        claim_folder(tmp_path, plan("augment=none", "epochs=99", seed=7))
    assert str(caught.value.received).count(" and is ") == 4


def test_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "thesis.doc").write_bytes(b"")
    with pytest.raises(RunError, match="not empty and not a run") as caught:
        claim_folder(tmp_path, plan())
    assert caught.value.received == "thesis.doc"
    (tmp_path / "thesis.doc").unlink()
    claim_folder(tmp_path, plan())


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", f'{{"schema": {Plan.SCHEMA}}}'])
def test_a_damaged_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"plan\.json"):
        claim_folder(tmp_path, plan())


@pytest.mark.parametrize(
    ("schema", "remedy"), [(1, "train again"), (Plan.SCHEMA + 1, "upgrade plainfilm")]
)
def test_a_plan_of_another_version(tmp_path: Path, schema: int, remedy: str) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"schema": schema, "key": 1}), encoding="utf-8")
    with pytest.raises(RunError, match="cannot read") as caught:
        claim_folder(tmp_path, plan())
    assert str(caught.value.remedy).startswith(remedy)


def test_a_folder_without_a_plan(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunError, match="not the folder of a run"):
            open_run(folder)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(StorageError, match="in the way"):
        claim_folder(tmp_path / "run", plan())
