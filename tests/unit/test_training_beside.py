"""Work beside other work: waited for, and its errors stop the rest."""

from __future__ import annotations

import threading

import pytest

from plainfilm._progress import silent
from plainfilm.errors import ConfigError
from plainfilm.training.beside import Beside, Meanwhile


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


def test_meanwhile_begins_with_the_first_word_and_passes_all_on() -> None:
    told: list[tuple[str, int, int, str]] = []
    threads: list[int] = []

    def work() -> str:
        threads.append(threading.get_ident())
        return "done"

    meanwhile = Meanwhile(work, lambda *what: told.append(what))
    meanwhile.progress("training", 1, 2)
    meanwhile.progress("training", 2, 2, "note")
    assert meanwhile.wait() == meanwhile.wait() == "done"
    assert told == [("training", 1, 2, ""), ("training", 2, 2, "note")]
    assert len(threads) == 1 and threads[0] != threading.get_ident()


def test_meanwhile_without_any_step_does_it_when_it_is_asked() -> None:
    assert Meanwhile(threading.get_ident, lambda *_: None).wait() == threading.get_ident()


def test_meanwhile_raises_where_it_is_waited_for() -> None:
    def work() -> None:
        raise ValueError("no")

    meanwhile = Meanwhile(work, lambda *_: None)
    meanwhile.progress("training", 1, 2)
    with pytest.raises(ValueError, match="no"):
        meanwhile.wait()
