"""Proposes the next trial from the results of the others, with Optuna."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plainfilm._optional import require
from plainfilm.config import Recipe
from plainfilm.errors import ConfigError
from plainfilm.search.space import Setting, Space

_RECIPE = "recipe"
_ATTEMPTS = 20  # draws until a candidate is new


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe and the values of its settings, as TOML by the name of the setting."""

    base: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate that was tried: its score, NaN if it failed, None if it is still running."""

    candidate: Candidate
    score: float | None


def propose(space: Space, tried: Sequence[Tried], seed: int) -> Candidate | None:
    """Return a candidate whose recipe was not tried yet; None if there is none.

    The first are the unchanged recipes. The others are drawn by a tree-structured Parzen
    estimator (Optuna), at random at first. Values that are only valid without each other are not
    proposed. The same arguments give the same candidate.
    """
    unchanged = {one.candidate.base for one in tried if not one.candidate.values}
    for recipe in space.recipes:
        if recipe not in unchanged:
            return Candidate(recipe, {})
    before = [space.build(one.candidate.base, one.candidate.values) for one in tried]
    if (left := _few_left(space, before)) is not None:
        rng = np.random.default_rng([seed, len(tried)])
        return left[int(rng.integers(len(left)))] if left else None
    for attempt in range(_ATTEMPTS):
        numbers = np.random.SeedSequence([seed, len(tried), attempt]).generate_state(1)
        drawn = _draw(space, tried, int(numbers[0]), at_random=attempt > 0)
        if _is_new(space, drawn, before):
            return drawn
    return None


def _few_left(space: Space, before: Sequence[Recipe]) -> list[Candidate] | None:
    """Return the candidates that were not tried, or None if there are far more than were tried."""
    total = 0
    for recipe in space.recipes:
        counts = [own.count for own in space.of(recipe)]
        if None in counts:
            return None
        total += math.prod(count for count in counts if count is not None)
    if total > 2 * len(before):
        return None
    return [one for one in _all(space) if _is_new(space, one, before)]


def _all(space: Space) -> Iterator[Candidate]:
    for recipe in space.recipes:
        own = space.of(recipe)
        for values in itertools.product(*(one.values() for one in own)):
            yield Candidate(recipe, {s.name: v for s, v in zip(own, values, strict=True)})


def _is_new(space: Space, candidate: Candidate, before: Sequence[Recipe]) -> bool:
    """Return whether a candidate is valid and its recipe was not tried."""
    try:
        return space.build(candidate.base, candidate.values) not in before
    except ConfigError:
        return False


def _draw(space: Space, tried: Sequence[Tried], seed: int, *, at_random: bool) -> Candidate:
    """Return the proposal of Optuna for a study with these trials."""
    optuna = require("optuna", "search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samplers = optuna.samplers
        sampler = (
            samplers.RandomSampler(seed)
            if at_random
            else samplers.TPESampler(seed=seed, multivariate=False)
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for one in tried:
            # An unchanged recipe may be outside the space.
            if len(one.candidate.values) == len(space.of(one.candidate.base)):
                study.add_trial(_past(optuna, space, one))
        trial = study.ask()
        base = space.recipes[0]
        if len(space.recipes) > 1:
            base = trial.suggest_categorical(_RECIPE, list(space.recipes))
        values = {own.name: _suggest(trial, own) for own in space.of(base)}
    return Candidate(base, values)


def _suggest(trial: Any, own: Setting) -> str:
    if own.low is None or own.high is None:
        return str(trial.suggest_categorical(own.name, list(own.choices)))
    if own.integer:
        number = trial.suggest_int(own.name, int(own.low), int(own.high), log=own.log)
    else:
        number = trial.suggest_float(own.name, own.low, own.high, log=own.log)
    return own.to_text(number)


def _past(optuna: Any, space: Space, tried: Tried) -> Any:
    """Return a trial of the past, or one that is still running, for Optuna."""
    base, values = tried.candidate.base, tried.candidate.values
    params: dict[str, Any] = {}
    kinds: dict[str, Any] = {}
    if len(space.recipes) > 1:
        params[_RECIPE] = base
        kinds[_RECIPE] = optuna.distributions.CategoricalDistribution(space.recipes)
    for own in space.of(base):
        params[own.name], kinds[own.name] = _parameter(optuna, own, values[own.name])
    state = optuna.trial.TrialState
    known = tried.score is not None and math.isfinite(tried.score)
    return optuna.trial.create_trial(
        state=state.COMPLETE if known else state.RUNNING if tried.score is None else state.FAIL,
        value=tried.score if known else None,
        params=params,
        distributions=kinds,
    )


def _parameter(optuna: Any, own: Setting, text: str) -> tuple[Any, Any]:
    """Return the value and the distribution of a setting."""
    kinds = optuna.distributions
    if own.low is None or own.high is None:
        return text, kinds.CategoricalDistribution(own.choices)
    if own.integer:
        return int(text), kinds.IntDistribution(int(own.low), int(own.high), log=own.log)
    return float(text), kinds.FloatDistribution(own.low, own.high, log=own.log)
