"""Draws soft tissue and air: trunk, lungs, heart, great vessels, trachea, stomach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plainfilm.phantom.anatomy import Patient
from plainfilm.phantom.projection import Field, Plane, along, chord, ramp


@dataclass(frozen=True, slots=True)
class Chest:
    """Maps of trunk and lungs, each (height, width)."""

    trunk: Field  # thickness of soft tissue, without air
    air: Field  # thickness of aerated lung
    gas: Field  # thickness of other air: trachea, bronchi, stomach
    cage: Field  # half-width of the rib cage at the height of each pixel


def build_chest(patient: Patient, plane: Plane) -> Chest:
    """Return trunk and lungs of ``patient`` on the plane of one image."""
    x, y = plane.x, plane.y
    cage = along(patient.cage(), y)
    outline = along(patient.outline(), y)
    across = x / outline
    depth = _depth(patient, y)
    trunk = depth * chord(across * across)

    side = np.abs(x)
    dome = diaphragm(patient, plane, cage)
    q = side / cage
    lung = np.sqrt(chord(q * q)) * ramp(cage - side, 0.012)
    lung *= 1.0 - mediastinum(patient, plane)
    below = y - dome
    # The recess: lung in front of and behind the dome, thinner downwards.
    recess = 0.30 * np.clip(1.0 - below * 3.2, 0.0, 1.0)
    base = ramp(-below, 0.014)
    top = np.clip((y - patient.apex) * 3.0 + 0.25, 0.3, 1.0)
    inside = lung * (base + (1.0 - base) * recess)
    air = inside * top * depth * 0.93
    gas = airways(plane) + stomach(patient, plane, dome)
    return Chest(trunk, air, gas, cage)


def _depth(patient: Patient, y: Field) -> Field:
    """Return the thickness of the trunk in its middle, from thin neck to thick belly."""
    neck = ramp(y - (patient.apex - 0.05), 0.3)
    belly = ramp(y - 0.5, 0.5)
    return np.float32(patient.girth) * (0.62 + 0.38 * neck + 0.14 * belly)


def diaphragm(patient: Patient, plane: Plane, cage: Field) -> Field:
    """Return the height of the diaphragm in the column of each pixel."""
    x = plane.x
    lift = 0.17 * plane.pose.expiration
    right = x < 0
    height = np.where(right, np.float32(patient.dome_right), np.float32(patient.dome_left)) - lift
    t = (np.abs(x) - 0.40) / 0.46
    t2 = t * t
    # Flat in the middle, steep towards the costophrenic angle.
    fall = np.where(t > 0, 0.10 * t2 + 0.20 * t2 * t2, 0.10 * t2)
    return (height + fall).astype(np.float32)


def mediastinum(patient: Patient, plane: Plane) -> Field:
    """Return the proportion of the lung depth that heart and great vessels take, 0 to 1."""
    x, y = plane.x, plane.y
    turn = 0.05 * plane.pose.turn
    lift = 0.10 * plane.pose.expiration
    size = patient.heart * (1.0 + 0.08 * plane.pose.expiration)
    high = 0.03 * (1 - patient.child)
    balls = [  # centre, half-axes, angle, how much of the depth
        (0.15, 0.27, 0.46 * size, 0.30 * size, patient.heart_tilt, 1.25),  # left heart
        (-0.05, 0.22, 0.19 * size, 0.32 * size, 0.1, 1.25),  # right heart
        (0.11, -0.08, 0.115 * size, 0.30, -0.25, 1.25),  # pulmonary trunk
        (0.085 + high, -0.36, 0.09, 0.13, 0.0, 1.25),  # aortic arch
        (-0.10, -0.30, 0.075, 0.55, 0.0, 1.25),  # superior vena cava
        (0.02, -0.42, 0.21, 0.26, 0.0, patient.child),  # thymus
        (-0.19, -0.02, 0.10, 0.16, 0.35, 0.3),  # hila
        (0.20, -0.06, 0.09, 0.14, -0.35, 0.3),
    ]
    solid: Field = np.zeros_like(x)
    for cx, cy, a, b, angle, share in balls:
        box = plane.around(cx + turn, cy - lift, max(a, b))
        ball = _ball(x[box] - turn, y[box] + lift, cx, cy, a, b, angle)
        ball *= share
        np.maximum(solid[box], ball, out=solid[box])
    np.minimum(solid, 0.93, out=solid)
    column = np.float32(0.135) + 0.03 * np.clip(-y - 0.4, 0.0, 0.6) * patient.child
    middle = ramp(column - np.abs(x - 0.6 * turn), 0.03)
    return np.maximum(solid, middle, out=solid)


def _ball(x: Field, y: Field, cx: float, cy: float, a: float, b: float, angle: float) -> Field:
    """Return the relative thickness of an ellipsoid, 0 to 1."""
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    u = ((x - cx) * cos + (y - cy) * sin) * (1.0 / a)
    v = ((y - cy) * cos - (x - cx) * sin) * (1.0 / b)
    return chord(u * u + v * v)


def airways(plane: Plane) -> Field:
    """Return the thickness of air in the trachea and main bronchi."""
    gas: Field = np.zeros_like(plane.x)
    top = plane.rows_above(0.1)
    x = plane.x[top] - 0.035 * plane.pose.turn
    y = plane.y[top] + 0.06 * plane.pose.expiration
    carina = -0.27
    t = (x - 0.008) / 0.05
    trachea = chord(t * t) * ramp(carina + 0.03 - y, 0.05)
    side = np.abs(x)
    slope = np.where(x < 0, np.float32(0.95), np.float32(0.6))
    d = (y - carina - slope * side) / 0.042
    bronchi = chord(d * d) * ramp(0.2 - side, 0.05)
    gas[top] = 0.24 * np.maximum(trachea, 0.7 * bronchi)
    return gas


def stomach(patient: Patient, plane: Plane, dome: Field) -> Field:
    """Return the thickness of the gas bubble under the left dome, which 3 of 4 patients have."""
    rng = np.random.default_rng([patient.seed, 11])
    if rng.random() < 0.25:
        return np.zeros_like(plane.x)
    cx, below = rng.uniform(0.26, 0.46), rng.uniform(0.09, 0.15)
    a, b = rng.uniform(0.10, 0.22), rng.uniform(0.05, 0.10)
    depth = rng.uniform(0.15, 0.4)
    bubble: Field = np.zeros_like(plane.x)
    box = plane.around(cx, patient.dome_left + below - 0.08, 0.2 + max(a, b))
    bubble[box] = depth * _ball(plane.x[box], (plane.y - dome)[box] - below, cx, 0.0, a, b, -0.2)
    return bubble


def breast_shadow(patient: Patient, plane: Plane) -> Field:
    """Return the thickness of the breasts."""
    if patient.breast == 0.0:
        return np.zeros_like(plane.x)
    x, y = np.abs(plane.x), plane.y
    hang = 0.28 + 0.2 * patient.breast
    shadow = _ball(x, y, 0.52, hang, 0.36, 0.30, 0.15)
    np.sqrt(shadow, out=shadow)
    shadow *= 0.22 * patient.breast
    return shadow


def arm_shadow(patient: Patient, plane: Plane) -> Field:
    """Return the thickness of the upper arms in the field."""
    arms = plane.pose.arms
    side, y = np.abs(plane.x), plane.y
    axis = 1.13 + 0.35 * patient.wall + (0.75 - 0.62 * arms) * np.clip(y + 0.62, -0.1, None)
    half = 0.13 + 0.05 * patient.child + 0.3 * patient.wall
    t = (side - axis) / half
    return 0.5 * patient.girth * chord(t * t) * ramp(y - (patient.apex + 0.12), 0.1)
