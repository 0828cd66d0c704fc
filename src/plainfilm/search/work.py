"""Runs the trials of a search: continues those that were left, and creates new ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from plainfilm._progress import Progress, silent
from plainfilm.search.choose import to_confirm
from plainfilm.search.document import SearchDocument, SearchPlan, Stage, Trial, TrialResult
from plainfilm.search.folder import Claim, SearchFolder
from plainfilm.search.propose import Candidate, Tried, propose
from plainfilm.search.trial import SEARCH, Options, run_trial

OnTrial = Callable[[Stage, TrialResult], None] | None
"""Called with the stage and the result of each trial that has finished."""

_WAIT = 0.2  # seconds


def work(
    root: Path,
    trials: int,
    options: Options,
    *,
    on_trial: OnTrial = None,
    progress: Progress = silent,
) -> None:
    """Run trials of a search until all are finished, also those that other processes left."""
    while run_next(root, trials, options, on_trial=on_trial, progress=progress):
        pass


def run_next(
    root: Path,
    trials: int,
    options: Options,
    *,
    on_trial: OnTrial = None,
    progress: Progress = silent,
) -> bool:
    """Run a trial that no other process runs; return False if all are finished.

    While other processes run all that is left, it waits.
    """
    folder = SearchFolder(root)
    plan = SearchDocument.read(root / SEARCH).plan
    while True:
        with folder.turn():
            found = _next(folder, plan, trials)
        if found == "end":
            return False
        if found == "wait":
            time.sleep(_WAIT)
            continue
        with found:
            result = run_trial(root, found.folder, options, progress, found.problem)
        if on_trial is not None:
            on_trial(found.stage, result)
        return True


def _next(folder: SearchFolder, plan: SearchPlan, count: int) -> Claim | Literal["wait", "end"]:
    """Return a trial to run, or whether to wait for other processes."""
    trials = folder.trials("search")
    if (claim := folder.claim(trials)) is not None:
        return claim
    results = {one.number: one for one in folder.results("search")}
    number = folder.free_number()
    if len(trials) < count and (new := _propose(plan, number, trials, results)) is not None:
        folder.create(new)
        return folder.claim([new]) or "wait"
    if len(results) < len(trials):
        return "wait"
    again = _confirmations(folder, trials, to_confirm([*results.values()], plan.objective))
    if (claim := folder.claim(again)) is not None:
        return claim
    finished = {one.number for one in folder.results("confirmation")}
    return "end" if all(trial.number in finished for trial in again) else "wait"


def _propose(
    plan: SearchPlan, number: int, trials: Sequence[Trial], results: Mapping[int, TrialResult]
) -> Trial | None:
    """Return the next trial, or None if there is no further candidate."""
    tried = [
        Tried(
            Candidate(trial.base, trial.values),
            results[trial.number].mean(plan.objective) if trial.number in results else None,
        )
        for trial in trials
    ]
    found = propose(plan.space, tried, plan.seed)
    if found is None:
        return None
    recipe = plan.space.build(found.base, found.values)
    return Trial(number, "search", found.base, found.values, recipe)


def _confirmations(
    folder: SearchFolder, trials: Sequence[Trial], chosen: Sequence[TrialResult]
) -> list[Trial]:
    """Return the trials that train the best ones again; new ones are written."""
    numbers = {one.number for one in chosen}
    again = [replace(own, stage="confirmation") for own in trials if own.number in numbers]
    known = {trial.number for trial in folder.trials("confirmation")}
    for trial in again:
        if trial.number not in known:
            folder.create(trial)
    return again
