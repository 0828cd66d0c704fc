"""Chooses a recipe among the best trials, after training them again with fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from statistics import mean, stdev

from plainfilm._text import plural
from plainfilm.search.document import Choice, Objective, SearchDocument, TrialResult

BEST = 3
"""Number of trials that are trained again."""

_CHEAPER = 0.8  # of the seconds of a training; these vary on a shared machine


def to_confirm(trials: Sequence[TrialResult], objective: Objective) -> list[TrialResult]:
    """Return the best trials and the unchanged recipes, best first, without failed ones."""
    valid = [one for one in trials if math.isfinite(one.mean(objective))]
    ordered = sorted(valid, key=lambda one: (-one.mean(objective), one.number))
    return [one for place, one in enumerate(ordered) if place < BEST or not one.values]


def optimistic_words(document: SearchDocument) -> str:
    """Return why the score of the chosen trial in the search is optimistic, after a comma.

    That of an unchanged recipe that is not among the best is not.
    """
    assert document.choice is not None
    best = to_confirm(document.trials, document.plan.objective)[:BEST]
    if document.choice.trial not in {one.number for one in best}:
        return ""
    among = plural(len(document.trials), "trial")
    return f", which is optimistic, because it was selected among {among}"


def choose(
    trials: Sequence[TrialResult], confirmations: Sequence[TrialResult], objective: Objective
) -> Choice:
    """Return the choice.

    The best trial has the largest mean on the fresh seeds. Another one is its equal if the mean of
    their differences, seed by seed, is at most the standard deviation of these. The equal with the
    shortest training is chosen if that takes at most 80 % of the time of the best; else the best.
    """
    valid = [one for one in confirmations if math.isfinite(one.mean(objective))]
    best = max(valid, key=lambda one: (one.mean(objective), -one.number))
    equals = [one for one in valid if one is best or _is_equal(best, one, objective)]
    cheapest = min(equals, key=attrgetter("seconds"))
    chosen = cheapest if cheapest.seconds <= _CHEAPER * best.seconds else best
    values = [*chosen.by_seed(objective).values()]
    before = next(one for one in trials if one.number == chosen.number)
    return Choice(
        trial=chosen.number,
        best=best.number,
        ties=tuple(sorted(one.number for one in equals)),
        search_score=before.mean(objective),
        fresh_score=chosen.mean(objective),
        fresh_spread=stdev(values) if len(values) > 1 else math.nan,
        reason=_reason(best, chosen, len(equals) - 1, objective),
    )


def differences(best: TrialResult, other: TrialResult, objective: Objective) -> list[float]:
    """Return the objective of one trial minus that of another, seed by seed."""
    theirs = other.by_seed(objective)
    return [value - theirs[seed] for seed, value in best.by_seed(objective).items()]


def _is_equal(best: TrialResult, other: TrialResult, objective: Objective) -> bool:
    gaps = differences(best, other, objective)
    return len(gaps) > 1 and mean(gaps) <= stdev(gaps)


def _reason(best: TrialResult, chosen: TrialResult, equals: int, objective: Objective) -> str:
    score = f"{best.mean(objective):.4f}"
    if chosen is best and not equals:
        return (
            f"trial {best.number} has the largest mean on fresh seeds ({score}), and no other is "
            "within the spread over seeds"
        )
    if chosen is best:
        others = plural(equals, "other trial is", "other trials are")
        return (
            f"trial {best.number} has the largest mean on fresh seeds ({score}); {others} within "
            "the spread over seeds, but none is clearly cheaper to train"
        )
    gap = mean(differences(best, chosen, objective))
    return (
        f"trial {best.number} has the largest mean on fresh seeds ({score}); trial "
        f"{chosen.number} is worse by {gap:.4f}, within the spread over seeds, and cheaper: "
        f"{chosen.seconds:.1f} s instead of {best.seconds:.1f} s a training"
    )
