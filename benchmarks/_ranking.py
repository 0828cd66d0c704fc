"""Tables of how each question ranks recipes, and how well that agrees with known test results."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from _measure import table

Scores = Mapping[str, Mapping[str, Mapping[int, float]]]
"""Value by question, candidate and seed."""


def read_lines(files: Iterable[Path]) -> list[dict[str, Any]]:
    """Read the lines that `choosing.py` wrote; a line that was cut off is left out."""
    lines = []
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
    return lines


def combine(lines: Sequence[Mapping[str, Any]], kind: str = "scores") -> Scores:
    """Return the value of each question for each candidate and seed, of ``scores`` or ``accuracy``.

    It is the mean over the parts of the question; styles count by their pairs of images. A seed of
    which a part is missing is left out.
    """
    parts: dict[str, set[str]] = defaultdict(set)
    found: dict[tuple[str, str, int], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for line in lines:
        parts[line["question"]].add(line["part"])
        found[line["question"], line["candidate"], line["seed"]][line["part"]] = line
    scores: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for (question, candidate, seed), own in found.items():
        if own.keys() != parts[question]:
            continue
        weights = [one["pairs"] if question == "styles" else 1 for one in own.values()]
        for name in next(iter(own.values()))[kind]:
            values = [one[kind][name] for one in own.values()]
            total = sum(w * v for w, v in zip(weights, values, strict=True))
            scores[f"{question}, {name}"][candidate][seed] = total / sum(weights)
    return scores


def value_table(scores: Scores) -> str:
    """Return the mean and standard deviation over seeds, a column for each candidate."""
    candidates = dict.fromkeys(name for own in scores.values() for name in own)
    rows = [
        [question, *(_spread([*own.get(name, {}).values()]) for name in candidates)]
        for question, own in scores.items()
    ]
    return table(["question", *candidates], rows)


def ranking_table(scores: Scores, known: Mapping[str, float]) -> str:
    """Return each question's order of the candidates, and its agreement with known test results."""
    best_first = sorted(known, key=lambda name: -known[name])
    rows = [["official test (known)", " > ".join(best_first), "", ""]]
    for question, own in scores.items():
        means = {name: mean(values.values()) for name, values in own.items()}
        shared = [name for name in known if name in means]
        tau = _tau([means[name] for name in shared], [known[name] for name in shared])
        seeds = sorted(set.intersection(*(set(own[name]) for name in shared))) if shared else []
        each = [_tau([own[n][s] for n in shared], [known[n] for n in shared]) for s in seeds]
        order = sorted(means, key=lambda name: -means[name])
        span = f"{min(each):.2f} to {max(each):.2f}" if len(each) > 1 else ""
        rows.append([question, " > ".join(order), f"{tau:.2f}", span])
    return table(["question", "order, best first", "Kendall's tau", "tau of single seeds"], rows)


def cost_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return how long the trainings of each candidate took."""
    own: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        own[line["candidate"]].append(line)
    rows = []
    for name, several in own.items():
        cells = [
            f"{mean(float(one[key]) for one in several):.1f}"
            for key in ("training_seconds", "cpu_seconds", "seconds")
        ]
        rows.append([name, len(several), *cells])
    heads = ["candidate", "trainings", "training loop, s", "CPU s", "whole, with scoring, s"]
    return table(heads, rows)


def _tau(values: Sequence[float], known: Sequence[float]) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(values, known).statistic) if len(values) > 1 else math.nan


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.4f}" + (f" (sd {stdev(values):.4f})" if len(values) > 1 else "")
