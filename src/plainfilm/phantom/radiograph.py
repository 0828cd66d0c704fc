"""Draws a synthetic frontal chest radiograph."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import UsageError
from plainfilm.phantom.anatomy import Patient, sample_patient, sample_pose
from plainfilm.phantom.bones import ribs, shoulders, spine
from plainfilm.phantom.disease import PATTERNS, Pattern, lobar_fill, patchy_fill
from plainfilm.phantom.film import cloud, develop, expose, sample_exposure
from plainfilm.phantom.marks import cables, collimate, stamp_letter
from plainfilm.phantom.projection import Field, Plane, make_plane
from plainfilm.phantom.tissue import arm_shadow, breast_shadow, build_chest
from plainfilm.phantom.vessels import draw_bronchi, draw_vessels, grow_tree

_SMALLEST, _LARGEST = 16, 4096


def draw(
    rng: np.random.Generator,
    *,
    size: int | tuple[int, int] = 256,
    patient: Patient | None = None,
    pneumonia: Pattern | str | None = None,
    subtlety: float = 0.3,
) -> NDArray[np.uint8]:
    """Draw a frontal chest radiograph.

    The thicknesses of tissue, air and bone along each ray attenuate the beam; noise, blur, scatter
    and a film curve follow.

    Parameters
    ----------
    rng
        Random generator for pose, exposure, noise, marks and, by default, the patient.
    size
        Side of a square, or (height, width), in pixels, 16 to 4096.
    patient
        The patient; random if None.
    pneumonia
        ``"lobar"``, ``"patchy"`` or None for healthy.
    subtlety
        Subtlety of the pneumonia, 0 (obvious) to 1 (hardly visible).

    Returns
    -------
    ndarray of uint8, (height, width)

    Raises
    ------
    UsageError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> draw(np.random.default_rng(1), size=(64, 80), pneumonia="lobar").shape
    (64, 80)
    """
    picture = render(rng, size=size, patient=patient, pneumonia=pneumonia, subtlety=subtlety)
    return np.rint(picture * 255).astype(np.uint8)


def render(
    rng: np.random.Generator,
    *,
    size: int | tuple[int, int] = 256,
    patient: Patient | None = None,
    pneumonia: Pattern | str | None = None,
    subtlety: float = 0.3,
) -> Field:
    """Return the image of :func:`draw` before rounding: float32, 0 to 1, (height, width)."""
    height, width = _check(size, pneumonia, subtlety)
    patient = sample_patient(rng) if patient is None else patient
    # A narrow image must still contain the lungs.
    pose = sample_pose(rng, patient)
    smallest = 2.0 * (patient.half_width + 0.06) * height / width
    pose = replace(pose, zoom=max(pose.zoom, smallest))
    plane = make_plane(pose, height, width)
    attenuation, body = _absorb(rng, patient, plane, cast(Pattern | None, pneumonia), subtlety)
    exposure = sample_exposure(rng)
    density = expose(rng, attenuation, exposure)
    return np.clip(_mark(rng, develop(density, exposure, body)), 0.0, 1.0)


def _check(size: int | tuple[int, int], pneumonia: str | None, subtlety: float) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if not all(_SMALLEST <= side <= _LARGEST for side in (height, width)):
        raise UsageError(
            f"the sides of the image must be between {_SMALLEST} and {_LARGEST} pixels",
            received=size,
        )
    if pneumonia is not None and pneumonia not in PATTERNS:
        raise UsageError("the pneumonia must be lobar, patchy or None", received=repr(pneumonia))
    if not 0.0 <= subtlety <= 1.0:
        raise UsageError("the subtlety must be between 0 and 1", received=subtlety)
    return height, width


def _absorb(
    rng: np.random.Generator,
    patient: Patient,
    plane: Plane,
    pneumonia: Pattern | None,
    subtlety: float,
) -> tuple[Field, Field]:
    """Return the attenuation of each ray, and a map of the trunk, 0 to 1."""
    chest = build_chest(patient, plane)
    tree = grow_tree(patient, plane.pose.expiration)
    air = chest.air
    cuff = 0.0
    if pneumonia == "lobar":
        fill = lobar_fill(rng, patient, plane, chest, draw_bronchi(tree, plane), subtlety)
        air = air * (1.0 - fill)
    elif pneumonia == "patchy":
        fill = patchy_fill(rng, patient, plane, chest, subtlety)
        air = air * (1.0 - fill)
        cuff = 1.0 - subtlety
    crowding = 1.0 + 0.5 * plane.pose.expiration
    share = np.clip(air * 2.0, 0.0, 1.0)
    blood = draw_vessels(tree, plane, cuff=cuff) * share * np.float32(0.13 * crowding)
    texture = cloud(rng, plane.x.shape, 0.006 * plane.pixels, power=0.9)
    # A lung is one quarter tissue at full inspiration, and more at poor inspiration.
    spared = 0.80 - 0.09 * plane.pose.expiration
    soft = chest.trunk - spared * air * (1.0 + 0.035 * texture) - chest.gas
    arms = arm_shadow(patient, plane)
    soft = np.maximum(soft, 0.0) + blood + breast_shadow(patient, plane)
    soft = np.sqrt(soft * soft + arms * arms)
    bone = ribs(patient, plane, chest) + spine(patient, plane) + shoulders(patient, plane)
    # No bone outside the body.
    bone *= np.clip((chest.trunk + arms) * 6.0, 0.0, 1.0)
    total = 2.0 * soft + 1.15 * bone
    if rng.random() < 0.12:
        total = total + 0.5 * cables(rng, plane)
    return total.astype(np.float32), np.clip(chest.trunk * 4.0, 0.0, 1.0)


def _mark(rng: np.random.Generator, picture: Field) -> Field:
    if rng.random() < 0.75:
        letter = "R" if rng.random() < 0.7 else "L"
        left = rng.uniform(0.03, 0.10)
        corner = (left if letter == "R" else 0.94 - left, rng.uniform(0.04, 0.4))
        picture = stamp_letter(
            picture, letter, corner, rng.uniform(0.04, 0.06), rng.uniform(0.75, 1.0)
        )
    if rng.random() < 0.3:
        picture = collimate(rng, picture)
    return picture
