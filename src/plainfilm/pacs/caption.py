"""Words the caption of a capture, and chooses the label of its heat map.

The heat map of a label is divided by its largest value, so an image without a finding would have
colours as strong as one with a finding. A capture has colours for a present or undetermined label
only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from plainfilm.data.sources.classes.names import is_negative_name
from plainfilm.pacs.lettering import is_drawable
from plainfilm.pacs.results import AnsweredImage, Evaluation, Model, State, decimals
from plainfilm.pixels.prepare import Box
from plainfilm.prediction import Prediction

__all__ = ["Line", "caption", "choose_label"]

MOST_LABELS = 8
"""Labels that have a line of their own; the report has all."""
LONGEST_NAME = 80
"""Characters of a label in a caption."""

_ORDER: tuple[State, ...] = ("present", "undetermined", "absent")


@dataclass(frozen=True, slots=True)
class Line:
    """One paragraph of a caption."""

    text: str
    is_bold: bool = False
    is_small: bool = False
    has_scale: bool = False  # whether the scale of colours precedes it
    has_gap: bool = False  # whether it has some distance from the line before


def choose_label(model: Model, prediction: Prediction) -> str | None:
    """Return the label whose heat map a capture shows, or None if it shows none.

    That is the most probable of the present labels, or else of the undetermined ones, without those
    that deny a finding, such as ``normal``. A rejected image, and one without such a label, has
    none.
    """
    if prediction.reason is not None:
        return None
    for one in _ordered(model, prediction):
        if one.state != "absent" and not is_negative_name(one.label):
            return one.label
    return None


def caption(model: Model, image: AnsweredImage) -> list[Line]:
    """Return the caption of an image that has a prediction."""
    assert image.prediction is not None
    evaluations = _ordered(model, image.prediction)
    lines = [
        Line(_words(model, one), is_bold=one.state == "present")
        for one in evaluations[:MOST_LABELS]
    ]
    if hidden := evaluations[MOST_LABELS:]:
        states = Counter(one.state for one in hidden)
        counts = ", ".join(f"{states[state]} {state}" for state in _ORDER if states[state])
        lines.append(Line(f"and {len(hidden)} more ({counts}): see the report"))
    label, has_map = choose_label(model, image.prediction), image.heatmap is not None
    if label is None:
        text = "No colours: no finding is present or undetermined."
    elif has_map:
        name = _name(model, label)
        text = f"The colours show what the network used for {name}, not where disease is."
    else:
        text = "No colours: this model has no heat map."
    seen = _seen_share(image.region)
    part = f"The network saw {seen:.0%} of the image; the rest was cut off."
    return [
        *lines,
        Line("Research only. Not for diagnosis.", is_bold=True, has_gap=True),
        Line(model.origin, is_small=True),
        Line(text, is_small=True, has_scale=has_map and label is not None),
        *([Line(part, is_small=True)] if seen < 0.995 else []),
        Line(
            f"Model {model.name}, bundle {model.bundle_id[:8]}, plainfilm {model.version}",
            is_small=True,
        ),
    ]


def _seen_share(region: Box) -> float:
    """Return the share of the area of an image that is in a region, 0 to 1."""
    left, top, right, bottom = region
    return max(0.0, min(right, 1) - max(left, 0)) * max(0.0, min(bottom, 1) - max(top, 0))


def _ordered(model: Model, prediction: Prediction) -> Sequence[Evaluation]:
    """Return the evaluations, present labels first, and the most probable first among equals."""
    return sorted(
        model.evaluate(prediction), key=lambda one: (_ORDER.index(one.state), -one.probability)
    )


def _words(model: Model, one: Evaluation) -> str:
    name, probability = _name(model, one.label), _rounded(one.probability)
    if model.task.kind == "multiclass":
        state = {"present": "predicted, ", "undetermined": "undetermined, ", "absent": ""}
        return f"{name}: {state[one.state]}probability {probability}"
    if one.point is None:
        return f"{name}: undetermined, probability {probability} (no threshold)"
    limits, rule = [one.point.threshold], f"threshold {{}}, {one.point.name}"
    if one.state == "undetermined" and (found := model.indeterminate.get(one.label)):
        limits, rule = [found.low, found.high], "indeterminate range {} to {}"
    count = decimals(2, one.probability, *limits)
    rule = rule.format(*(f"{limit:.{count}f}" for limit in limits))
    return f"{name}: {one.state}, probability {_rounded(one.probability, count)} ({rule})"


def _rounded(value: float, count: int = 2) -> str:
    """Return a probability with some decimals, never as impossible or certain."""
    step = 10.0**-count
    if value < step / 2:
        return f"below {step:.{count}f}"
    return f"above {1 - step:.{count}f}" if value >= 1 - step / 2 else f"{value:.{count}f}"


def _name(model: Model, label: str) -> str:
    """Return a label as it can be drawn: shortened, or replaced by its number."""
    if not is_drawable(label):
        return f"Label {model.task.labels.index(label) + 1} (its name is in the report)"
    name = label.replace("_", " ")
    if len(name) <= LONGEST_NAME:
        return name
    number = f"… (label {model.task.labels.index(label) + 1})"  # others may begin like this one
    return name[: LONGEST_NAME - len(number)].rstrip() + number
