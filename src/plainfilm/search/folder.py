"""The folder of a search: which trials exist, and which process runs which.

A folder of a trial is its record: ``trial.json`` says what to train and ``result.json`` that it is
finished. A process that runs a trial holds its lock, which the system releases when the process
ends in any way. So several processes work on one folder without another channel.
"""

from __future__ import annotations

import contextlib
import itertools
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
from plainfilm.training.plan import PLAN

FOLDERS: dict[Stage, str] = {"search": "trials", "confirmation": "confirmation"}
_ATTEMPTS = "attempts"
_MOST_ATTEMPTS = 3  # processes that ended without a result, one after the other
_PROGRESS = ("*/state.safetensors", "*/bundle")  # what a training writes when it advances
_WAIT = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that this process runs until the lock is released.

    With a ``problem`` it is not run: its processes ended again and again.
    """

    stage: Stage
    folder: Path
    lock: FolderLock
    problem: str | None = None

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        ran = self.problem is None
        if ran and (kind is None or issubclass(kind, KeyboardInterrupt | StorageError)):
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
        return [Trial.read(folder / TRIAL) for folder in self._folders(stage)]

    def results(self, stage: Stage) -> list[TrialResult]:
        """Return the finished trials of a stage, by number."""
        paths = [folder / RESULT for folder in self._folders(stage)]
        return [TrialResult.read(path) for path in paths if path.exists()]

    def _folders(self, stage: Stage) -> list[Path]:
        """Return the folders of trials, by number; others, such as copies, do not count."""
        paths = (self.root / FOLDERS[stage]).glob(f"*/{TRIAL}")
        own = [path.parent for path in paths if path.parent.name.isdecimal()]
        return sorted(own, key=lambda folder: int(folder.name))

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

    def free_number(self) -> int:
        """Return the first number that no trial has, nor anything that is left of a removed one."""
        return next(
            number
            for number in itertools.count()
            if not any(
                [*(self.root / FOLDERS[stage] / f"{number:04d}").glob(name)]
                for stage in FOLDERS
                for name in (TRIAL, RESULT, f"*/{PLAN}")
            )
        )

    def forget_attempts(self) -> None:
        """Count processes that were ended on request as no failed attempts."""
        for path in self.root.glob(f"*/*/{_ATTEMPTS}"):
            if not path.with_name(RESULT).exists():
                path.unlink(missing_ok=True)

    def try_again(self) -> None:
        """Let the trials that failed because their processes ended be tried once more."""
        for path in self.root.glob(f"*/*/{_ATTEMPTS}"):
            result = path.with_name(RESULT)
            if result.exists() and TrialResult.read(result).problem:
                write_text(path, "x" * (_MOST_ATTEMPTS - 1))
                result.unlink()

    def claim(self, trials: Sequence[Trial]) -> Claim | None:
        """Return one of the unfinished trials that no other process runs, or None.

        A trial has a problem if three processes, one after the other, ended without a result and
        without progress, as for lack of memory.
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
            attempts = _attempts(path)
            if attempts < _MOST_ATTEMPTS:
                write_text(path, "x" * (attempts + 1))
                return Claim(trial.stage, folder, lock)
            problem = (
                f"{plural(attempts, 'process', 'processes')} ended while running it; the same "
                "command tries it again"
            )
            return Claim(trial.stage, folder, lock, problem)
        return None


def _attempts(path: Path) -> int:
    """Return the number of processes that ended since a training of the trial advanced.

    It is the size of the file, so that no content is wrong.
    """
    with contextlib.suppress(FileNotFoundError):
        last = path.stat()
        advanced = [own for name in _PROGRESS for own in path.parent.glob(name)]
        if all(own.stat().st_mtime_ns <= last.st_mtime_ns for own in advanced):
            return last.st_size
    return 0
