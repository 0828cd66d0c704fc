"""Plans the images of a synthetic data set: splits, patients, names, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plainfilm.phantom.encode import Format

_SUFFIX: Mapping[Format, str] = {"jpeg": ".jpeg", "png": ".png", "dicom": ".dcm"}
SERIES = ("normal", "bacteria", "virus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One image of a synthetic data set.

    Attributes
    ----------
    name
        Path below the folder of the data set, with forward slashes.
    split
        Name of the split.
    label
        1 for pneumonia, 0 for normal.
    series
        ``normal``, ``bacteria`` (drawn lobar) or ``virus`` (drawn patchy).
    patient
        Key of the patient, unique in the data set.
    number
        Number of the patient within its series.
    image
        Number of the image, within the patient for ``normal``, else within the series.
    subtlety
        Subtlety of the pneumonia, 0 to 1; 0 for ``normal``.
    height, width
        Size in pixels.
    """

    name: str
    split: str
    label: int
    series: str
    patient: str
    number: int
    image: int
    subtlety: float
    height: int
    width: int


def plan_drawings(
    images: Mapping[str, int],
    seed: int,
    format: Format,
    size: int,
    prevalence: float,
    bacteria: float,
    subtlety: tuple[float, float],
) -> list[Drawing]:
    """Return all images of a data set; the arguments are those of ``write_dataset``."""
    rng = np.random.default_rng([seed, 1])
    patients = dict.fromkeys(SERIES, 0)
    numbers = dict.fromkeys(SERIES, 0)
    drawings: list[Drawing] = []
    for split, count in images.items():
        ill = round(count * prevalence)
        lobar = round(ill * bacteria)
        totals = {"normal": count - ill, "bacteria": lobar, "virus": ill - lobar}
        for series, left in totals.items():
            while left:
                # The number of images of a patient must not depend on the class.
                several = min(left, int(rng.geometric(0.65)), 6)
                left -= several
                patients[series] += 1
                base = rng.uniform(*subtlety) if series != "normal" else 0.0
                for nth in range(1, several + 1):
                    numbers[series] += 1
                    image = nth if series == "normal" else numbers[series]
                    hard = float(np.clip(base + rng.normal(0.0, 0.05), *subtlety))
                    aspect = float(np.clip(rng.normal(1.2, 0.12), 0.95, 1.55))
                    drawings.append(
                        Drawing(
                            name=_name(split, series, patients[series], image, format),
                            split=split,
                            label=int(series != "normal"),
                            series=series,
                            patient=f"{series}-{patients[series]:04d}",
                            number=patients[series],
                            image=image,
                            subtlety=hard if series != "normal" else 0.0,
                            height=round(size / aspect**0.5),
                            width=round(size * aspect**0.5),
                        )
                    )
    return drawings


def _name(split: str, series: str, patient: int, image: int, format: Format) -> str:
    ending = _SUFFIX[format]
    if series == "normal":
        return f"{split}/NORMAL/IM-{patient:04d}-{image:04d}{ending}"
    return f"{split}/PNEUMONIA/person{patient}_{series}_{image}{ending}"
