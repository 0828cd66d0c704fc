"""Describes the model whose predictions are evaluated: a bundle, or the maker of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plainfilm.bundle import Bundle, IndeterminateRange, Rejection
from plainfilm.evaluation.document.evaluation import ModelSummary, TrainingSummary
from plainfilm.records import OperatingPoint, Task, ThresholdEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedModel:
    """What an evaluation has to know of a model.

    Attributes
    ----------
    operating_points
        Thresholds that were given or locked on validation.
    validation
        What validation shows about them, by label and name of the point.
    indeterminate, rejection
        See `plainfilm.bundle.BundleMetadata`.
    training_prevalence
        Share of positives of each label where the model was trained or calibrated.
    """

    summary: ModelSummary
    task: Task
    operating_points: tuple[OperatingPoint, ...] = ()
    validation: Mapping[tuple[str, str], ThresholdEvidence] = field(default_factory=dict)
    indeterminate: Mapping[str, IndeterminateRange] = field(default_factory=dict)
    rejection: Rejection | None = None
    training_prevalence: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle) -> JudgedModel:
        """Return the description of a bundle."""
        origin = bundle.provenance
        imported, locked = origin.imported_from, origin.locked_on
        unchanged = imported is not None and locked is None
        summary = ModelSummary(
            name=_name(bundle.folder),
            kind="bundle",
            id=bundle.id,
            recipe=origin.recipe.name if origin.recipe else None,
            created=origin.created,
            backend=origin.backend,
            seed=origin.seed,
            temperature=None if unchanged else bundle.temperature,
            locked_on=locked,
            assumed_prevalence=origin.assumed_prevalence,
            training=TrainingSummary(
                origin.dataset,
                origin.train_images,
                origin.validation_images,
                origin.synthetic_images,
            ),
            imported_from=None
            if imported is None
            else f"{imported.file}, SHA-256 {imported.sha256}",
            pretrained=origin.pretrained,
            inherited=origin.inherited,
        )
        return cls(
            summary=summary,
            task=bundle.task,
            operating_points=bundle.operating_points,
            validation={
                (one.point.label, one.point.name): one.validation
                for one in bundle.points
                if not unchanged
            },
            indeterminate=bundle.indeterminate,
            rejection=bundle.rejection,
            training_prevalence=origin.training_prevalence,
        )


def _name(folder: Path) -> str:
    """Return the name of the folder of a bundle, or of the run that it is in."""
    path = folder.resolve()
    return path.parent.name if path.name == "bundle" else path.name
