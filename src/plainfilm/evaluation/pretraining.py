"""Reports evaluated images that pretrained weights may have seen."""

from __future__ import annotations

from plainfilm.bundle.pretrained import PretrainedWeights
from plainfilm.bundle.public_sets import shared_sets
from plainfilm.data import Manifest
from plainfilm.data.sources.listing import Item
from plainfilm.data.sources.patients.names import convention_patients
from plainfilm.records import Finding

CHECK = "pretrained-overlap"

_NEARLY_ALL = 0.9


def report_pretraining(weights: PretrainedWeights | None, manifest: Manifest) -> list[Finding]:
    """Return a warning if the weights were trained on the public set that is evaluated.

    The set is recognised by the name of the data and by the names of its files.
    """
    if weights is None or not weights.trained_on:
        return []
    shared = shared_sets(weights.trained_on, [manifest.name, *_conventions(manifest)])
    if not shared:
        return []
    return [
        Finding(
            check=CHECK,
            severity="warning",
            problem=f"the training started from the weights {weights.name}, which were trained on "
            f"{' and '.join(shared)}, and these images have the names of that data set",
            count=len(manifest),
            consequence="if the weights were trained on these images, the results are too "
            "optimistic",
            remedy="evaluate on images of another source, or check that the weights were not "
            "trained on these images",
        )
    ]


def _conventions(manifest: Manifest) -> set[str]:
    """Return the naming conventions of public sets that nearly all files follow."""
    items = [Item(one.id, one.path, one.path, "") for one in manifest.records]
    scopes = [node.scope for node in convention_patients(items) if node is not None]
    return {*scopes} if items and len(scopes) >= _NEARLY_ALL * len(items) else set()
