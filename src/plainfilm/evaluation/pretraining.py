"""Reports evaluated images that pretrained weights may have seen."""

from __future__ import annotations

from collections.abc import Iterable

from plainfilm.bundle.pretrained import PretrainedWeights
from plainfilm.bundle.public_sets import shared_sets
from plainfilm.data import Manifest
from plainfilm.data.sources.listing import Item
from plainfilm.data.sources.patients.names import convention_patients
from plainfilm.records import Finding

CHECK = "pretrained-overlap"

_NEARLY_ALL = 0.9


def report_pretraining(weights: Iterable[PretrainedWeights], manifest: Manifest) -> list[Finding]:
    """Return a warning for each of the weights trained on the public set that is evaluated.

    The set is recognised by the name of the data and by the names of its files.
    """
    known = [one for one in weights if one.trained_on]
    names = [manifest.name, *_conventions(manifest)] if known else []
    return [
        Finding(
            check=CHECK,
            severity="warning",
            problem=f"{one.beginning}, which were trained on {' and '.join(shared)}, and these "
            "images have the names of that data set",
            count=len(manifest),
            consequence="if the weights were trained on these images, the results are too "
            "optimistic",
            remedy="evaluate on images of another source, or check that the weights were not "
            "trained on these images",
        )
        for one in known
        if (shared := shared_sets(one.trained_on, names))
    ]


def _conventions(manifest: Manifest) -> set[str]:
    """Return the naming conventions of public sets that nearly all files follow."""
    items = [Item(name, "", name, "") for name in manifest.ids.tolist()]
    scopes = [node.scope for node in convention_patients(items) if node is not None]
    return {*scopes} if items and len(scopes) >= _NEARLY_ALL * len(items) else set()
