"""Summarises a data set in a few numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.cache import Cache
from plainfilm.data.counts import Description
from plainfilm.data.manifest import Manifest
from plainfilm.records import SPLITS

_SAMPLE = 4096
_CHUNK = 256
_QUANTILES = {"minimum": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "maximum": 1.0}

Numbers = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Summary of a data set; without a cache, all after ``prevalence`` is None."""

    counts: Description
    hash: str
    # Of each label in all images and in each split, 0 to 1, among the images with a known label;
    # None if there are none.
    prevalence: Mapping[str, Mapping[str, float | None]]
    formats: Mapping[str, int] | None = None  # number of files of each format
    width: Numbers | None = None  # quantiles over the files, in pixels
    height: Numbers | None = None
    aspect: Numbers | None = None
    # `mean` and `std` of the grey values, 0 to 255, of at most 4,096 training `images` (of all
    # images if there is no split).
    intensity: Numbers | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON, with the counts at the top level."""
        values = asdict(self)
        return {**values.pop("counts"), **values}


def fingerprint(manifest: Manifest, cache: Cache | None = None) -> Fingerprint:
    """Summarise a data set; formats, sizes and grey values only with its decoded images."""
    labels, splits = manifest.label_array(), manifest.splits
    chosen = {"all": np.ones(len(manifest), dtype=bool)}
    chosen |= {name: splits == name for name in SPLITS if (splits == name).any()}
    prevalence = {
        name: dict(zip(manifest.task.labels, map(_mean, labels[mask].T), strict=True))
        for name, mask in chosen.items()
    }
    result = Fingerprint(counts=manifest.describe(), hash=manifest.hash, prevalence=prevalence)
    if cache is None:
        return result
    sizes = np.stack([cache.metadata.numbers(name) for name in ("width", "height")], axis=1)
    sizes = sizes[np.isfinite(sizes).all(axis=1)]
    formats = Counter(str(one) for one in cache.metadata.values("format") if one is not None)
    return replace(
        result,
        formats=dict(formats.most_common()),
        width=_quantiles(sizes[:, 0]),
        height=_quantiles(sizes[:, 1]),
        aspect=_quantiles(sizes[:, 0] / sizes[:, 1]),
        intensity=_intensity(manifest, cache),
    )


def _mean(values: NDArray[np.float32]) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 6) if len(known) else None


def _quantiles(values: NDArray[np.float64]) -> dict[str, float] | None:
    if not len(values):
        return None
    return {name: round(float(np.quantile(values, q)), 4) for name, q in _QUANTILES.items()}


def _intensity(manifest: Manifest, cache: Cache) -> dict[str, float] | None:
    # Only training images, since a plan that uses this must not depend on the test set.
    train = manifest.splits == ("train" if (manifest.splits != "").any() else "")
    rows = np.sort(cache.find(manifest.records.where(train)))
    rows = rows[rows >= 0]
    if not len(rows):
        return None
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(int))]
    histogram = np.zeros(256, dtype=np.int64)
    for start in range(0, len(rows), _CHUNK):
        histogram += np.bincount(cache.gather(rows[start : start + _CHUNK]).ravel(), minlength=256)
    grey = np.arange(256)
    mean = np.average(grey, weights=histogram)
    variance = np.average((grey - mean) ** 2, weights=histogram)
    return {
        "mean": round(float(mean), 4),
        "std": round(float(variance) ** 0.5, 4),
        "images": len(rows),
    }
