"""Tests which epoch is sealed and when training stops early."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from plainfilm.config import FitConfig
from plainfilm.training.selection import is_selected, patience_is_over


def rows(values: Sequence[float], losses: Sequence[float]) -> list[dict[str, float]]:
    pairs = zip(values, losses, strict=True)
    return [{"val_accuracy": value, "val_auroc": value, "val_loss": loss} for value, loss in pairs]


def selected(history: Sequence[dict[str, float]], select: str) -> int:
    """Return the number of the epoch that is sealed, counted from 1."""
    best = 0
    for number, row in enumerate(history, start=1):
        if is_selected(row, history[best - 1] if best else None, select):
            best = number
    return best


@pytest.mark.parametrize(
    ("values", "losses", "epoch"),
    [
        ([0.5, 0.5], [0.9, 0.6], 2),  # as many correct predictions, but better probabilities
        ([0.5, 0.5], [0.6, 0.9], 1),
        ([0.5, 0.5, 0.5], [0.6, 0.6, 0.6], 3),
        ([0.5, 0.7, 0.7, 0.6], [0.9, 0.5, 0.4, 0.1], 3),
        ([0.7, 0.8, 0.7], [0.1, 0.9, 0.1], 2),
        ([math.nan, 0.4, math.nan], [0.1, 0.9, 0.1], 2),
        ([0.7, 0.7], [math.nan, 0.9], 2),
        ([0.7, 0.7], [0.9, math.nan], 1),
    ],
)
def test_ties_go_to_the_lower_loss_then_to_the_later_epoch(
    values: list[float], losses: list[float], epoch: int
) -> None:
    assert selected(rows(values, losses), "val_accuracy") == epoch
    assert selected(rows(values, losses), "val_auroc") == epoch
    assert selected(rows(values, losses), "last") == len(values)


def test_of_equal_losses_the_later_epoch_is_sealed() -> None:
    assert selected(rows([0.9, 0.8, 0.7], [0.3, 0.3, 0.4]), "val_loss") == 2


@pytest.mark.parametrize(
    ("values", "over"),
    [
        ([], False),
        ([0.5], False),
        ([0.5, 0.5], False),
        ([0.5, 0.5, 0.5], True),  # an equal value may be sealed, but nothing improves
        ([0.5, 0.4, 0.6], False),
        ([0.5, 0.6, 0.5, 0.6], True),
        ([math.nan, math.nan, math.nan], False),
    ],
)
def test_patience_counts_epochs_without_improvement(values: list[float], over: bool) -> None:
    history = rows(values, [1 / (2 + number) for number in range(len(values))])
    config = FitConfig(epochs=9, select="val_auroc", patience=2)
    assert patience_is_over(history, config) is over
    assert not patience_is_over(history, FitConfig(epochs=9, select="val_auroc"))
