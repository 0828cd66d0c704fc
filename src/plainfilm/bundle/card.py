"""Renders the model card that is sealed with a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from plainfilm._text import code_span, escape_markdown
from plainfilm.bundle.description import BundleMetadata, Provenance
from plainfilm.bundle.evidence_wording import counts_text, rate_text
from plainfilm.bundle.origin import NO_THRESHOLD, origin_section
from plainfilm.bundle.pretrained import PretrainedWeights
from plainfilm.bundle.public_sets import shared_sets
from plainfilm.records import LockedPoint

FRONT_MATTER = "---"
SYNTHETIC = (
    "This model was trained on synthetic images that plainfilm drew. Its predictions and results "
    "say nothing about patients."
)

_USE = """## Intended use

Research and teaching: to estimate the probability of the labels above in a chest X-ray, and to
study how such a model behaves. **It is not a medical device.** Do not use it to decide about a
patient.

## Out of scope

- Images unlike the training images: other ages, machines, views or countries. Performance on them
  is unknown until it is measured.
- Findings that are not among the labels. A low probability does not mean that an image
  is normal."""

_NO_TEST = """## Performance

This card was sealed before any test image was opened, so it contains no test result. The report and
the `MODEL_CARD.md` of an evaluation contain test results with confidence intervals."""

_POINTS = """## Operating points

These rates were measured on the validation images that temperature and thresholds were selected on,
so they are optimistic. In brackets: the rates with disturbed copies, where they differ."""

_HOW = """## How to use it

Install `plainfilm` from a checkout with `pip install .`, or from a wheel. Then run:

```
plainfilm predict BUNDLE IMAGE.jpeg
```

