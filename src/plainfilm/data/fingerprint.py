"""What kind of data set this is, in a few numbers: for the plan and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from plainfilm.data.cache import Cache
from plainfilm.data.manifest import Manifest
from plainfilm.records import SPLITS

__all__ = ["fingerprint"]

_SAMPLE = 4096
_CHUNK = 256


def fingerprint(manifest: Manifest, cache: Cache | None = None) -> dict[str, Any]:
    """Summarise a data set.

    Parameters
    ----------
    manifest
        The records.
    cache
        Its decoded images; without it, formats, sizes and intensities are not in the result.

    Returns
    -------
    summary
        What :meth:`Manifest.describe` counts; ``hash``; ``prevalence`` of each label, in all and by
        split, among the images where it is known (0 to 1, or None); and from the cache
        ``formats`` (counts), ``width``, ``height`` and ``aspect`` (quantiles of the files as they
        were, pixels) and ``intensity`` (mean and standard deviation of grey values, 0 to 255, of
        at most 4096 training images; of all images where nothing is split). It can be written as
        JSON.
    """
    summary = manifest.describe()
    summary["hash"] = manifest.hash
    labels, splits = manifest.label_array(), manifest.splits
    chosen = {"all": np.ones(len(manifest), dtype=bool)}
    chosen |= {name: splits == name for name in SPLITS if (splits == name).any()}
    summary["prevalence"] = {
        name: {
            label: _mean(labels[mask, number]) for number, label in enumerate(manifest.task.labels)
        }
        for name, mask in chosen.items()
    }
    if cache is not None:
        metadata = cache.metadata
        formats = Counter(str(fact["format"]) for fact in metadata if "format" in fact)
        summary["formats"] = dict(formats.most_common())
        sizes = np.array(
            [(f["width"], f["height"]) for f in metadata if "width" in f and "height" in f],
            dtype=np.float64,
        ).reshape(-1, 2)
        summary["width"] = _quantiles(sizes[:, 0])
        summary["height"] = _quantiles(sizes[:, 1])
        summary["aspect"] = _quantiles(sizes[:, 0] / sizes[:, 1])
        summary["intensity"] = _intensity(manifest, cache)
    return summary


def _mean(values: Any) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 6) if len(known) else None


def _quantiles(values: Any) -> dict[str, float] | None:
    if not len(values):
        return None
    points: Sequence[tuple[str, float]] = (
        ("minimum", 0.0),
        ("p05", 0.05),
        ("median", 0.5),
        ("p95", 0.95),
        ("maximum", 1.0),
    )
    return {name: round(float(np.quantile(values, q)), 4) for name, q in points}


def _intensity(manifest: Manifest, cache: Cache) -> dict[str, float] | None:
    # Of training images alone: a number that a plan may use must not have seen the test.
    split = any(record.split for record in manifest.records)
    wanted = {r.id for r in manifest.records if not split or r.split == "train"}
    where = np.array([i for i, name in enumerate(cache.ids) if name in wanted], dtype=np.intp)
    if not len(where):
        return None
    where = where[np.unique(np.linspace(0, len(where) - 1, min(_SAMPLE, len(where))).astype(int))]
    histogram = np.zeros(256, dtype=np.int64)
    for start in range(0, len(where), _CHUNK):
        histogram += np.bincount(cache.gather(where[start : start + _CHUNK]).ravel(), minlength=256)
    grey = np.arange(256)
    mean = float((histogram * grey).sum() / histogram.sum())
    variance = float((histogram * (grey - mean) ** 2).sum() / histogram.sum())
    return {"mean": round(mean, 4), "std": round(variance**0.5, 4), "images": len(where)}
