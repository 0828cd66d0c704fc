"""Draws random patients and the pose of each exposure.

Lengths are in body units, about half the width of the chest. ``x`` increases to the right of the
image (the patient's left), ``y`` downwards; the origin is between the hila.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Profile = tuple[NDArray[np.float32], NDArray[np.float32]]
"""A curve ``value(y)`` as two arrays: ascending ``y`` and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The anatomy that all images of a patient share.

    Attributes
    ----------
    seed
        Seed of details: vessel tree, texture of the lungs, lobe of a pneumonia.
    child
        0 for an adult to 1 for an infant with a broad heart, short neck, flat ribs, visible arms.
    girth
        Thickness of the body from front to back, about 0.8 to 1.3.
    wall
        Thickness of the chest wall seen from the front, body units.
    half_width, apex, taper
        Rib cage: greatest half-width, height of the top, exponent of the narrowing upwards.
    heart
        Size of the heart, 1 on average.
    heart_tilt
        Angle of the long axis of the heart below the horizontal, radians.
    dome_right, dome_left
        Height of the two domes of the diaphragm at full inspiration.
    rib_drop, rib_gap, rib_first, rib_width
        Descent of a rib from back to side, distance between ribs, start of the first rib, half
        the height of a rib.
    clavicle
        Slope of the clavicles.
    breast
        Thickness of the breast shadows; 0 for none.
    bone
        Density of the skeleton, 1 on average.
    age
        Years.
    sex
        ``F`` or ``M``.
    """

    seed: int
    child: float
    girth: float
    wall: float
    half_width: float
    apex: float
    taper: float
    heart: float
    heart_tilt: float
    dome_right: float
    dome_left: float
    rib_drop: float
    rib_gap: float
    rib_first: float
    rib_width: float
    clavicle: float
    breast: float
    bone: float
    age: int
    sex: str

    def cage(self) -> Profile:
        """Return the inner half-width of the rib cage over ``y``."""
        y = np.linspace(-1.6, 1.6, 321, dtype=np.float32)
        widest = 0.42
        up = np.clip((widest - y) / (widest - self.apex), 0.0, 1.0)
        down = np.clip((y - widest) / 0.8, 0.0, 1.0)
        width = self.half_width * (1.0 - up**self.taper) ** 0.55 * (1.0 - 0.06 * down**2)
        return y, np.maximum(width, 0.02).astype(np.float32)

    def outline(self) -> Profile:
        """Return the half-width of neck, shoulders and trunk over ``y``."""
        neck = 0.27 + 0.06 * self.child
        shoulder = 1.12 + 0.4 * self.wall
        flank = self.half_width + self.wall
        top = self.apex
        knots = [
            (-1.6, neck + 0.18 * self.child),
            (top - 0.30, neck),
            (top - 0.14, neck + 0.06),
            (top - 0.04, neck + 0.28),
            (top + 0.08, shoulder - 0.16),
            (top + 0.22, shoulder),
            (top + 0.45, shoulder - 0.02),
            (top + 0.70, flank + 0.05),
            (top + 0.95, flank),
            (0.6, flank - 0.01),
            (1.6, flank - 0.05),
        ]
        y = np.linspace(-1.6, 1.6, 321, dtype=np.float32)
        width = np.interp(y, [k[0] for k in knots], [k[1] for k in knots])
        window = np.hanning(23)
        smooth = np.convolve(np.pad(width, 11, mode="edge"), window / window.sum(), mode="valid")
        return y, smooth.astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """The geometry of one exposure."""

    angle: float  # rotation in the image plane, radians
    zoom: float  # height of the image in body units
    centre: tuple[float, float]  # body coordinates of the middle of the image
    tilt: float  # of the beam, which stretches one end of the chest
    turn: float  # of the patient about the long axis, which moves front structures sideways
    expiration: float  # 0 for full inspiration to about 1 (high domes, crowded vessels)
    arms: float  # 0 out of the field to 1 along the body


def sample_patient(rng: np.random.Generator) -> Patient:
    """Draw a random patient."""
    child = float(rng.beta(0.8, 0.8))
    dome = 0.56 + rng.normal(0.0, 0.035) - 0.05 * child
    sex = "F" if rng.random() < 0.5 else "M"
    age = 1 + 15 * (1.0 - child) / 0.6 if child > 0.4 else 17 + 60 * (0.4 - child) / 0.4
    return Patient(
        seed=int(rng.integers(2**31)),
        child=child,
        girth=float(np.clip(rng.normal(1.0, 0.1), 0.78, 1.3)),
        wall=float(np.clip(rng.gamma(6.0, 0.018), 0.05, 0.26)),
        half_width=float(np.clip(rng.normal(0.84 - 0.03 * child, 0.035), 0.7, 0.95)),
        apex=float(rng.normal(-0.84 + 0.04 * child, 0.03)),
        taper=float(np.clip(rng.normal(2.15 - 0.35 * child, 0.12), 1.5, 2.6)),
        heart=float(np.clip(rng.normal(0.95 + 0.13 * child, 0.06), 0.78, 1.25)),
        heart_tilt=float(rng.normal(0.72 - 0.08 * child, 0.09)),
        dome_right=float(dome),
        dome_left=float(dome + np.clip(rng.normal(0.04, 0.025), -0.02, 0.11)),
        rib_drop=float(np.clip(rng.normal(0.31 - 0.09 * child, 0.025), 0.16, 0.4)),
        rib_gap=float(np.clip(rng.normal(0.158, 0.006), 0.14, 0.18)),
        rib_first=float(rng.normal(-0.86, 0.02)),
        rib_width=float(np.clip(rng.normal(0.039 + 0.002 * child, 0.003), 0.03, 0.05)),
        clavicle=float(rng.normal(0.12, 0.08)),
        breast=float(rng.uniform(0.15, 0.6)) if sex == "F" and age >= 17 else 0.0,
        bone=float(np.clip(rng.normal(1.0, 0.13), 0.65, 1.4)),
        age=int(age),
        sex=sex,
    )


def sample_pose(rng: np.random.Generator, patient: Patient) -> Pose:
    """Draw the random pose of one image of ``patient``."""
    zoom = rng.normal(1.95 + 0.12 * patient.child, 0.1)
    return Pose(
        angle=float(np.clip(rng.normal(0.0, 0.035), -0.12, 0.12)),
        zoom=float(np.clip(zoom, 1.72, 2.4)),
        centre=(float(rng.normal(0.0, 0.035)), float(rng.normal(-0.06, 0.045))),
        tilt=float(np.clip(rng.normal(0.0, 0.04), -0.1, 0.1)),
        turn=float(np.clip(rng.normal(0.0, 0.35), -1.0, 1.0)),
        expiration=float(rng.beta(1.3, 3.0)),
        arms=float(np.clip(rng.normal(0.2 + 0.6 * patient.child, 0.3), 0.0, 1.0)),
    )