`plainfilm` verifies every file against `SHA256SUMS` before it predicts."""


def model_card(
    metadata: BundleMetadata,
    results: Iterable[Mapping[str, Any]] = (),
    sections: Iterable[str] = (),
) -> str:
    """Return ``MODEL_CARD.md`` of a bundle; ``sections`` on test results are Markdown."""
    recipe, labels = metadata.provenance.recipe, ", ".join(metadata.task.labels)
    drawn, imported = metadata.provenance.synthetic_images, metadata.provenance.imported_from
    name = f"plainfilm {recipe.name if recipe else 'model'}"
    if imported:
        name = f"Imported model {imported.file}"
    parts = [
        front_matter(metadata, results),
        f"# {escape_markdown(f'{name}: {labels}')}",
        f"**{SYNTHETIC}**" if drawn else "",
        _summary(metadata),
        _USE,
        origin_section(metadata, imported) if imported else "",
        _training(metadata.provenance),
        *(_pretrained(metadata.provenance, one) for one in metadata.provenance.all_pretrained),
        _adaptation(metadata.provenance),
        *(list(sections) or [_NO_TEST]),
        _operating_points(metadata.points),
        _limits(metadata),
        _HOW,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(metadata: BundleMetadata, results: Iterable[Mapping[str, Any]] = ()) -> str:
    """Return the header of a model card, which model hubs read: YAML between two lines of hyphens.

    ``results`` are test results as entries of ``model-index``.
    """
    origin = metadata.provenance
    recipe = origin.recipe.name if origin.recipe else "model"
    licence = None if origin.imported_from is None else origin.imported_from.licence
    tags = ["medical-imaging", "chest-x-ray", "radiology", "onnx", *metadata.task.labels]
    lines = [
        FRONT_MATTER,
        "license: other",
        f"license_name: {json.dumps(licence, ensure_ascii=False) if licence else 'not-stated'}",
        "library_name: plainfilm",
        "pipeline_tag: image-classification",
        f"tags: {json.dumps(tags, ensure_ascii=False)}",
        'metrics: ["roc_auc", "accuracy", "recall", "specificity", "brier_score"]',
    ]
    if origin.dataset:
        lines.append(f"datasets: {json.dumps([origin.dataset], ensure_ascii=False)}")
    if results := [*results]:
        index = [{"name": f"plainfilm-{recipe}", "results": results}]
        lines.append(f"model-index: {json.dumps(index, ensure_ascii=False)}")  # JSON is valid YAML
    return "\n".join([*lines, FRONT_MATTER])


def _summary(metadata: BundleMetadata) -> str:
    task, pixels = metadata.task, metadata.pixels
    labels = ", ".join(map(code_span, task.labels))
    matched = ", histogram `matched`" if pixels.histogram == "matched" else ""
    return (
        f"Input: a chest X-ray, {pixels.size} x {pixels.size} pixels (geometry "
        f"`{pixels.geometry}`{matched}). Output: the probability of {labels} ({task.kind}: "
        f"{escape_markdown(' or '.join(task.classes))})."
    )


def _training(origin: Provenance) -> str:
    seconds = origin.training_seconds
    rows = {
        "Data set": origin.dataset,
        "Training images": origin.train_images,
        "Validation images": origin.validation_images,
        "Members": None if not origin.members else _members(origin),
        "Recipe": origin.recipe.name if origin.recipe else None,
        "Teacher": _teacher(origin),
        "Seed": origin.seed if isinstance(origin.seed, int | None) else [*origin.seed],
        "Weights": origin.parameters,
        "Backend": origin.backend,
        "Processes": None if origin.ranks == 1 else origin.ranks,
        "Training time": None if seconds is None else f"{seconds:g} s",
        "Created": origin.created,
        "plainfilm": origin.plainfilm,
    }
    known = [(key, value) for key, value in rows.items() if value is not None]
    name = "Import" if origin.imported_from else "Training"
    return f"## {name}\n\n{_table(('', 'value'), known)}" if known else ""


def _pretrained(origin: Provenance, own: PretrainedWeights) -> str:
    """Return what is known of weights, and whether they saw the data set of the training."""
    rows = {
        "Name": own.name,
        "SHA-256": own.sha256,
        "Licence": own.licence or "not stated",
        "Source": own.source or "not stated",
        "Trained on": ", ".join(own.trained_on) or "not stated",
    }
    title = {
        "start": "Pretrained weights",
        "earlier": "Weights that the pretrained weights go back to",
        "teacher": "Pretrained weights of the teacher",
        "imported": "Imported teacher",
    }[own.role]
    parts = [f"## {title}", _table(("", "value"), rows.items())]
    if shared := shared_sets(own.trained_on, [origin.dataset or ""]):
        parts.append(
            f"The weights were trained on {escape_markdown(' and '.join(shared))}, as was this "
            "model. If they were trained on its test images, results on these are too optimistic."
        )
    elif not own.trained_on:
        what = "imported network was" if own.role == "imported" else "weights were"
        parts.append(
            f"It is not stated which images the {what} trained on. Results on images that are "
            "among them are too optimistic."
        )
    return "\n\n".join(parts)


def _adaptation(origin: Provenance) -> str:
    """Return what was adapted to another site, and on which images."""
    own = origin.adaptation
    if own is None:
        return ""
    rows = {
        "Adapted from": f"{own.parent_name} (bundle {own.parent[:12]})",
        "Method": own.method,
        "Data set": own.dataset,
        "Images": own.images,
        "Patients": own.patients,
        "Labels": ", ".join(own.labels),
    }
    changed = "\n".join(f"- {escape_markdown(sentence)}" for sentence in own.changed)
    return f"## Adaptation to another site\n\n{_table(('', 'value'), rows.items())}\n\n{changed}"


def _members(origin: Provenance) -> str:
    if origin.folds is None:
        return f"{len(origin.members)} networks, trained on the same images"
    return (
        f"{len(origin.members)} networks of a cross-validation; each image was used to train all "
        "but one of them, so no image of this data set can evaluate the bundle"
    )


def _teacher(origin: Provenance) -> str | None:
    own = None if origin.recipe is None else origin.recipe.distil
    return None if own is None else f"bundle {own.teacher[:12]}"


def _operating_points(points: Iterable[LockedPoint]) -> str:
    rows = [
        (
            locked.point.label,
            locked.point.name,
            f"{locked.point.threshold:.3f}",
            locked.validation.status,
            rate_text(locked.validation, "sensitivity"),
            rate_text(locked.validation, "specificity"),
            counts_text(locked.validation),
            locked.validation.note,
        )
        for locked in points
    ]
    head = ("label", "operating point", "threshold", "status", "sensitivity", "specificity")
    return f"{_POINTS}\n\n{_table((*head, 'validation', 'note'), rows)}" if rows else ""


def _limits(metadata: BundleMetadata) -> str:
    lines = []
    if assumed := metadata.provenance.assumed_prevalence:
        classes = {
            "balanced": "equally frequent classes",
            "training": "the training prevalence",
            "adaptation": "the prevalence of the images that the model was adapted to",
        }[assumed]
        lines.append(
            f"Probabilities assume {classes}. Correct them where the disease is rarer or more "
            "frequent."
        )
    lines.append(
        f"An image with a novelty of {metadata.rejection.threshold:.3f} or more is unlike the "
        "training images, and its probability should not be used. This finds other kinds of "
        "images, but not subtle differences."
        if metadata.rejection
        else "It cannot detect images that are unlike the training images."
    )
    if not metadata.points and metadata.task.kind != "multiclass":
        lines.append(f"It predicts probabilities only: {NO_THRESHOLD}.")
    lines.append(
        "It predicts no class for a blank or invisible image, nor for a DICOM image of a modality "
        "or body part other than those of chest radiographs and of its training images."
    )
    lines += [
        f"A probability of {code_span(label)} from {limits.low:.3f} to {limits.high:.3f} is "
        "indeterminate."
        for label, limits in metadata.indeterminate.items()
    ]
    lines.append("A heat map shows where the evidence is, not what it is.")
    return "\n".join(["## Limitations", "", *(f"- {line}" for line in lines)])


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    head = [*head]
    cells = [[escape_markdown(str(cell)) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *cells])
