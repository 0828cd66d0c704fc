"""Writes a synthetic data set as class folders, named like the public Kaggle data set."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import numpy as np

from plainfilm._files import explain_oserror, make_folder
from plainfilm._machine import cores
from plainfilm._progress import Progress, silent
from plainfilm.errors import UsageError
from plainfilm.phantom.anatomy import sample_patient
from plainfilm.phantom.disease import Pattern
from plainfilm.phantom.drawings import SERIES, Drawing, plan_drawings
from plainfilm.phantom.encode import Format, encode
from plainfilm.phantom.radiograph import render

DEMO_IMAGES: Mapping[str, int] = MappingProxyType({"train": 1200, "test": 300})
"""Number of images in each split of the demo."""

_PATTERN: Mapping[str, Pattern | None] = {"normal": None, "bacteria": "lobar", "virus": "patchy"}
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Collection:
    """A data set that :func:`write_dataset` wrote; iterates over its drawings.

    Attributes
    ----------
    folder
        Folder of the data set.
    drawings
        The images, split by split and series by series.
    """

    folder: Path
    drawings: tuple[Drawing, ...]

    def __len__(self) -> int:
        return len(self.drawings)

    def __iter__(self) -> Iterator[Drawing]:
        return iter(self.drawings)


def write_dataset(
    folder: Path | str,
    *,
    images: Mapping[str, int] = DEMO_IMAGES,
    seed: int = 0,
    format: Format = "jpeg",
    size: int = 256,
    prevalence: float = 0.6,
    bacteria: float = 0.6,
    subtlety: tuple[float, float] = (0.1, 0.85),
    workers: int | None = None,
    progress: Progress = silent,
) -> Collection:
    """Draw a labelled data set: ``train/NORMAL``, ``train/PNEUMONIA``, ``test/NORMAL``, ...

    The same arguments give the same bytes for any number of workers. A patient has one or several
    images, in one split and of one class.

    Parameters
    ----------
    folder
        Output folder, new or empty.
    images
        Number of images in each split.
    seed
        Seed of all random choices.
    format
        ``jpeg``, ``png`` or ``dicom``.
    size
        Side of a square with the same area as each image, in pixels; aspect ratios vary.
    prevalence
        Proportion of pneumonia in each split, 0 to 1.
    bacteria
        Proportion of lobar pneumonia in all pneumonia, 0 to 1.
    subtlety
        Range of the subtlety of pneumonia, within 0 (obvious) to 1 (hardly visible).
    workers
        Number of processes; by default one for each core, fewer for a small data set.
    progress
        Callback for the stage ``drawing images``.

    Raises
    ------
    UsageError
        If an argument is out of range or the folder is not empty.
    StorageError
        If the disk is full or not writable.
    """
    _check(images, format, prevalence, bacteria, subtlety, workers)
    root = make_folder(Path(folder))
    if any(root.iterdir()):
        raise UsageError(f"the folder {root} is not empty", remedy="choose a new folder")
    drawings = plan_drawings(images, seed, format, size, prevalence, bacteria, subtlety)
    for name in sorted({str(Path(drawing.name).parent) for drawing in drawings}):
        make_folder(root / name)
    draw = partial(_draw_batch, root, seed=seed, format=format)
    _draw_all(draw, drawings, _workers(workers, len(drawings)), progress)
    return Collection(root, tuple(drawings))


def _check(
    images: Mapping[str, int],
    format: str,
    prevalence: float,
    bacteria: float,
    subtlety: tuple[float, float],
    workers: int | None,
) -> None:
    if format not in get_args(Format):
        raise UsageError(
            f"the format must be one of {', '.join(get_args(Format))}", received=repr(format)
        )
    if not images or any(count < 0 for count in images.values()) or not sum(images.values()):
        raise UsageError(
            "the numbers of images must be 0 or more, and not all 0", received=dict(images)
        )
    for name in images:
        if not name or Path(name).name != name or name.startswith("."):
            raise UsageError("the name of a split must be a valid folder name", received=repr(name))
    for name, share in (("prevalence", prevalence), ("proportion of bacteria", bacteria)):
        if not 0.0 <= share <= 1.0:
            raise UsageError(f"the {name} must be between 0 and 1", received=share)
    if not 0.0 <= subtlety[0] <= subtlety[1] <= 1.0:
        raise UsageError("the subtlety must be a range between 0 and 1", received=subtlety)
    if workers is not None and workers < 1:
        raise UsageError("the number of workers must be at least 1", received=workers)


def _workers(workers: int | None, images: int) -> int:
    if workers is None:
        # Starting a process takes about as long as twenty images.
        workers = min(cores(), 1 + images // 60)
    return max(1, min(workers, images))


def _draw_all(
    draw: Callable[[Sequence[Drawing]], int],
    drawings: Sequence[Drawing],
    workers: int,
    progress: Progress,
) -> None:
    left = {at: drawings[at : at + _BATCH] for at in range(0, len(drawings), _BATCH)}
    done = 0
    progress("drawing images", done, len(drawings))
    if workers > 1:
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        # A script without a main guard cannot start processes, and a small container may kill one.
        # The remaining images are drawn in this process, with the same result.
        with contextlib.suppress(BrokenProcessPool):
            try:
                jobs = {pool.submit(draw, batch): at for at, batch in left.items()}
                for job in as_completed(jobs):
                    done += job.result()
                    del left[jobs[job]]
                    progress("drawing images", done, len(drawings))
            finally:
                pool.shutdown(cancel_futures=True)
    for batch in left.values():
        done += draw(batch)
        progress("drawing images", done, len(drawings))


def _draw_batch(root: Path, batch: Sequence[Drawing], seed: int, format: Format) -> int:
    for drawing in batch:
        series = SERIES.index(drawing.series)
        patient = sample_patient(np.random.default_rng([seed, 2, series, drawing.number]))
        rng = np.random.default_rng([seed, 3, series, drawing.number, drawing.image])
        picture = render(
            rng,
            size=(drawing.height, drawing.width),
            patient=patient,
            pneumonia=_PATTERN[drawing.series],
            subtlety=drawing.subtlety,
        )
        key = f"{seed}-{drawing.patient}"
        data = encode(rng, picture, format, patient=patient, key=key, image=drawing.image)
        path = root / drawing.name
        try:
            path.write_bytes(data)
        except OSError as error:
            raise explain_oserror(error, path) from error
    return len(batch)
