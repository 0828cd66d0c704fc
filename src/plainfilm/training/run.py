"""The folder of one training: what is in it, and reading it."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plainfilm import _files
from plainfilm._csv import csv_text
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.config import Recipe
from plainfilm.data import Manifest, fingerprint, pick
from plainfilm.errors import RunError, SourceError
from plainfilm.training.plan import PLAN, Plan
from plainfilm.training.training_images import SplitImages


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training.

    Attributes
    ----------
    folder
        The folder of the run.
    plan
        What was trained, and on which data.
    manifest
        Every record with its split; files that could not be read are in its ``left_out``.
    bundle
        The sealed bundle.
    """

    folder: Path
    plan: Plan
    manifest: Manifest
    bundle: Bundle

    @property
    def history(self) -> list[dict[str, float]]:
        """Return one row for each epoch from ``history.csv``; NaN where a value is undefined.

        Keys: ``epoch``, ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``, ``val_auroc``,
        ``learning_rate``, ``seconds``. Empty if the file is missing.
        """
        path = self.folder / "history.csv"
        if not path.exists():
            return []
        try:
            text = io.StringIO(_files.read_regular(path).decode(), newline="")
            reader = csv.DictReader(text, strict=True)
            if "epoch" not in (reader.fieldnames or ["epoch"]):
                raise ValueError("no column epoch")
            return [
                {key: float(cell) if cell else math.nan for key, cell in _whole(row).items()}
                for row in reader
            ]
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise RunError(
                f"{path} is damaged",
                received=_files.reason_of(error),
                remedy="remove it; the report then shows no history",
            ) from error


def _whole(row: dict[str, str]) -> dict[str, str]:
    if None in row.values():
        raise ValueError("a row is incomplete")
    return row


def open_run(folder: str | Path) -> Run:
    """Open a finished run.

    Raises
    ------
    RunError
        If the folder is not a run, or a run of another version.
    BundleError
        If training has not finished, or the bundle was changed.
    """
    folder = Path(folder)
    if not (folder / PLAN).is_file():
        raise RunError(
            f"{folder} is not the folder of a run",
            received=f"there is no {PLAN}",
            remedy="give the folder that plainfilm train wrote",
        )
    plan = Plan.read(folder / PLAN)
    try:
        manifest = Manifest.read(folder / "manifest.parquet")
    except (FileNotFoundError, NotADirectoryError, SourceError) as error:
        raise RunError(
            f"{folder} has no readable manifest.parquet",
            remedy="run the same plainfilm train again to continue this training",
        ) from error
    return Run(folder, plan, manifest, read_bundle(folder / "bundle"))


def write_data(folder: Path, manifest: Manifest, training: SplitImages) -> None:
    """Write which files were left out, and the fingerprint of the training set."""
    rows = [(item.id, item.reason, item.problem) for item in manifest.left_out]
    _files.write_text(folder / "left_out.csv", csv_text([("id", "reason", "problem"), *rows]))
    _files.write_json(
        folder / "fingerprint.json", fingerprint(training.records, training.images).to_json()
    )


def write_augmented(folder: Path, recipe: Recipe, training: SplitImages, seed: int) -> None:
    """Write a few augmented training images and their classes, ``augmented.npz``."""
    from plainfilm.training.preview import augmented_images

    records, rows = training.records, pick(training.records)
    images = training.images.gather(rows)
    with _files.atomic_path(folder / "augmented.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            images=augmented_images(recipe.augment, recipe.input.size, images, seed=seed),
            labels=[records.task.class_of(records.records[row].labels) for row in rows],
        )
