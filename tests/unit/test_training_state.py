"""State and weights are read as they were written; damaged files are errors."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from plainfilm.errors import RunError
from plainfilm.training.fit import LinearSchedule
from plainfilm.training.state import (
    HISTORY,
    TrainingState,
    load_state,
    read_weights,
    save_state,
    weights_to_bytes,
)


def variables(seed: int = 0, width: int = 3) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        keras.Variable(rng.normal(size=(2, width)).astype(np.float32), name="kernel"),
        keras.Variable(rng.normal(size=(2, width)).astype(np.float32), name="kernel"),
        keras.Variable(np.float32(rng.normal()), name="factor"),
        keras.Variable(rng.integers(0, 2**31, 2), dtype="int32", trainable=False, name="seed"),
        keras.Variable(7 + seed, dtype="int64", trainable=False, name="iterations"),
    ]


def values(some: list[Any]) -> list[Any]:
    return [keras.ops.convert_to_numpy(variable) for variable in some]


def assert_same(a: list[Any], b: list[Any]) -> None:
    for left, right in zip(values(a), values(b), strict=True):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert np.array_equal(left, right)


def test_weights_are_restored_bit_by_bit() -> None:
    first, second = variables(0), variables(1)
    data = weights_to_bytes(first)
    read_weights(data, second, "the file")
    assert_same(first, second)
    assert weights_to_bytes(second) == data


def test_the_state_is_restored_with_its_progress(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    state = TrainingState(
        epoch=2,
        step=3,
        history=[dict.fromkeys(HISTORY, 0.0) | {"loss": 0.1 + 0.2, "val_auroc": float("nan")}],
        best_epoch=1,
        seconds=12.5,
        loss_sum=0.7,
        accuracy_sum=2.25,
    )
    first, second = variables(0), variables(1)
    save_state(path, first, state)
    back = load_state(path, second)
    assert_same(first, second)
    assert np.isnan(back.history[0].pop("val_auroc"))
    state.history[0].pop("val_auroc")
    assert back == state
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


def test_without_a_file_the_state_is_new(tmp_path: Path) -> None:
    some = variables()
    before = values(some)
    assert load_state(tmp_path / "none", some) == TrainingState()
    assert all(np.array_equal(a, b) for a, b in zip(before, values(some), strict=True))


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_damaged_file_is_an_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, variables(), TrainingState())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match="damaged"):
        load_state(path, variables())


def test_noise_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(RunError, match="damaged"):
        load_state(path, variables())


def test_weights_without_progress_are_not_a_state(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(weights_to_bytes(variables()))
    with pytest.raises(RunError):
        load_state(path, variables())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, variables(width=3), TrainingState(epoch=1))
    with pytest.raises(RunError, match="another network") as caught:
        load_state(path, variables(width=4))
    assert "kernel" in str(caught.value.received)
    with pytest.raises(RunError, match="another network"):
        load_state(path, variables()[:3])


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    total, rise, peak = 200, 30.0, 2e-3
    schedule = LinearSchedule(peak, rise, total)
    rates = np.array([float(keras.ops.convert_to_numpy(schedule(s))) for s in range(total)])
    assert 0 < rates[0] <= peak / 20
    assert rates.argmax() == 29
    assert rates.max() == pytest.approx(peak, rel=1e-5)
    assert (np.diff(rates[:30]) > 0).all()
    assert (np.diff(rates[29:]) < 0).all()
    np.testing.assert_allclose(np.diff(rates[:30]), peak / 30, rtol=1e-3)
    np.testing.assert_allclose(np.diff(rates[29:]), -peak / 171, rtol=1e-3)
    assert 0 < rates[-1] < peak / 100
    assert float(keras.ops.convert_to_numpy(schedule(total + 5))) == 0
    twin = LinearSchedule.from_config(schedule.get_config())
    assert float(keras.ops.convert_to_numpy(twin(11))) == pytest.approx(rates[11])


@pytest.mark.parametrize(("rise", "total"), [(1.0, 1), (1.0, 2), (1.5, 10)])
def test_short_trainings_have_positive_learning_rates(rise: float, total: int) -> None:
    schedule = LinearSchedule(1.0, rise, total)
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) > 0.6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"best_value": 0.5}, "another version"),
        ({"epoch": -1}, "impossible"),
        ({"step": True}, "impossible"),
        ({"best_epoch": 3}, "impossible"),
        ({"seconds": None}, "impossible"),
        ({"history": {}}, "impossible"),
        ({"history": [{"epoch": 1}]}, "impossible"),
        ({"history": [dict.fromkeys(HISTORY, "x")]}, "impossible"),
    ],
)
def test_a_state_that_cannot_be_continued_is_an_error_with_a_remedy(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    progress = asdict(TrainingState()) | changes
    data = weights_to_bytes(variables(), {"progress": json.dumps(progress)})
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(RunError, match=words) as error:
        load_state(tmp_path / "state", variables())
    assert error.value.remedy
