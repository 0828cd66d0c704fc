"""The folder of a search: which trials exist, and which process runs which.

A folder of a trial is its record: ``trial.json`` says what to train and ``result.json`` that it is
finished. A process that runs a trial holds its lock, which the system releases when the process
ends in any way. So several processes work on one folder without another channel.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm._files import write_text
from plainfilm._text import plural
from plainfilm.errors import RunError, StorageError
from plainfilm.search.document import Stage, Trial, TrialResult
from plainfilm.search.trial import RESULT, TRIAL
from plainfilm.training.lock import FolderLock

FOLDERS: dict[Stage, str] = {"search": "trials", "confirmation": "confirmation"}
_ATTEMPTS = "attempts"
_MOST_ATTEMPTS = 3  # processes that ended without a result
_WAIT = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that this process runs until the lock is released."""

    stage: Stage
    folder: Path
    lock: FolderLock

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt | StorageError):
            (self.folder / _ATTEMPTS).unlink(missing_ok=True)  # the trial did not fail
        self.lock.release()


class SearchFolder:
    """The trials of a search in its folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other process claims or creates a trial, and keep others waiting."""
        while True:
            try:
                lock = FolderLock(self.root)
                break
            except RunError:  # another process has its turn, which is short
                time.sleep(_WAIT)
        with lock:
            yield

    def trials(self, stage: Stage) -> list[Trial]:
        """Return the trials of a stage, by number."""
        paths = sorted((self.root / FOLDERS[stage]).glob(f"*/{TRIAL}"))
        return sorted((Trial.read(path) for path in paths), key=lambda trial: trial.number)

    def results(self, stage: Stage) -> list[TrialResult]:
        """Return the finished trials of a stage, by number."""
        paths = sorted((self.root / FOLDERS[stage]).glob(f"*/{RESULT}"))
        return sorted((TrialResult.read(path) for path in paths), key=lambda one: one.number)

    def all_results(self) -> Iterator[tuple[Stage, TrialResult]]:
        """Yield the results of both stages."""
        for stage in FOLDERS:
            yield from ((stage, result) for result in self.results(stage))

    def folder_of(self, trial: Trial) -> Path:
        """Return the folder of a trial."""
        return self.root / FOLDERS[trial.stage] / f"{trial.number:04d}"

    def create(self, trial: Trial) -> None:
        """Write a new trial, which no process runs yet."""
        trial.write(self.folder_of(trial) / TRIAL)

    def forget_attempts(self) -> None:
        """Count processes that were ended on request as no failed attempts."""
        for path in self.root.glob(f"*/*/{_ATTEMPTS}"):
            path.unlink(missing_ok=True)

    def claim(self, trials: Sequence[Trial]) -> Claim | None:
        """Return one of the unfinished trials that no other process runs, or None.

        A trial whose processes ended three times without a result, as for lack of memory, gets a
        result with that problem.
        """
        for trial in trials:
            folder = self.folder_of(trial)
            if (folder / RESULT).exists():
                continue
            try:
                lock = FolderLock(folder)
            except RunError:
                continue
            path = folder / _ATTEMPTS
            attempts = int(path.read_text(encoding="ascii")) if path.exists() else 0
            if attempts < _MOST_ATTEMPTS:
                write_text(path, str(attempts + 1))
                return Claim(trial.stage, folder, lock)
            problem = f"{plural(attempts, 'process', 'processes')} ended while running it"
            result = TrialResult(trial.number, trial.base, trial.values, problem=problem)
            result.write(folder / RESULT)
            lock.release()
        return None
