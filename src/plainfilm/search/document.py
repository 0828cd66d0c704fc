"""The documents of a search: ``search.json``, and those of each trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import ClassVar, Literal

from plainfilm._document import Document
from plainfilm._text import plural
from plainfilm.config import Recipe
from plainfilm.search.scoring import Scores
from plainfilm.search.space import Setting, Space

Objective = Literal["by_kind", "mixed"]
Origin = Literal["official", "drawn", "none"]
Stage = Literal["search", "confirmation"]
SCORE_NAMES = {"clean": "clean", "mixed": "mixed", "by_kind": "by kind"}
"""Names of the scores in texts."""

_AGAIN = "search again, into another folder"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The test set, which the search does not see.

    Attributes
    ----------
    images, patients
        Their numbers.
    hash
        Hash of the test set's manifest; empty without a test set.
    origin
        ``official``: given by the source. ``drawn``: the one that ``plainfilm train`` draws from
        the same data. ``none``: the data are divided and have no test set.
    """

    images: int
    patients: int
    hash: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What determines the trials of a search, besides their number.

    Attributes
    ----------
    dataset
        Name of the data set.
    manifest
        Hash of the images that the search sees.
    images, patients
        Their numbers.
    test
        The test set, which was removed before.
    recipes
        The recipes that the search begins with, by name.
    fixed
        Settings of all trials, ``key=value``.
    over
        Settings that vary.
    shift
        Column, or ``styles``, between whose groups the models are tested; None tests on folds.
    folds
        Number of folds by patient.
    objective
        The score that is maximised.
    seeds
        Number of trainings of a trial; with a shift, on each of its groups.
    seed
        Seed of the proposals, and the first seed of the trainings.
    backend
        Backend of Keras.
    """

    dataset: str
    manifest: str
    images: int
    patients: int
    test: HeldOut
    recipes: Mapping[str, Recipe]
    fixed: tuple[str, ...]
    over: tuple[Setting, ...]
    shift: str | None
    folds: int
    objective: Objective
    seeds: int
    seed: int
    backend: str | None

    @property
    def space(self) -> Space:
        """Return the candidates."""
        return Space(tuple(self.recipes), self.fixed, self.over)


@dataclass(frozen=True, slots=True)
class Training:
    """A training of a trial and its scores.

    Attributes
    ----------
    run
        Folder of the run, below that of the trial.
    part
        Images that it is tested on: a fold or the group of a shift.
    division
        Number of the division into folds, or of the validation set with a shift.
    seed
        Seed of the training.
    weight
        Its weight in means: the groups of a shift with three or more groups count by their pairs
        of a positive and a negative image, other parts count equally.
    scores
        AUROCs of the test images.
    seconds
        Seconds of the training loop.
    parameters
        Number of parameters of the network.
    """

    run: str
    part: str
    division: int
    seed: int
    weight: float
    scores: Scores
    seconds: float
    parameters: int | None


@dataclass(frozen=True, slots=True)
class Trial(Document):
    """What a trial trains: ``trial.json``."""

    SCHEMA: ClassVar[int] = 1
    REMEDY: ClassVar[str] = _AGAIN
    COMPLETE: ClassVar[bool] = True

    number: int
    stage: Stage
    base: str
    values: Mapping[str, str]
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class TrialResult(Document):
    """A finished trial: ``result.json``.

    Attributes
    ----------
    number
        Number of the trial, from 0.
    base
        Name of the recipe that it is based on.
    values
        Values of the settings that vary, as TOML; none for the unchanged recipe.
    trainings
        Its trainings; none if it failed.
    problem
        Why it failed.
    """

    SCHEMA: ClassVar[int] = 1
    REMEDY: ClassVar[str] = _AGAIN

    number: int
    base: str
    values: Mapping[str, str]
    trainings: tuple[Training, ...] = ()
    problem: str | None = None

    def mean(self, score: str) -> float:
        """Return the mean of a score over seeds and parts; NaN for a failed trial."""
        values = self.by_seed(score).values()
        return mean(values) if values else math.nan

    def by_seed(self, score: str) -> dict[int, float]:
        """Return the weighted mean of a score over the parts of each seed."""
        seeds: dict[int, list[Training]] = {}
        for one in self.trainings:
            seeds.setdefault(one.seed, []).append(one)
        return {
            seed: sum(one.weight * getattr(one.scores, score) for one in own)
            / sum(one.weight for one in own)
            for seed, own in seeds.items()
        }

    @property
    def seconds(self) -> float:
        """Return the mean seconds of a training; NaN for a failed trial."""
        return mean(one.seconds for one in self.trainings) if self.trainings else math.nan

    @property
    def name(self) -> str:
        """Return the values in words."""
        if not self.values:
            return f"{self.base}, unchanged"
        own = [f"{key.partition(': ')[2] or key}={text}" for key, text in self.values.items()]
        return f"{self.base}, {', '.join(own)}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The trial that was chosen, and why.

    Attributes
    ----------
    trial
        Its number.
    best
        The number of the trial with the largest mean on fresh seeds.
    ties
        Numbers of all trials that are not worse than it by more than the spread over seeds.
    search_score
        Mean of the objective in the search, which is optimistic.
    fresh_score
        Mean of the objective on fresh seeds and divisions.
    fresh_spread
        Standard deviation of the objective over the fresh trainings.
    reason
        The choice in words.
    """

    trial: int
    best: int
    ties: tuple[int, ...]
    search_score: float
    fresh_score: float
    fresh_spread: float
    reason: str


@dataclass(frozen=True, slots=True)
class SearchDocument(Document):
    """A search: ``search.json``.

    Attributes
    ----------
    plan
        What determines the trials.
    trials
        The trials, in their order; none until the search has ended.
    confirmations
        The best trials and the unchanged recipes again, with fresh seeds and divisions.
    choice
        What was chosen; None until the search has ended.
    synthetic
        Whether there are images among them that plainfilm has drawn.
    """

    SCHEMA: ClassVar[int] = 1
    REMEDY: ClassVar[str] = _AGAIN

    plan: SearchPlan
    trials: tuple[TrialResult, ...] = ()
    confirmations: tuple[TrialResult, ...] = ()
    choice: Choice | None = None
    synthetic: bool = False

    def trial(self, number: int) -> TrialResult:
        """Return the trial with a number."""
        return next(one for one in self.trials if one.number == number)


def held_out_words(plan: SearchPlan) -> str:
    """Return what the test set did, as a sentence without a full stop."""
    images = plural(plan.test.images, "image")
    return {
        "official": f"{images} of the test set took no part",
        "drawn": f"{images} took no part: the test set that plainfilm train draws from these data",
        "none": "the data have no test set",
    }[plan.test.origin]
