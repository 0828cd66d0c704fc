"""The result of an evaluation: its document, its predictions by image, and its mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import Manifest
from plainfilm.errors import RunError
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.evaluation.mistakes import Mistake, rank_mistakes
from plainfilm.evaluation.predictions import Predictions
from plainfilm.metrics import Interval

DOCUMENT, PREDICTIONS, MANIFEST = "evaluation.json", "predictions.parquet", "manifest.parquet"


class Stored(NamedTuple):
    """The files of an evaluation, without the records."""

    folder: Path
    document: EvaluationDocument
    predictions: Predictions

    @classmethod
    def read(cls, folder: Path) -> Stored:
        """Read the folder of an evaluation, or that of a run; see `Evaluation.read` for errors."""
        if not (folder / DOCUMENT).is_file() and (folder / "evaluation").is_dir():
            folder = folder / "evaluation"
        document = EvaluationDocument.read(folder / DOCUMENT)
        predictions = Predictions.read(folder / PREDICTIONS, document.task.labels)
        found = cls(folder, document, predictions)
        if predictions.bundle != document.bundle.id:
            raise found.mismatch("predictions of another bundle")
        return found

    def mismatch(self, received: str) -> RunError:
        """Return the error that the predictions do not belong to the document."""
        return RunError(
            f"the predictions in {self.folder} are not those of its evaluation",
            received=received,
            remedy="evaluate again",
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes
    ----------
    folder
        Folder of ``evaluation.json``, ``predictions.parquet`` and ``manifest.parquet``.
    document
        The content of ``evaluation.json``.
    manifest
        The records that were scored.
    probabilities
        (n, labels), in the order of the records.
    """

    folder: Path
    document: EvaluationDocument
    manifest: Manifest
    probabilities: NDArray[np.float32]

    @property
    def metrics(self) -> Mapping[str, Interval]:
        """Return the metrics with their intervals, by name: ``evaluation.metrics["auroc"].low``."""
        return self.document.metrics

    @classmethod
    def read(cls, folder: str | Path) -> Evaluation:
        """Read the folder of an evaluation, or that of a run that was evaluated.

        Raises
        ------
        RunError
            If there is no evaluation, or its files cannot be read or do not belong together.
        """
        stored = Stored.read(Path(folder))
        manifest = Manifest.read(stored.folder / MANIFEST)
        rows = {id_: row for row, id_ in enumerate(stored.predictions.ids)}
        records = tuple(record for record in manifest.records if record.id in rows)
        if len(records) != len(rows):
            raise stored.mismatch("predictions of other images")
        probabilities = stored.predictions.probabilities[[rows[record.id] for record in records]]
        manifest = replace(manifest, records=records)
        return cls(stored.folder, stored.document, manifest, probabilities)

    def worst(self, count: int = 12) -> tuple[Mistake, ...]:
        """Return the images that are predicted wrongly, the worst first.

        A prediction is wrong at the ``balanced`` operating point of its label, as for
        `plainfilm predict`, or, of a multi-class task, where the most probable class is not the
        true one. See `plainfilm.evaluation.mistakes.rank_mistakes` for the order.

        Parameters
        ----------
        count
            Largest number of images. There may be fewer, or none: labels without a balanced
            operating point and unknown labels are left out, and each image is listed once, with
            the label in which it is most wrong.
        """
        task, thresholds = self.manifest.task, self.document.thresholds
        ranked = rank_mistakes(self.manifest.label_array(), self.probabilities, task, thresholds)
        return tuple(
            Mistake(
                self.manifest.records[row],
                task.labels[column],
                float(self.probabilities[row, column]),
                None if task.kind == "multiclass" else thresholds[task.labels[column]],
            )
            for row, column in ranked[:count]
        )
