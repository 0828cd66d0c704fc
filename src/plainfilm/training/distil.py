"""Distillation: a student learns from the labels and from the predictions of a teacher.

Student and teacher receive the same augmented images. They are augmented on the host, and the
teacher predicts on them in background threads, while the student learns from earlier ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm._machine import cores
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.config import Recipe
from plainfilm.errors import ConfigError
from plainfilm.records import Task
from plainfilm.runtime import Predictor

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A bundle that a network learns from. ``columns`` are those of the labels of the student."""

    predictor: Predictor
    columns: tuple[int, ...]

    @property
    def bundle(self) -> Bundle:
        """Return the bundle of the teacher."""
        return self.predictor.bundle

    def log_odds(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the log odds (n, labels) of images, for several classes the logits of softmax."""
        found = self.predictor.log_odds(images)[:, self.columns]
        return found.astype(np.float32)


def open_teacher(recipe: Recipe, task: Task) -> tuple[Recipe, Teacher | None]:
    """Return a recipe with the id of its teacher instead of the path, and the teacher.

    Raises
    ------
    ConfigError
        If no teacher is given, or it has other pixels or labels.
    BundleError
        If the teacher is not a bundle.
    """
    if recipe.distil is None:
        return recipe, None
    if not recipe.distil.teacher:
        raise ConfigError(
            f"the recipe {recipe.name} needs a teacher",
            remedy="give a bundle or run with --teacher, or as the setting distil.teacher",
        )
    bundle = read_bundle(recipe.distil.teacher)
    if bundle.pixels != recipe.input:
        differing = [
            f"{name}: {own!r} of the teacher, {getattr(recipe.input, name)!r} of the recipe"
            for name in recipe.input.__slots__
            if (own := getattr(bundle.pixels, name)) != getattr(recipe.input, name)
        ]
        raise ConfigError(
            "teacher and student must receive the same images",
            received="; ".join(differing),
            remedy="set these keys of [input] to those of the teacher",
        )
    columns = _columns(bundle.task, task)
    sealed = replace(recipe, distil=replace(recipe.distil, teacher=bundle.id))
    return sealed, Teacher(Predictor(bundle, threads=1), columns)


def _columns(teacher: Task, task: Task) -> tuple[int, ...]:
    """Return the column of each label in the predictions of the teacher."""
    several = "multiclass" in (teacher.kind, task.kind)
    if several and (teacher.kind != task.kind or {*teacher.labels} != {*task.labels}):
        raise ConfigError(
            "the classes of teacher and data must be the same",
            received=f"{teacher.kind} with {', '.join(teacher.labels)}; "
            f"the data are {task.kind} with {', '.join(task.labels)}",
            remedy="train the teacher on data with the same classes",
        )
    missing = [label for label in task.labels if label not in teacher.labels]
    if missing:
        raise ConfigError(
            f"the teacher does not predict {', '.join(missing)}",
            received=f"labels of the teacher: {', '.join(teacher.labels)}",
            remedy="give a teacher for all labels of the data",
        )
    return tuple(map(teacher.labels.index, task.labels))


def map_ahead(function: Callable[[S], T], items: Iterator[S]) -> Iterator[T]:
    """Yield the results for some items in order, computed ahead in one thread for each core."""
    from threadpoolctl import threadpool_limits

    workers = cores()
    pool, waiting = ThreadPoolExecutor(workers), deque[Future[T]]()
    limits = threadpool_limits(1, "blas")  # augmentation multiplies small matrices
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        limits.restore_original_limits()
