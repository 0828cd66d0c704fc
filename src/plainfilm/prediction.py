"""Defines a prediction, and its fields in every output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Prediction"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one image, or the reason why there is none.

    Attributes
    ----------
    id
        Name of the image: the path as given, or the id of the record.
    probabilities
        Probability of each label, 0 to 1; empty if the image cannot be read.
    predicted
        Predicted class of each operating point; empty if the image is rejected or unreadable.
    metadata
        Metadata of the file, without patient identity.
    reason, problem
        Stable code and sentence why there is no predicted class, or None.
    novelty
        Distance of the image from the training images, 0 or more; None if the bundle does not
        measure it.
    rejected
        Whether the image can be read, but its probabilities should not be used.
    indeterminate
        Labels whose probability is in the indeterminate range around the threshold; empty if the
        image is rejected.
    """

    id: str
    probabilities: Mapping[str, float]
    predicted: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str | float] = field(default_factory=dict)
    reason: str | None = None
    problem: str | None = None
    novelty: float | None = None
    rejected: bool = False
    indeterminate: tuple[str, ...] = ()

    @property
    def is_unreadable(self) -> bool:
        """Whether the image cannot be read."""
        return self.reason is not None and not self.rejected

    @property
    def predicted_class(self) -> str | None:
        """The class at the main operating point; for several labels the positive ones.

        That is ``balanced``, or else ``given``: the threshold that was given for an imported model.
        None if there is no threshold.
        """
        if self.reason is not None or not self.predicted:
            return None
        for name in ("most-likely", "balanced", "given"):
            if one := self.predicted.get(name):
                return one
            own = {
                key.rpartition("/")[0]: value
                for key, value in self.predicted.items()
                if key.endswith(f"/{name}")
            }
            if own:
                return ", ".join(key for key, value in own.items() if value == "positive") or "none"
        return "none"

    def to_json(self, *, all_probabilities: bool = False) -> dict[str, Any]:
        """Return the fields that all outputs have, without the id.

        Keys are ``probabilities`` (6 decimals), ``predicted``, ``novelty`` (4 decimals),
        ``rejected``, ``indeterminate``, ``reason``, ``problem`` and ``metadata``. The probabilities
        of a rejected image are left out, unless ``all_probabilities``.
        """
        shown = {} if self.rejected and not all_probabilities else self.probabilities
        return {
            "probabilities": {k: round(v, 6) for k, v in shown.items()},
            "predicted": dict(self.predicted),
            "novelty": None if self.novelty is None else round(self.novelty, 4),
            "rejected": self.rejected,
            "indeterminate": [*self.indeterminate],
            "reason": self.reason,
            "problem": self.problem,
            "metadata": dict(self.metadata),
        }

    def to_row(
        self, labels: Sequence[str], *, all_probabilities: bool = False
    ) -> dict[str, str | float | bool | None]:
        """Return the fields of `to_json` as cells of a table, without the metadata."""
        fields = self.to_json(all_probabilities=all_probabilities)
        return {
            **{f"probability_{label}": fields["probabilities"].get(label) for label in labels},
            "predicted": self.predicted_class,
            "novelty": fields["novelty"],
            "rejected": self.rejected,
            "indeterminate": ";".join(self.indeterminate),
            "reason": self.reason,
            "problem": self.problem,
        }
