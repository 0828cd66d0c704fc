"""Groups images by acquisition style: what devices, crops and exports leave behind.

A style is described by the margins of an image, its tone curve, its sharpness, marks near its edges
and, where it is known, its original aspect ratio. No label takes part. Disease changes the tone
curve too, so a style is never free of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "margins": ("left bar", "right bar", "top bar", "bottom bar", "frame", "edge level"),
    "tone": ("dark tones", "lower tones", "middle tones", "upper tones", "bright tones", "white"),
    "sharpness": ("fine detail", "grain", "horizontal detail"),
    "marks": ("marks at the top", "marks at the bottom", "marks at the sides"),
    "aspect": ("aspect ratio",),
}
"""Names of the features, by family. Each family has the same weight in a distance."""
FEATURES = tuple(name for names in FAMILIES.values() for name in names)
"""Names of the columns of `describe_styles`."""

_CHUNK = 16  # images; the planes of a chunk fit into the cache of a core
_UNIFORM = 8.0  # standard deviation of the grey levels of a line that belongs to a margin
_SAME = 10.0  # largest difference between the mean of such a line and that of the outermost one
_WIDEST = 3  # a margin is at most a third of the image
_INNER = 8  # the tone curve is that of the image without the outer eighth on each side
_EDGE = 6  # marks are searched for in the outer sixth
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_WHITE = 250
_MARK = 24  # grey levels by which a stroke is brighter than the mean around it
_LIMIT = 3.0  # standard deviations; a rare value does not make a style of its own
_STARTS, _MAX_STEPS = 8, 100
_MAX_FIT = 100_000  # images, drawn at random, that are grouped; the others join their groups
_AT_ONCE = 65_536  # images that join groups at once


@dataclass(frozen=True, slots=True, eq=False)
class Styles:
    """Styles of a set of n images, the most frequent first.

    Attributes
    ----------
    members
        Number of each image's style, (n,), 0 to k - 1.
    centres
        Mean of the standardised, weighted features of each style, (k, features).
    mean, scale
        What standardises the features, (features,) each.
    """

    members: NDArray[np.intp]
    centres: Floats
    mean: Floats
    scale: Floats

    def assign(self, features: Floats) -> NDArray[np.intp]:
        """Return the number of the nearest style (m,) of further images (m, features)."""
        members = np.empty(len(features), np.intp)
        for start in range(0, len(features), _AT_ONCE):
            points = _scaled(features[start : start + _AT_ONCE], self.mean, self.scale)
            nearest = _distances(points, self.centres).argmin(axis=1)
            members[start : start + len(nearest)] = nearest
        return members

    def traits(self, style: int, limit: int = 3) -> tuple[tuple[str, float], ...]:
        """Return the features that distinguish a style, with their standard deviations."""
        deviations = self.centres[style] / _weights()
        order = np.argsort(-np.abs(deviations), kind="stable")[:limit]
        return tuple((FEATURES[at], float(deviations[at])) for at in order)


def describe_styles(images: NDArray[np.uint8], aspects: Floats | None = None) -> Floats:
    """Describe the style of images.

    Parameters
    ----------
    images
        Grey images of any one size, (n, side, side).
    aspects
        Width divided by height of the original images, (n,), NaN where it is not known.

    Returns
    -------
    features
        (n, features), in the order of `FEATURES`. An unknown aspect ratio is NaN.
    """
    rows = [np.empty((0, len(FEATURES) - 1))]
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        planes = chunk.astype(np.float32)
        parts = (_margins(planes), _tones(chunk), *_detail(planes))
        rows.append(np.column_stack(parts))
    known = np.full(len(images), np.nan) if aspects is None else np.asarray(aspects, np.float64)
    with np.errstate(all="ignore"):
        return np.column_stack([np.concatenate(rows), np.log(known)])


def cluster_styles(features: Floats, k: int, seed: int = 0) -> Styles:
    """Group images by style: k-means on the standardised features.

    Of more than 100,000 images, as many are drawn at random and grouped; each of the others joins
    the nearest group.

    Parameters
    ----------
    features
        Result of `describe_styles`, (n, features).
    k
        Number of styles, at most n.
    seed
        Seed of the starts. The same seed gives the same styles.

    Raises
    ------
    ValueError
        If ``k`` is not between 1 and n.
    """
    from threadpoolctl import threadpool_limits

    if not 1 <= k <= len(features):
        raise ValueError(f"k is {k}; give 1 to {len(features)}, the number of images")
    rng = np.random.default_rng(seed)
    drawn = features
    if len(features) > _MAX_FIT:
        drawn = features[np.sort(rng.choice(len(features), _MAX_FIT, replace=False))]
    mean, scale = _standard(drawn)
    points = _scaled(drawn, mean, scale)
    with threadpool_limits(1, "blas"):  # the matrices are small
        runs = [_k_means(points, _start(points, k, rng)) for _ in range(_STARTS)]
    members, centres, _ = min(runs, key=lambda run: run[2])
    if drawn is not features:
        members = Styles(members, centres, mean, scale).assign(features)
    order = np.argsort(-np.bincount(members, minlength=k), kind="stable")
    return Styles(np.argsort(order)[members], centres[order], mean, scale)


def _weights() -> Floats:
    """Return the weight of each feature; the squares of a family's weights add up to 1."""
    return np.array([len(names) ** -0.5 for names in FAMILIES.values() for _ in names])


def _standard(features: Floats) -> tuple[Floats, Floats]:
    known = np.isfinite(features)
    count = np.maximum(1, known.sum(axis=0))
    mean = np.where(known, features, 0).sum(axis=0) / count
    deviation = np.sqrt((np.where(known, features - mean, 0) ** 2).sum(axis=0) / count)
    return mean, np.where(deviation > 1e-9, deviation, np.inf)


