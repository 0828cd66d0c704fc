"""Draws the bones of the chest as attenuation maps: ribs, spine, shoulder girdle."""

from __future__ import annotations

import numpy as np

from plainfilm.phantom.anatomy import Patient
from plainfilm.phantom.projection import Field, Plane, chord, ramp, tube
from plainfilm.phantom.tissue import Chest


def ribs(patient: Patient, plane: Plane, chest: Chest) -> Field:
    """Return the ribs of both sides.

    A rib is a tilted hoop. At relative distance ``q`` from the midline its back is
    ``drop * (1 - sqrt(1 - q**2))`` below its start at the spine, its front
    ``drop * (1 + sqrt(1 - q**2))``. All ribs are drawn at once, as whole numbers of one phase.
    """
    rng = np.random.default_rng([patient.seed, 21])
    hoop = chest.cage + np.float32(0.018)
    side = np.abs(plane.x)
    q = np.minimum(side / hoop, np.float32(0.997))
    bend = np.sqrt(1.0 - q * q)
    slope = np.float32(patient.rib_drop) * q / (bend * hoop)
    # Limited, since the ribs would merge to one line at the side.
    steep = np.sqrt(1.0 + np.minimum(slope * slope, 2.2))
    # A ray along the side wall passes a rib lengthwise.
    grazing = np.minimum(1.0 / (bend + 0.25), 2.2)
    within = ramp(hoop + patient.rib_width - side, 0.015)
    lift = np.where(plane.x < 0, rng.normal(0, 0.01), rng.normal(0, 0.01)).astype(np.float32)
    rise = 0.07 * q * (1.0 - q)
    back = plane.y - lift - patient.rib_drop * (1.0 - bend) + rise - patient.rib_first
    front = plane.y - lift - patient.rib_drop * (1.0 + 1.15 * bend) - patient.rib_first
    behind = _hoops(patient, rng, back, steep, last=10) * ramp(side - 0.07, 0.03)
    # Near the sternum ribs are cartilage, which is hardly visible.
    before = _hoops(patient, rng, front, steep, last=7) * ramp(q - 0.52, 0.09)
    bone: Field = 0.36 * behind + 0.24 * before
    bone *= patient.bone * within * grazing
    return bone


def _hoops(
    patient: Patient, rng: np.random.Generator, height: Field, steep: Field, *, last: int
) -> Field:
    gap = patient.rib_gap
    shift = rng.normal(0.0, 0.006, last + 3).astype(np.float32)
    width = (patient.rib_width * rng.normal(1.0, 0.06, last + 3)).astype(np.float32)
    phase = height / gap
    nearest = np.clip(np.rint(phase), -1, last + 1)
    number = nearest.astype(np.int32)
    t = (height - nearest * gap - shift[number]) / (steep * width[number])
    shape = tube(t, hollow=0.8, marrow=0.3)
    shape[(number < 0) | (number > last)] = 0.0
    return shape


def spine(patient: Patient, plane: Plane) -> Field:
    """Return the spine: vertebral bodies, end plates, pedicles, spinous processes."""
    column: Field = np.zeros_like(plane.x)
    columns = plane.columns_within(0.26)
    y = plane.y[:, columns]
    rng = np.random.default_rng([patient.seed, 22])
    curve = rng.normal(0.0, 0.02) * np.sin(y * 2.2)
    x = plane.x[:, columns] + 0.03 * plane.pose.turn - curve
    gap = 0.152
    phase = (y - 0.07) / gap
    local = phase - np.rint(phase)
    half = (0.096 + 0.014 * np.clip(y, -1, 1)) * (0.92 + 0.5 * local * local)
    edge = np.abs(x) / half
    across = ramp(1.0 - edge, 0.16)
    body = ramp(0.37 - np.abs(local), 0.05)
    plates = ramp(0.07 - np.abs(np.abs(local) - 0.35), 0.05)
    cortex = ramp(0.13 - np.abs(edge - 0.93), 0.1)
    bone = across * (0.12 + 0.12 * body + 0.07 * plates) + 0.06 * cortex * body
    column[:, columns] = patient.bone * (bone + _processes(x, local))
    return column


def _processes(x: Field, local: Field) -> Field:
    """Return pedicles, spinous and transverse processes at ``local`` height in a vertebra."""
    side = np.abs(x)
    ring = ((side - 0.055) / 0.021) ** 2 + ((local + 0.1) / 0.2) ** 2
    pedicle = ramp(0.5 - np.abs(ring - 0.7), 0.4)
    thorn = chord((x / 0.016) ** 2 + ((local - 0.22) / 0.24) ** 2)
    stub = tube((local + 0.12) / 0.17) * ramp(0.165 - side, 0.03) * ramp(side - 0.08, 0.02)
    return 0.07 * pedicle + 0.10 * thorn + 0.08 * stub


def shoulders(patient: Patient, plane: Plane) -> Field:
    """Return clavicles, scapulae and humeri."""
    bone = 0.17 * _scapulae(patient, plane)
    top = plane.rows_above(-0.2)
    x, y = plane.x[top], plane.y[top]
    bone[top] += 0.46 * _clavicles(patient, plane, x, y)
    bone += _humeri(patient, plane)
    return patient.bone * bone


def _clavicles(patient: Patient, plane: Plane, x: Field, y: Field) -> Field:
    turn = 0.05 * plane.pose.turn
    side = np.abs(x - turn)
    start, reach = 0.085, 0.80
    s = (side - start) / reach
    # A clavicle is S-shaped and thick at both ends.
    rise = patient.clavicle + 0.06 * plane.pose.tilt
    height = patient.apex + 0.23 - (rise + 0.04) * s - 0.035 * np.sin(s * 6.0)
    half = 0.030 + 0.018 * (2 * s - 0.9) ** 2
    t = (y - height) / half
    ends = ramp(s + 0.01, 0.02) * ramp(1.02 - s, 0.03)
    return tube(t, hollow=0.66, marrow=0.4) * ends


def _scapulae(patient: Patient, plane: Plane) -> Field:
    top, out = patient.apex, 0.06 * (1 - plane.pose.arms)
    shapes = []
    for sign in (-1.0, 1.0):
        blade = [(0.74, 0.16), (0.92, 0.10), (1.02, 0.22), (0.95, 0.36), (0.86, 0.70), (0.78, 0.66)]
        inner = [(0.765, 0.2), (0.91, 0.15), (0.97, 0.23), (0.92, 0.35), (0.845, 0.63), (0.8, 0.61)]
        ridge = [(0.76, 0.24), (1.06, 0.10), (1.08, 0.15), (0.78, 0.28)]
        for corners, value in ((blade, 0.9), (inner, 0.42), (ridge, 0.75)):
            shapes.append(([(sign * (u + out), top + v) for u, v in corners], value))
    return plane.polygons(shapes)


def _humeri(patient: Patient, plane: Plane) -> Field:
    side, y = np.abs(plane.x), plane.y - patient.apex
    lean = 0.75 - 0.62 * plane.pose.arms
    head = 1.12 + 0.3 * patient.wall
    r2 = ((side - head) / 0.095) ** 2 + ((y - 0.22) / 0.10) ** 2
    ball = 0.26 * chord(r2)
    t = (side - head - 0.03 - lean * (y - 0.22)) / 0.048
    shaft = 0.26 * tube(t, hollow=0.6) * ramp(y - 0.24, 0.06)
    arm: Field = np.maximum(ball, shaft)
    return arm
