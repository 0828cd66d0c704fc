"""Fits baseline models on shortcuts: features that show little or no disease.

Each model predicts a label or, within one class, the split. A model that succeeds reveals a
shortcut, or a difference between the splits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.comparisons import Comparison, label_comparisons, split_comparisons
from plainfilm.audit.crossval import cross_validated_scores, encode_metadata, standardise_columns
from plainfilm.audit.document import Baseline, FeatureSet, Histograms, MeanImage, SingleFeature
from plainfilm.audit.evidence import Evidence, ImageSummaries
from plainfilm.metrics.auroc import clustered_delong
from plainfilm.metrics.intervals import undefined
from plainfilm.metrics.ranking import roc_auc_score

Floats = NDArray[np.float64]

FEATURE_SETS: Mapping[FeatureSet, str] = {
    "file metadata": "file metadata (size, shape, mode, format, compression)",
    "border": "the outer sixteenth of the image on each side",
    "thumbnail": "a thumbnail of 8 x 8 pixels",
    "histogram": "the histogram of grey levels",
}
"""Features of each baseline model, in words."""
METADATA: Mapping[str, tuple[str, str]] = {
    "bytes": ("file size", "bytes"),
    "pixels": ("number of pixels", ""),
    "aspect": ("aspect ratio", ""),
    "density": ("bytes per pixel", ""),
    "width": ("width", "pixels"),
    "height": ("height", "pixels"),
    "quantisation": ("JPEG quantisation", ""),
}
"""Names and units of the numeric metadata."""
_CHUNK = 4096
_STRINGS = ("format", "mode", "bits", "progressive", "exif", "coloured", "manufacturer", "view")


def fit_baselines(evidence: Evidence, *, seed: int = 0) -> tuple[Baseline, ...]:
    """Fit a model on each feature set for each label, and for the splits within each class.

    Of more than 50,000 images of a class or a split, as many are drawn at random.
    """
    comparisons = [*label_comparisons(evidence), *split_comparisons(evidence)]
    metadata = _numeric_metadata(evidence)
    encoded = _encode(evidence, metadata)
    sets = [name for name in FEATURE_SETS if _has(name, evidence, encoded)]
    level = 1 - 0.05 / max(1, len(comparisons) * len(sets))  # Bonferroni
    baselines = []
    for whole in comparisons:
        comparison = whole.drawn(seed=seed)
        rows, y_true = comparison.rows, comparison.y_true
        groups = evidence.groups[rows]
        sides = (rows[y_true], rows[~y_true])
        for name in sets:
            if name == "file metadata":
                matrix = encoded[rows].astype(np.float64)
                strongest = _strongest(metadata, comparison)
            else:
                matrix = standardise_columns(_image_features(name, evidence.summaries, rows))
                strongest = ()
            scores = cross_validated_scores(matrix, y_true, groups, seed=seed)
            baselines.append(
                Baseline(
                    kind=comparison.kind,
                    features=name,
                    target=comparison.target,
                    groups=comparison.groups,
                    counts=comparison.counts,
                    auroc=undefined("none", "too few patients")
                    if scores is None
                    else clustered_delong(y_true, scores, groups, level=level),
                    strongest=strongest,
                    histograms=_histograms(name, evidence, metadata, strongest, sides),
                    means=_mean_images(name, evidence, sides),
                    drawn_from=None if comparison is whole else whole.counts,
                )
            )
    return tuple(baselines)


def _has(name: FeatureSet, evidence: Evidence, encoded: NDArray[np.bool_]) -> bool:
    return bool(encoded.shape[1]) if name == "file metadata" else evidence.summaries is not None


def _numeric_metadata(evidence: Evidence) -> dict[str, Floats]:
    """Return the numeric metadata that vary, (n,) each."""
    width, height, size = (evidence.numbers(name) for name in ("width", "height", "bytes"))
    with np.errstate(all="ignore"):
        columns = {
            "bytes": size,
            "pixels": width * height,
            "aspect": width / height,
            "density": size / (width * height),
            "width": width,
            "height": height,
            "quantisation": evidence.numbers("quantisation"),
        }
    return {
        name: values
        for name, values in columns.items()
        if np.isfinite(values).any() and np.nanmin(values) < np.nanmax(values)
    }


def _encode(evidence: Evidence, metadata: Mapping[str, Floats]) -> NDArray[np.bool_]:
    """Return indicators of the file metadata, (n, k)."""
    strings = []
    for name in _STRINGS:
        values = evidence.metadata.values(name)
        if len({str(value) for value in values}) > 1:
            strings.append([None if value is None else f"{value}" for value in values])
    return encode_metadata([*(column.tolist() for column in metadata.values()), *strings])


def _image_features(
    name: FeatureSet, summaries: ImageSummaries | None, rows: NDArray[np.intp]
) -> Floats:
    """Return the features of images, (n, k)."""
    assert summaries is not None
    if name == "histogram":
        levels = _coarse_histograms(summaries, rows)
        return np.asarray(np.sqrt(levels / np.maximum(1, levels.sum(axis=1, keepdims=True))))
    features = np.empty((len(rows), 64))
    for start in range(0, len(rows), _CHUNK):
        small = summaries.thumbnails[rows[start : start + _CHUNK]].astype(np.float64)
        own = _border(small) if name == "border" else _block_means(small, 8)
        features[start : start + len(small)] = own.reshape(len(small), -1)
    return features


def _border(small: Floats) -> Floats:
    """Return the top, bottom, left and right border, (n, 4, 16): means of 2 x 2 pixels."""
    sides = [
        small[:, :2].mean(axis=1),
        small[:, -2:].mean(axis=1),
        small[:, :, :2].mean(axis=2),
        small[:, :, -2:].mean(axis=2),
    ]
    return np.asarray(np.stack(sides, axis=1).reshape(len(small), 4, 16, 2).mean(axis=3))


def _block_means(images: Floats, side: int) -> Floats:
    """Return block means (n, side, side) of images (n, 32, 32)."""
    factor = images.shape[1] // side
    blocks = images.reshape(len(images), side, factor, side, factor)
    return np.asarray(blocks.mean(axis=(2, 4)))


def _coarse_histograms(summaries: ImageSummaries, rows: NDArray[np.intp]) -> NDArray[np.integer]:
    """Return histograms of 32 bins, (n, 32)."""
    return np.asarray(summaries.histograms[rows].reshape(-1, 32, 8).sum(axis=2))


def _strongest(metadata: Mapping[str, Floats], comparison: Comparison) -> tuple[SingleFeature, ...]:
    """Return the three metadata items with the highest AUROC."""
    found = []
    y_true = comparison.y_true
    for name, column in metadata.items():
        values = column[comparison.rows]
        known = np.isfinite(values)
        if (y_true & known).any() and (~y_true & known).any():
            auroc = roc_auc_score(y_true[known], values[known])
            medians = [float(np.median(values[known & side])) for side in (y_true, ~y_true)]
            found.append(SingleFeature(name, max(auroc, 1 - auroc), (medians[0], medians[1])))
    return tuple(sorted(found, key=lambda feature: -feature.auroc)[:3])


Sides = tuple[NDArray[np.intp], NDArray[np.intp]]


def _histograms(
    features: FeatureSet,
    evidence: Evidence,
    metadata: Mapping[str, Floats],
    strongest: tuple[SingleFeature, ...],
    sides: Sides,
) -> Histograms | None:
    if features == "histogram":
        assert evidence.summaries is not None
        levels = [_coarse_histograms(evidence.summaries, side).sum(axis=0) for side in sides]
        shares = [own / max(1, own.sum()) for own in levels]
        edges = tuple(256 * n / 32 for n in range(33))
        return Histograms(
            "grey level", edges, (tuple(shares[0].tolist()), tuple(shares[1].tolist()))
        )
    if not strongest:
        return None
    name = strongest[0].name
    groups = [metadata[name][side] for side in sides]
    finite = [values[np.isfinite(values)] for values in groups]
    low, high = np.min(np.concatenate(finite)), np.max(np.concatenate(finite))
    spaced = np.geomspace if low > 0 and high / low > 20 else np.linspace
    bins = spaced(low, high, 41)
    counts = [np.histogram(values, bins)[0].tolist() for values in finite]
    return Histograms(name, tuple(bins.tolist()), (tuple(counts[0]), tuple(counts[1])))


def _mean_images(
    features: FeatureSet, evidence: Evidence, sides: Sides
) -> tuple[MeanImage, MeanImage] | None:
    if features not in ("border", "thumbnail"):
        return None
    assert evidence.summaries is not None
    means = []
    for side in sides:
        mean = evidence.summaries.thumbnails[side].mean(axis=0)
        if features == "thumbnail":
            mean = _block_means(mean[None], 8)[0]
        mean = np.round(mean, 1)
        if features == "border":
            mean[2:-2, 2:-2] = math.nan
        means.append(tuple(tuple(row) for row in mean.tolist()))
    return means[0], means[1]
