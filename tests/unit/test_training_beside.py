"""Work beside other work: waited for, and its errors stop the rest."""

from __future__ import annotations

import threading

import pytest

from thorax._progress import silent
from thorax.errors import ConfigError
from thorax.training.beside import Beside


def failing() -> None:
    raise ConfigError("the network cannot be")


def test_both_go_on_at_once() -> None:
    met = threading.Barrier(2, timeout=10)
    beside = Beside(met.wait)
    met.wait()  # passes only if the work runs while this waits
    beside.wait()


def test_what_it_raises_comes_out_of_wait() -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        Beside(failing).wait()


def test_what_it_raises_stops_the_rest_at_its_next_step() -> None:
    beside = Beside(failing)
    with pytest.raises(ConfigError):
        beside.wait()
    told: list[str] = []
    progress = beside.watched(lambda stage, done, total, note="": told.append(stage))
    with pytest.raises(ConfigError):
        progress("decoding images", 1, 2)
    assert told == []


def test_progress_is_passed_on_while_all_is_well() -> None:
    told: list[tuple[str, int, int, str]] = []
    beside = Beside(lambda: None)
    progress = beside.watched(lambda *what: told.append(what))  # type: ignore[arg-type]
    progress("decoding images", 1, 2, "9/s")
    beside.wait()
    assert told == [("decoding images", 1, 2, "9/s")]
    beside.watched(silent)("decoding images", 2, 2)
