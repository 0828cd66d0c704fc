"""Draws pneumonia, where fluid replaces air in the lung.

There are two textbook patterns. *Lobar* fills one lobe up to its fissure and leaves its airways
dark, as bacterial pneumonia often does. *Patchy* scatters infiltrates and thickened walls over both
lungs, as viral pneumonia often does. Real disease varies more.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from plainfilm.phantom.anatomy import Patient
from plainfilm.phantom.film import cloud
from plainfilm.phantom.projection import Field, Plane, ramp
from plainfilm.phantom.tissue import Chest

Pattern = Literal["lobar", "patchy"]
PATTERNS: tuple[Pattern, ...] = ("lobar", "patchy")

_LOBES = ("right upper", "right middle", "right lower", "left upper", "left lower")


def lobar_fill(
    rng: np.random.Generator,
    patient: Patient,
    plane: Plane,
    chest: Chest,
    bronchi: Field,
    subtlety: float,
) -> Field:
    """Return the proportion of air that a consolidation replaces, 0 to 1.

    The lobe depends on the patient's seed, the extent on ``rng``. ``bronchi`` is a map of the
    airways, 0 to 1; ``subtlety`` is 0 for a whole, dense lobe to 1 for a faint spot.
    """
    fixed = np.random.default_rng([patient.seed, 41])
    name = str(fixed.choice(_LOBES, p=[0.2, 0.15, 0.28, 0.12, 0.25]))
    mask = _lobe(name, patient, plane, chest)
    cx, cy = _centre(name, fixed)
    radius = (0.16 + 0.34 * (1.0 - subtlety)) * rng.uniform(0.85, 1.15)
    texture = cloud(rng, plane.x.shape, 0.035 * plane.pixels)
    away = np.hypot(plane.x - cx, (plane.y - cy) * 0.9) + 0.05 * texture
    extent = ramp(radius - away, 0.13)
    density = 0.20 + 0.72 * (1.0 - subtlety) ** 1.2
    air = bronchi * (0.55 - 0.25 * subtlety)
    fill: Field = np.clip(density * mask * extent * (1.0 + 0.14 * texture) * (1.0 - air), 0.0, 0.97)
    return fill


def _lobe(name: str, patient: Patient, plane: Plane, chest: Chest) -> Field:
    x, y = plane.x, plane.y + 0.1 * plane.pose.expiration
    fissure = -0.06 + 0.05 * np.abs(x)
    if name == "right upper":
        return ramp(fissure - y, 0.014) * (x < 0)
    if name == "right middle":
        oblique = 0.62 - 0.5 * (y + 0.06)
        return ramp(y - fissure, 0.014) * ramp(oblique + x, 0.10) * (x < 0)
    if name == "right lower":
        return ramp(y + 0.12 - 0.18 * x, 0.13) * ramp(-x - 0.12, 0.1)
    if name == "left upper":
        return ramp(0.14 - y, 0.10) * (x > 0)
    return ramp(y - 0.02, 0.14) * (x > 0)


def _centre(name: str, rng: np.random.Generator) -> tuple[float, float]:
    sign = -1.0 if name.startswith("right") else 1.0
    across, height = {
        "upper": (0.40, -0.32), "middle": (0.32, 0.18), "lower": (0.45, 0.30)
    }[name.split()[1]]  # fmt: skip
    return sign * (across + rng.uniform(-0.1, 0.1)), height + rng.uniform(-0.12, 0.1)


def patchy_fill(
    rng: np.random.Generator, patient: Patient, plane: Plane, chest: Chest, subtlety: float
) -> Field:
    """Return the proportion of air that scattered infiltrates replace, 0 to 1.

    The side with more infiltrates depends on the patient's seed, their outlines on ``rng``.
    """
    fixed = np.random.default_rng([patient.seed, 42])
    lean = fixed.uniform(-0.5, 0.5)
    x, y = plane.x, plane.y
    coarse, fine = (cloud(rng, x.shape, grain * plane.pixels) for grain in (0.055, 0.012))
    hilum = np.exp(-(((np.abs(x) - 0.32) / 0.30) ** 2) - ((y - 0.08) / 0.45) ** 2)
    where = hilum * (1.0 + lean * np.sign(x))
    patches = ramp(coarse - 0.25 - 0.5 * subtlety, 0.9)
    # Thickened septa, where the fine texture crosses zero.
    mesh = np.clip(1.0 - np.abs(fine) * 1.6, 0.0, 1.0) * ramp(coarse + 0.4, 1.0)
    strength = 0.14 + 0.80 * (1.0 - subtlety) ** 1.1
    density = 0.62 * patches + 0.34 * mesh + 0.30 * hilum
    fill: Field = np.clip(strength * where * density, 0.0, 0.9)
    return fill
