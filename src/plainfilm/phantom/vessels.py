"""Draws the vessel tree of the lungs as lines that branch from the hila."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainfilm.phantom.anatomy import Patient
from plainfilm.phantom.projection import Field, Plane

Floats = NDArray[np.float64]

_GENERATIONS = 6


@dataclass(frozen=True, slots=True)
class Tree:
    """The n vessels of both lungs, in body units."""

    points: Floats  # start, middle and end of each, (n, 3, 2)
    widths: Floats
    generation: NDArray[np.int64]  # 0 at the hilum, increasing outwards


def grow_tree(patient: Patient, expiration: float) -> Tree:
    """Return the vessels of ``patient``, which are crowded after poor inspiration."""
    rng = np.random.default_rng([patient.seed, 31])
    points, widths, generation = [], [], []
    for sign in (-1.0, 1.0):
        for level, (ends, wide) in enumerate(_grow_lung(rng, patient)):
            points.append(ends * np.array([sign, 1.0]))
            widths.append(wide)
            generation.append(np.full(len(wide), level))
    tree = np.concatenate(points)
    tree[..., 1] -= 0.14 * expiration * np.clip(tree[..., 1] + 0.5, 0.0, None)
    return Tree(tree, np.concatenate(widths), np.concatenate(generation))


def _grow_lung(rng: np.random.Generator, patient: Patient) -> list[tuple[Floats, Floats]]:
    """Return (points, widths) for each generation of one lung, with its hilum at positive x."""
    # More vessels lead down than up, as in a standing person.
    angle = np.radians(np.array([-78.0, -52.0, -25.0, 0.0, 22.0, 40.0, 56.0, 70.0, 84.0]))
    angle = angle + rng.normal(0.0, 0.10, len(angle))
    start = np.stack([rng.normal(0.185, 0.012, len(angle)), -0.04 + 0.11 * np.sin(angle)], axis=1)
    width = rng.uniform(0.024, 0.036, len(angle)) * np.where(angle > 0, 1.1, 0.9)
    length = rng.uniform(0.13, 0.20, len(angle))
    levels = []
    for _ in range(_GENERATIONS):
        middle, end, angle = _bend(rng, start, angle, length)
        levels.append((np.stack([start, middle, end], axis=1), width))
        keep = (np.abs(end[:, 0]) < patient.half_width) & (end[:, 1] > patient.apex)
        start, angle, width, length = end[keep], angle[keep], width[keep], length[keep]
        spread = rng.uniform(0.22, 0.55, len(angle))
        share = rng.uniform(0.62, 0.85, len(angle))
        start = np.repeat(start, 2, axis=0)
        angle = np.concatenate([angle - spread * share, angle + spread * (1.2 - share)])
        angle = angle.reshape(2, -1).T.ravel()
        width = np.stack([width * share, width * (1.35 - share)], axis=1).ravel()
        length = np.repeat(length, 2) * rng.uniform(0.62, 0.92, 2 * len(length))
    return levels


def _bend(
    rng: np.random.Generator, start: Floats, angle: Floats, length: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the middle, the end and the new direction of branches that bend slightly."""
    first = angle + rng.normal(0.0, 0.12, len(angle))
    second = first + rng.normal(0.0, 0.18, len(angle))
    half = 0.5 * length[:, None]
    middle = start + half * np.stack([np.cos(first), np.sin(first)], axis=1)
    end = middle + half * np.stack([np.cos(second), np.sin(second)], axis=1)
    return middle, end, second


def draw_vessels(tree: Tree, plane: Plane, *, cuff: float = 0.0) -> Field:
    """Return the thickness of blood in the lungs, (height, width), about 0 to 1.

    ``cuff`` thickens the walls near the hilum, as inflammation does, 0 to 1.
    """
    central = np.clip(1.0 - tree.generation / 4.0, 0.0, 1.0)
    widths = tree.widths * (1.0 + 0.9 * cuff * central)
    # The depth of a vessel equals its width.
    values = np.clip(widths / 0.045, 0.12, 1.0)
    order = np.argsort(values, kind="stable")
    return plane.strokes(tree.points[order], widths[order], values[order])


def draw_bronchi(tree: Tree, plane: Plane) -> Field:
    """Return a map of the larger airways, which are dark in consolidated lung, 0 to 1."""
    large = (tree.generation >= 1) & (tree.generation <= 3)
    widths = 0.75 * tree.widths[large]
    return plane.strokes(tree.points[large], widths, np.clip(widths / 0.016, 0.3, 1.0))
