"""Checks the values of a bundle's metadata that depend on each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from plainfilm._text import is_name, printable
from plainfilm.errors import ConfigError
from plainfilm.records import LONGEST_NAME, OperatingPoint, Recalibration, ScoreCounts, Task


def check_thresholds(
    task: Task,
    temperature: float,
    points: Sequence[OperatingPoint],
    indeterminate: Iterable[str],
) -> None:
    """Raise a ConfigError if the labels, temperature, points and ranges do not fit together."""
    if not 0 < temperature < float("inf"):
        raise ConfigError("the temperature must be a finite number above 0", received=temperature)
    _check_task(task)
    _check_names({point.name for point in points})
    _check_labels("an operating point", [point.label for point in points], task)
    twice = [key for key, n in Counter((o.label, o.name) for o in points).items() if n > 1]
    if twice:
        raise ConfigError("a label has two operating points of one name", received=twice[0])
    _check_labels("an indeterminate range", indeterminate, task)


def check_scores(task: Task, distributions: Mapping[str, ScoreCounts]) -> None:
    """Raise a ConfigError if the distributions of scores are not those of the labels."""
    _check_labels("a distribution of scores", distributions, task)
    for scores in distributions.values():
        _check_scores(scores, len(task.labels) if task.kind == "multiclass" else 2)


def _check_task(task: Task) -> None:
    if len(set(task.labels)) < len(task.labels) or len(set(task.classes)) < len(task.classes):
        raise ConfigError("labels and classes must differ", received=_listed(task.labels))
    if task.kind == "binary":
        right = len(task.classes) == 2 and task.labels == task.classes[1:]
    else:
        right = len(task.classes) >= 1 and task.labels == task.classes
    if not right:
        raise ConfigError(
            f"the labels do not fit the classes of a {task.kind} task",
            received=f"labels {_listed(task.labels)}; classes {_listed(task.classes)}",
        )


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not is_name(name, LONGEST_NAME):
            raise ConfigError(
                f"an operating point's name must have 1 to {LONGEST_NAME} printable characters",
                received=printable(repr(name)),
            )


def _check_labels(what: str, labels: Iterable[str], task: Task) -> None:
    unknown = [label for label in labels if label not in task.labels]
    if unknown:
        raise ConfigError(
            f"{what} is of a label that the task does not have",
            received=printable(repr(unknown[0])),
        )


def _check_scores(scores: ScoreCounts, classes: int) -> None:
    edges, bins = scores.edges, len(scores.edges) + 1
    if (
        [*edges] != sorted(set(edges))
        or len(scores.counts) != classes
        or len(scores.design_effects) != classes
        or any(len(row) != bins or min(row) < 0 for row in scores.counts)
        or not all(0 < effect < float("inf") for effect in scores.design_effects)
    ):
        raise ConfigError(
            "a distribution of scores has bins, counts and classes that do not fit together",
            received=f"{bins} bins; {len(scores.counts)} classes",
        )


def check_recalibration(found: Recalibration, labels: int) -> None:
    """Raise a ConfigError if a recalibration is not that of a number of labels."""
    values = (*found.slopes, *found.intercepts)
    if (
        len(found.slopes) != labels
        or len(found.intercepts) != labels
        or not all(abs(value) < float("inf") for value in values)
    ):
        raise ConfigError(
            "a recalibration needs a finite slope and intercept for each label",
            received=f"{len(found.slopes)} slopes, {len(found.intercepts)} intercepts",
        )


def _listed(names: Sequence[str]) -> str:
    return printable(", ".join(map(repr, names[:5]))) or "none"
