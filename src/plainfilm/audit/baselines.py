"""Questions to cheats: models that see what has nothing to do with the disease.

Can they tell the label? And, within one class, the splits?
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.crossval import cross_validated_scores, encode_metadata, standard_columns
from plainfilm.audit.evidence import Evidence
from plainfilm.metrics.clustered import clustered_delong
from plainfilm.metrics.intervals import Interval
from plainfilm.metrics.ranking import roc_auc_score

__all__ = ["CHEATS", "Cheat", "Probe", "Telling", "probe"]

Floats = NDArray[np.float64]
Cheat = Literal["file metadata", "border", "thumbnail", "histogram"]

CHEATS: Mapping[Cheat, str] = {
    "file metadata": "the metadata of the file (its size, shape, mode, format, compression)",
    "border": "the outermost sixteenth of the image on each side",
    "thumbnail": "a thumbnail of 8 x 8 pixels",
    "histogram": "how often each grey level occurs",
}
_WORDS = ("format", "mode", "bits", "progressive", "exif", "coloured", "manufacturer", "view")
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class Telling:
    """One fact, and how well it alone tells two groups apart.

    Attributes
    ----------
    name
        The fact.
    auroc
        0.5 to 1, whichever way round.
    medians
        Of the group that is told, and of the other.
    """

    name: str
    auroc: float
    medians: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """One question to one cheat.

    Attributes
    ----------
    about
        ``shortcut`` (can it tell the label?) or ``shift`` (can it tell the splits apart?).
    cheat
        What it may see.
    target
        The label; for a shift, the class within which the splits are told apart.
    sides
        Names of what is told, and of the other.
    counts
        Images of each.
    interval
        Cross-validated AUROC. All intervals of an audit hold together with 95 %.
    metadata
        For file metadata, those that tell most.
    view
        What to draw: lists of numbers for each side.
    """

    about: Literal["shortcut", "shift"]
    cheat: Cheat
    target: str
    sides: tuple[str, str]
    counts: tuple[int, int]
    interval: Interval
    metadata: tuple[Telling, ...]
    view: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "about": self.about,
            "cheat": self.cheat,
            "target": self.target,
            "sides": [*self.sides],
            "counts": [*self.counts],
            "auroc": self.interval.to_json(),
            "metadata": [
                {"name": f.name, "auroc": f.auroc, "medians": [*f.medians]} for f in self.metadata
            ],
            "view": dict(self.view),
        }


def probe(evidence: Evidence, *, seed: int = 0) -> tuple[Probe, ...]:
    """Ask every cheat about every label, and about the splits within every class."""
    questions = [*_labels(evidence), *_splits(evidence)]
    seen = _what_cheats_see(evidence)
    metadata = _numbers(evidence)
    tests = len(questions) * len(seen)
    level = 1 - 0.05 / max(1, tests)  # Bonferroni: all of them hold together
    probes = []
    for about, target, sides, rows, truth in questions:
        groups = evidence.groups[rows]
        for cheat, columns in seen.items():
            matrix = columns[rows]
            if cheat != "file metadata":
                matrix = standard_columns(matrix)
            scores = cross_validated_scores(matrix, truth, groups, seed=seed)
            if scores is None:
                interval = Interval(math.nan, math.nan, math.nan, "none", "too few patients")
            else:
                interval = clustered_delong(truth, scores, groups, level=level)
            telling = _most_telling(metadata, rows, truth) if cheat == "file metadata" else ()
            probes.append(
                Probe(
                    about,
                    cheat,
                    target,
                    sides,
                    (int(truth.sum()), int((~truth).sum())),
                    interval,
                    telling,
                    _view(cheat, evidence, rows, truth, metadata, telling),
                )
            )
    return tuple(probes)


Question = tuple[
    Literal["shortcut", "shift"], str, tuple[str, str], NDArray[np.intp], NDArray[np.bool_]
]


def _labels(evidence: Evidence) -> Iterator[Question]:
    task = evidence.listed.task
    for column, label in enumerate(task.labels):
        values = evidence.labels[:, column]
        rows = np.flatnonzero(~np.isnan(values))
        truth = values[rows] == 1
        if min(truth.sum(), (~truth).sum()) >= _FEWEST:
            other = task.classes[0] if task.kind == "binary" else f"not {label}"
            yield "shortcut", label, (label, other), rows, truth


def _splits(evidence: Evidence) -> Iterator[Question]:
    task = evidence.listed.task
    for name in ("test", "validation"):
        for column, label in enumerate(task.labels):
            for value in (0, 1):
                chosen = (evidence.labels[:, column] == value) & np.isin(
                    evidence.splits, ("train", name)
                )
                rows = np.flatnonzero(chosen)
                truth = evidence.splits[rows] == name
                if min(truth.sum(), (~truth).sum()) < _FEWEST:
                    continue
                within = task.classes[value] if task.kind == "binary" else _class(label, value)
                yield "shift", within, (name, "train"), rows, truth


def _class(label: str, value: int) -> str:
    return label if value else f"not {label}"


def _numbers(evidence: Evidence) -> dict[str, Floats]:
    """Return the numeric metadata that vary, (n,) each."""
    width, height, size = (evidence.fact(name) for name in ("width", "height", "bytes"))
    with np.errstate(all="ignore"):
        columns = {
            "bytes": size,
            "pixels": width * height,
            "aspect": width / height,
            "density": size / (width * height),
            "width": width,
            "height": height,
            "quantisation": evidence.fact("quantisation"),
        }
    return {
        name: values
        for name, values in columns.items()
        if np.isfinite(values).any() and np.nanmin(values) < np.nanmax(values)
    }


def _what_cheats_see(evidence: Evidence) -> dict[Cheat, Floats]:
    numbers = _numbers(evidence)
    words = [[metadata.get(name) for metadata in evidence.metadata] for name in _WORDS]
    words = [
        [None if value is None else f"{value}" for value in column]
        for column in words
        if len({str(value) for value in column}) > 1
    ]
    seen: dict[Cheat, Floats] = {
        "file metadata": encode_metadata([*(v.tolist() for v in numbers.values()), *words])
    }
    if not seen["file metadata"].shape[1]:
        del seen["file metadata"]
    if evidence.pictures is None:
        return seen
    small = evidence.pictures.small.astype(np.float64)
    count = len(small)
    seen["border"] = _border(small).reshape(count, -1)
    seen["thumbnail"] = small.reshape(count, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(count, -1)
    levels = evidence.pictures.levels.reshape(count, 32, 8).sum(axis=2)
    seen["histogram"] = np.sqrt(levels / np.maximum(1, levels.sum(axis=1, keepdims=True)))
    return seen


def _border(small: Floats) -> Floats:
    """Return top, bottom, left and right, (n, 4, 16): means two pixels deep and wide."""
    sides = [
        small[:, :2].mean(axis=1),
        small[:, -2:].mean(axis=1),
        small[:, :, :2].mean(axis=2),
        small[:, :, -2:].mean(axis=2),
    ]
    stacked = np.stack(sides, axis=1)
    return np.asarray(stacked.reshape(len(small), 4, 16, 2).mean(axis=3))


def _most_telling(
    metadata: Mapping[str, Floats], rows: NDArray[np.intp], truth: NDArray[np.bool_]
) -> tuple[Telling, ...]:
    telling = []
    for name, column in metadata.items():
        values = column[rows]
        known = np.isfinite(values)
        if not (truth[known].any() and (~truth[known]).any()):
            continue
        area = roc_auc_score(truth[known], values[known])
        medians = tuple(float(np.median(values[known & side])) for side in (truth, ~truth))
        telling.append(Telling(name, max(area, 1 - area), (medians[0], medians[1])))
    return tuple(sorted(telling, key=lambda fact: -fact.auroc)[:3])


def _view(
    cheat: Cheat,
    evidence: Evidence,
    rows: NDArray[np.intp],
    truth: NDArray[np.bool_],
    metadata: Mapping[str, Floats],
    telling: Sequence[Telling],
) -> dict[str, Any]:
    """Return what a picture of the difference needs, the told side first."""
    sides = (rows[truth], rows[~truth])
    if cheat == "file metadata":
        if not telling:
            return {}
        values = metadata[telling[0].name]
        finite = values[rows][np.isfinite(values[rows])]
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, 257)))
        low, high = edges[0], edges[-1]
        bins = np.linspace(low, high, 41)
        if low > 0 and high / low > 20:
            bins = np.geomspace(low, high, 41)
        counts = [np.histogram(values[side], bins)[0].tolist() for side in sides]
        return {"fact": telling[0].name, "edges": bins.tolist(), "counts": counts}
    assert evidence.pictures is not None
    if cheat == "histogram":
        levels = evidence.pictures.levels.reshape(len(evidence), 32, 8).sum(axis=2)
        shares = [levels[side].sum(axis=0) / max(1, levels[side].sum()) for side in sides]
        return {"shares": [share.tolist() for share in shares]}
    small = evidence.pictures.small
    side_length = 32 if cheat == "border" else 8
    factor = 32 // side_length
    means = []
    for side in sides:
        mean = small[side].mean(axis=0).reshape(side_length, factor, side_length, factor)
        mean = np.round(mean.mean(axis=(1, 3)), 1)
        if cheat == "border":
            mean[2:-2, 2:-2] = np.nan
        means.append([[None if math.isnan(v) else v for v in row] for row in mean.tolist()])
    return {"means": means}
