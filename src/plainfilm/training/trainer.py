"""Defines what every way of training provides, and what it receives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from plainfilm._progress import Progress
from plainfilm.bundle import Bundle, PretrainedWeights, Provenance
from plainfilm.config import Recipe
from plainfilm.records import Task
from plainfilm.training.distil import Teacher
from plainfilm.training.plan import Plan
from plainfilm.training.training_images import SplitImages


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What is trained, on which images, and the folder of the run.

    ``cache`` and ``workers`` are those of `plainfilm.train`.
    """

    recipe: Recipe
    task: Task
    seed: int
    folder: Path
    training: SplitImages
    validation: SplitImages
    cache: str | Path | None
    workers: int | None
    teacher: Teacher | None = None


class Trainer(Protocol):
    """A way of training.

    Attributes
    ----------
    backend, precision
        What computes, and with which numbers; both are part of the identity of a run.
    pretrained
        The weights from which the training starts, also part of the identity; None if random.
    inherited
        Weights that these go back to.
    starts_slowly
        Whether `start` takes seconds, so that a subprocess decodes images at the same time.
    """

    backend: str
    precision: str
    pretrained: PretrainedWeights | None
    inherited: tuple[PretrainedWeights, ...]
    starts_slowly: bool

    def start(
        self, recipe: Recipe, task: Task, progress: Progress, plan: Plan | None = None
    ) -> None:
        """Load what training needs, and raise a ConfigError for an option that is wrong.

        Only training on several processes needs the ``plan``, which these compare.
        """

    def train(self, work: Work, provenance: Provenance, progress: Progress) -> Bundle:
        """Train and write the bundle of the run; ``provenance`` lacks what training finds."""

    def close(self) -> None:
        """End the processes that `start` has started."""
