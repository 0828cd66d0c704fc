"""Recognises the columns of a table of predictions by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_SCORES = "probability|prob|proba|p|score|pred|prediction|output|logit|y_score|y_prob|y_pred"
_TRUTHS = "label|true|truth|y_true|gt|target|actual|ground_truth"
_ALONE_SCORES = frozenset(
    {
        "p",
        "prob",
        "proba",
        "probability",
        "score",
        "scores",
        "pred",
        "prediction",
        "output",
        "logit",
    }
    | {"logits", "y_score", "y_prob", "y_pred", "probabilities", "predictions", "confidence"}
)
_ALONE_TRUTHS = frozenset(
    {"label", "labels", "class", "target", "truth", "true", "y_true", "y", "groundtruth", "gt"}
    | {"actual", "ground_truth", "true_label", "true_class"}
)
ROLES = {
    "id": frozenset(
        {
            "id",
            "image",
            "imageid",
            "imageindex",
            "file",
            "filename",
            "path",
            "filepath",
            "imagepath",
            "uri",
        }
        | {"imagefile", "case", "caseid", "study", "studyid", "uid", "name", "sopinstanceuid"}
    ),
    "patient": frozenset({"patient", "patientid", "patientkey", "subject", "subjectid"}),
}
OUTPUTS = frozenset({"novelty", "predicted", "rejected", "indeterminate", "reason", "problem"})
"""Columns of the predictions of plainfilm that are neither scores nor subgroups."""


def _affixes(words: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    return (
        re.compile(rf"(?:{words})[\W_]+(.+)", re.IGNORECASE),
        re.compile(rf"(.+?)[\W_]+(?:{words})", re.IGNORECASE),
    )


_SCORE_AFFIXES, _TRUTH_AFFIXES = _affixes(_SCORES), _affixes(_TRUTHS)


def fold(name: str) -> str:
    """Return a name without case and punctuation, for comparisons."""
    return "".join(c for c in name.casefold() if c.isalnum())


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name.casefold())


def _inner(name: str, affixes: Iterable[re.Pattern[str]]) -> str | None:
    found = (pattern.fullmatch(name) for pattern in affixes)
    return next((match[1] for match in found if match), None)


def scored_label(name: str) -> str | None:
    """Return the label whose score a column has by its name, blank for a single label, or None.

    Examples
    --------
    >>> [scored_label(name) for name in ("probability_Edema", "prob_A", "y_score", "Edema")]
    ['Edema', 'A', '', None]
    """
    return "" if _plain(name) in _ALONE_SCORES else _inner(name, _SCORE_AFFIXES)


def true_label(name: str) -> str | None:
    """Return the label whose ground truth a column has by its name, blank for one, or None.

    Examples
    --------
    >>> [true_label(name) for name in ("label_Edema", "Edema_true", "y_true", "Edema")]
    ['Edema', 'Edema', '', None]
    """
    return "" if _plain(name) in _ALONE_TRUTHS else _inner(name, _TRUTH_AFFIXES)


def find_truths(names: Iterable[str]) -> dict[str, str]:
    """Return the columns of the ground truth and the names of their labels; empty if unclear.

    One column called label, class or the like comes first, then columns such as ``label_Edema``,
    then columns that have the names of labels with scores.

    Examples
    --------
    >>> find_truths(["id", "truth", "score"])
    {'truth': 'truth'}
    >>> find_truths(["label_Edema", "probability_Edema"])
    {'label_Edema': 'Edema'}
    >>> find_truths(["Edema", "Mass", "Edema_score", "Mass_score"])
    {'Edema': 'Edema', 'Mass': 'Mass'}
    """
    columns = [name for name in names if fold(name) not in OUTPUTS]
    alone = [name for name in columns if true_label(name) == ""]
    if len(alone) == 1:
        return {alone[0]: alone[0]}
    if alone:
        return {}
    if family := {name: label for name in columns if (label := true_label(name))}:
        return family
    scored = {fold(label) for name in columns if (label := scored_label(name))}
    return {name: name for name in columns if scored_label(name) is None and fold(name) in scored}


def find_scores(label: str, names: Iterable[str], *, alone: bool) -> list[str]:
    """Return the columns that could be the score of a label, the best kind of name only.

    ``alone`` is whether there is no other label, so that its column may be called score.
    """
    columns = [*names]
    key = fold(label)
    kinds = (
        [name for name in columns if (found := scored_label(name)) and fold(found) == key],
        [name for name in columns if alone and scored_label(name) == ""],
        [name for name in columns if fold(name) == key],
    )
    return next((kind for kind in kinds if kind), [])


def describe_choice(chosen: Mapping[str, str]) -> str:
    """Return which column has which role, in words."""
    return ", ".join(f"{role} from {name!r}" for role, name in chosen.items())
