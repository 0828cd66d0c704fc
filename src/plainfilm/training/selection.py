"""Selects the epoch whose weights are sealed, and decides when training stops early."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from plainfilm.config import FitConfig

Row = Mapping[str, float]


def is_selected(row: Row, best: Row | None, select: str) -> bool:
    """Return whether an epoch replaces the best one so far.

    An equal value is decided by the lower validation loss, and an equal loss by the later epoch:
    with few validation images several epochs have the same accuracy.
    """
    if select == "last" or best is None:
        return True
    if row[select] == best[select]:
        return math.isnan(best["val_loss"]) or row["val_loss"] <= best["val_loss"]
    return _is_better(row, best, select)


def patience_is_over(history: Sequence[Row], config: FitConfig) -> bool:
    """Return whether the last epochs did not improve the value that is selected by.

    An epoch with an equal value may be selected, but it is no improvement.
    """
    if not config.patience:
        return False
    improved = 0
    for number, row in enumerate(history):
        if _is_better(row, history[improved], config.select):
            improved = number
    return len(history) - 1 - improved >= config.patience


def _is_better(row: Row, best: Row, select: str) -> bool:
    """Return whether the value is strictly better; any is better than an undefined one."""
    value, before = row[select], best[select]
    if math.isnan(value) or math.isnan(before):
        return math.isnan(before)
    return value < before if select == "val_loss" else value > before
