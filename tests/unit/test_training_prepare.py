"""What a training needs of its images comes from another process where this one is busy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thorax._progress import silent
from thorax.config import load_recipe
from thorax.data import load_dataset, part
from thorax.phantom import write_dataset
from thorax.training import prepare as module
from thorax.training.prepare import prepare


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this process did it")


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    write_dataset(tmp_path / "data", images={"train": 40}, size=32, seed=0)
    manifest = part(load_dataset(tmp_path / "data"), validation=0.2, test=0.2)
    recipe = load_recipe("swift", ["input.size=16"])
    cache = tmp_path / "cache"
    return {"manifest": manifest, "recipe": recipe, "cache": cache, "workers": 0}


def all_of(given: dict[str, Any], *, elsewhere: bool) -> list[Any]:
    places = {"cache": given["cache"], "workers": given["workers"]}
    return list(
        prepare(given["manifest"], given["recipe"], **places, elsewhere=elsewhere, progress=silent)
    )


def test_here_and_elsewhere_give_the_same(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = all_of(given, elsewhere=False)
    monkeypatch.setattr(module, "audit", refuse)
    there = all_of(given | {"cache": tmp_path / "other"}, elsewhere=True)
    assert here[0].findings == there[0].findings
    for (records, images), (others, pixels) in zip(here[1:], there[1:], strict=True):
        assert list(records.ids) == list(others.ids)
        assert len(records) > 0
        assert np.array_equal(images.all(), pixels.all())


def test_of_very_many_nothing_is_handed_over(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MANY", 39)
    monkeypatch.setattr(module, "audit", refuse)
    with pytest.raises(AssertionError, match="this process did it"):
        all_of(given, elsewhere=True)
