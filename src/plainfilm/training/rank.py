"""The process of one rank of a training on several processes, which `ranks` starts."""

from __future__ import annotations

import os
import pickle
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plainfilm._json import to_json
from plainfilm.bundle import Provenance, read_bundle
from plainfilm.config import Recipe
from plainfilm.decoding.sandbox import open_output
from plainfilm.errors import PlainfilmError
from plainfilm.records import Task
from plainfilm.runtime import Predictor
from plainfilm.training.distil import Teacher
from plainfilm.training.group import join
from plainfilm.training.keras_trainer import KerasTrainer
from plainfilm.training.plan import Plan
from plainfilm.training.trainer import Work

WAIT = "wait"
"""Request to wait until rank 0 has decoded the images."""
_DECODED = "decoded"
_INTERVAL = 0.05  # seconds between two progress messages of one stage
_LOST = re.compile(r"gloo|heartbeat|connection|unavailable|coordination", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Seat:
    """Which rank a process is, and what it trains.

    ``here`` is the number of ranks on this machine, and ``recipe`` has the folders of files of
    weights, unlike that of the ``plan``.
    """

    rank: int
    here: int
    device: int
    coordinator: str
    recipe: Recipe
    task: Task
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The images of a training; ``teacher`` is the folder of the teacher and its columns."""

    work: Work
    provenance: Provenance | None
    teacher: tuple[Path, tuple[int, ...]] | None

    @classmethod
    def of(cls, work: Work, provenance: Provenance | None) -> Assignment:
        """Return an assignment that can be sent: each rank opens the teacher itself."""
        own = work.teacher
        teacher = None if own is None else (own.bundle.folder, own.columns)
        return cls(replace(work, teacher=None), provenance, teacher)

    def open(self) -> Work:
        """Return the work with the teacher."""
        if self.teacher is None:
            return self.work
        folder, columns = self.teacher
        predictor = Predictor(read_bundle(folder), threads=1)
        return replace(self.work, teacher=Teacher(predictor, columns))


def serve() -> None:
    """Train as the rank that standard input names: the main function of the process."""
    output, lock = open_output(), threading.Lock()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(kind: str, content: Any = None) -> None:
        with lock:
            pickle.dump((kind, content), output)
            output.flush()

    threading.Thread(target=_receive, args=(inbox,), daemon=True).start()
    try:
        _train(inbox.get, send)
        send("end")
    except PlainfilmError as error:
        send("error", error)
    except Exception as error:
        lost = _LOST.search(str(error)) is not None
        send("lost" if lost else "bug", str(error) if lost else traceback.format_exc())
        time.sleep(60)  # the starting process ends this one when it knows which rank is lost
    finally:
        os._exit(0)  # an orderly exit would wait for ranks that are lost


def _receive(inbox: queue.SimpleQueue[Any]) -> None:
    """Receive requests, and end this process when the starting process closes our input or dies."""
    try:
        while True:
            inbox.put(pickle.load(sys.stdin.buffer))
    except (OSError, EOFError, pickle.UnpicklingError):
        os._exit(1)


def _train(receive: Callable[[], Any], send: Callable[..., None]) -> None:
    """Join the other ranks and train with them."""
    seat: Seat = receive()
    last: tuple[str, float] = ("", 0.0)

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if stage != last[0] or done == total or now - last[1] > _INTERVAL:
            last = stage, now
            send("progress", (stage, done, total, note))

    identity, ranks = seat.plan.identity, seat.plan.identity.ranks
    progress("joining", 0, 1, f"{ranks} ranks at {seat.coordinator}")
    statement = {**to_json(identity, complete=True), "versions": dict(seat.plan.versions)}
    group = join(
        seat.rank, ranks, seat.coordinator, device=seat.device, here=seat.here, identity=statement
    )
    progress("joining", 1, 1)
    trainer = KerasTrainer(seat.recipe, identity.backend, identity.precision, group)
    trainer.start(identity.recipe, seat.task, progress)
    send("ready")
    request = receive()
    if request == WAIT:
        group.wait_for(_DECODED)
        send(_DECODED)
        request = receive()
    if seat.rank == 0:
        group.announce(_DECODED)
    work = request.open()
    parts = work.training.records.hash, work.validation.records.hash
    group.compare("images", {"manifest": " ".join(parts)})
    if seat.rank == 0:
        trainer.train(work, request.provenance, progress)
    else:
        trainer.assist(work, progress)