def _scaled(features: Floats, mean: Floats, scale: Floats) -> Floats:
    """Return standardised, weighted features; an unknown one becomes the mean."""
    standard = np.nan_to_num((features - mean) / scale, nan=0.0)
    return np.clip(standard, -_LIMIT, _LIMIT) * _weights()


def _start(points: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Draw the first centres far from each other (k-means++)."""
    chosen = [int(rng.integers(len(points)))]
    nearest = np.full(len(points), np.inf)
    for _ in range(k - 1):
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        total = nearest.sum()
        shares = nearest / total if total > 0 else np.full(len(points), 1 / len(points))
        chosen.append(int(rng.choice(len(points), p=shares)))
    return points[chosen]


def _k_means(points: Floats, centres: Floats) -> tuple[NDArray[np.intp], Floats, float]:
    """Return members, centres and the sum of squared distances."""
    members = np.full(len(points), -1)
    for _ in range(_MAX_STEPS):
        distances = _distances(points, centres)
        nearest = distances.argmin(axis=1)
        if np.array_equal(nearest, members):
            break
        members = nearest
        own = (members == np.arange(len(centres))[:, None]).astype(np.float64)
        counts = own.sum(axis=1, keepdims=True)
        # An empty style keeps its centre.
        centres = np.where(counts > 0, own @ points / np.maximum(1, counts), centres)
    return members, centres, float(_distances(points, centres).min(axis=1).sum())


def _distances(points: Floats, centres: Floats) -> Floats:
    """Return squared distances (n, k)."""
    squares = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return np.asarray(np.maximum(0, squares - 2 * points @ centres.T))


def _margins(planes: Planes) -> Floats:
    """Return the widths of uniform margins, that of the frame, and the level at the edges."""
    widths = []
    edges = []
    for axis in (1, 2):  # lines along columns: left and right; along rows: top and bottom
        means, deviations = planes.mean(axis=axis), planes.std(axis=axis)
        for step in (1, -1):
            widths.append(_width(means[:, ::step], deviations[:, ::step]))
            edges.append(means[:, ::step][:, 0])
    frame = np.min(widths, axis=0)
    return np.column_stack([*widths, frame, np.mean(edges, axis=0) / 255])


def _width(means: Planes, deviations: Planes) -> Floats:
    """Return the share of lines, from the first, that are uniform and equal to the first."""
    own = (deviations < _UNIFORM) & (np.abs(means - means[:, :1]) < _SAME)
    deep = own[:, : own.shape[1] // _WIDEST]
    return np.asarray(np.logical_and.accumulate(deep, axis=1).sum(axis=1) / own.shape[1])


def _tones(images: NDArray[np.uint8]) -> Floats:
    """Return quantiles of the grey levels inside, and the share of white pixels."""
    count, side, _ = images.shape
    cut = side // _INNER
    inner = images[:, cut : side - cut : 2, cut : side - cut : 2].reshape(count, -1)
    offsets = (np.arange(count, dtype=np.int32) * 256)[:, None]
    counts = np.bincount((inner + offsets).ravel(), minlength=256 * count).reshape(count, 256)
    shares = np.cumsum(counts, axis=1) / inner.shape[1]
    levels = [(shares < quantile).sum(axis=1) / 255 for quantile in _QUANTILES]
    return np.column_stack([*levels, 1 - shares[:, _WHITE - 1]])


def _detail(planes: Planes) -> tuple[Floats, Floats]:
    """Return the features of sharpness, (n, 3), and of marks, (n, 3)."""
    side = planes.shape[1]
    small, large = 2 * (side // 85) + 1, 2 * (side // 56) + 1
    near = _box_means(planes, small)
    fine = planes - near
    half = near[:, ::2, ::2]
    coarse = half - _box_means(half, large)
    across, along = (_energy(np.diff(half, axis=axis)) for axis in (2, 1))
    # The fourth power weighs few strong edges: it separates grain, which is everywhere, from them.
    ratios = _energy(fine) / _energy(coarse), _energy(fine) ** 2 / _energy(fine**2), across / along
    return np.log(np.stack(ratios, axis=1)), _marks(fine > _MARK)


def _box_means(planes: Planes, width: int) -> Planes:
    """Return the means over squares of an odd width; the border is repeated outwards."""
    reach = width // 2
    padded = np.pad(planes, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    # Adding slices is faster than a sum over windows.
    rows = padded[:, : planes.shape[1]].copy()
    for shift in range(1, width):
        rows += padded[:, shift : shift + planes.shape[1]]
    sums = rows[:, :, : planes.shape[2]].copy()
    for shift in range(1, width):
        sums += rows[:, :, shift : shift + planes.shape[2]]
    return np.asarray(sums / np.float32(width * width), np.float32)


def _energy(planes: Planes) -> Floats:
    inner = planes[:, 2:-2, 2:-2]
    sums = np.einsum("ijk,ijk->i", inner, inner, dtype=np.float64)
    return np.asarray(sums / (inner.shape[1] * inner.shape[2]) + 1e-3)


def _marks(bright: NDArray[np.bool_]) -> Floats:
    """Return the square roots of the shares of bright strokes at three edges, (n, 3)."""
    edge = bright.shape[1] // _EDGE
    sides = np.concatenate([bright[:, edge:-edge, :edge], bright[:, edge:-edge, -edge:]], axis=2)
    zones = (bright[:, :edge], bright[:, -edge:], sides)
    return np.column_stack([np.sqrt(zone.mean(axis=(1, 2))) for zone in zones])
