"""The model card that is sealed with a bundle: what it is for, and what is known of it so far."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["FRONT_MATTER", "front_matter", "model_card"]

FRONT_MATTER = "---"

_USE = """## What it is for

Research and teaching: to give a chest X-ray a probability of what is named above, and to study how
such a model behaves. **It is not a medical device.** Nothing in it may decide about a patient.

## What it is not for

- Other images than chest X-rays like those it was trained on: other ages, machines, views or
  countries. How it does there is unknown until it is measured there.
- Findings that it has not learnt. A low probability does not mean that the image is normal."""

_TEST = """## How good it is

This card was sealed before any test image was opened, so it holds no test result. The report and
the `MODEL_CARD.md` of an evaluation do, with intervals. What stands here was measured on the
validation images that thresholds and temperature were chosen on: it flatters the model."""


def model_card(description: Mapping[str, Any]) -> str:
    """Return ``MODEL_CARD.md`` of a bundle, from the content of its ``bundle.json``.

    It begins with the metadata that model hubs read: YAML between lines of three hyphens.
    """
    task, origin = description["task"], description.get("provenance") or {}
    labels = [str(label) for label in task["labels"]]
    recipe = (origin.get("recipe") or {}).get("name")
    name = f"plainfilm {recipe or 'model'}: {', '.join(labels)}"
    parts = [
        front_matter(description),
        f"# {name}",
        _what(description),
        _USE,
        _made(origin),
        _TEST,
        _points(description.get("operating_points") or ()),
        _limits(description),
        "## How to use it\n\n```\npip install plainfilm\nplainfilm predict BUNDLE IMAGE.jpeg\n"
        "```\n\n`SHA256SUMS` vouches for every file; `plainfilm` checks it before it answers.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(description: Mapping[str, Any], results: Iterable[Mapping[str, Any]] = ()) -> str:
    """Return the metadata header, with results where there are some.

    Parameters
    ----------
    description
        The content of ``bundle.json``.
    results
        Entries of ``model-index``, as model hubs read them.
    """
    origin = description.get("provenance") or {}
    recipe = (origin.get("recipe") or {}).get("name") or "model"
    labels = [str(label) for label in description["task"]["labels"]]
    tags = ["medical-imaging", "chest-x-ray", "radiology", "onnx", *labels]
    lines = [
        FRONT_MATTER,
        "license: other",
        "license_name: not-stated",
        "library_name: plainfilm",
        "pipeline_tag: image-classification",
        f"tags: {json.dumps(tags, ensure_ascii=False)}",
        'metrics: ["roc_auc", "accuracy", "recall", "specificity", "brier_score"]',
    ]
    if origin.get("dataset"):
        lines.append(f"datasets: {json.dumps([str(origin['dataset'])], ensure_ascii=False)}")
    found = [*results]
    if found:
        index = [{"name": f"plainfilm-{recipe}", "results": found}]
        # JSON is YAML, and says the same to whoever reads either.
        lines.append(f"model-index: {json.dumps(index, ensure_ascii=False)}")
    return "\n".join([*lines, FRONT_MATTER])


def _what(description: Mapping[str, Any]) -> str:
    task, pixels = description["task"], description["pixels"]
    classes = " or ".join(str(name) for name in task["classes"])
    return (
        f"Takes a chest X-ray of {pixels['size']} x {pixels['size']} pixels (geometry "
        f"`{pixels['geometry']}`) and gives the probability of: "
        f"{', '.join(f'`{label}`' for label in task['labels'])} ({task['kind']}: {classes})."
    )


def _made(origin: Mapping[str, Any]) -> str:
    rows = {
        "Data set": origin.get("dataset"),
        "Training images": origin.get("train_images"),
        "Validation images": origin.get("validation_images"),
        "Recipe": (origin.get("recipe") or {}).get("name"),
        "Seed": origin.get("seed"),
        "Weights": origin.get("parameters"),
        "Backend": origin.get("backend"),
        "Training time": _seconds(origin.get("training_seconds")),
        "Made": origin.get("created"),
        "plainfilm": origin.get("plainfilm"),
    }
    known = [(key, value) for key, value in rows.items() if value is not None]
    if not known:
        return ""
    body = "\n".join(f"| {key} | {_cell(value)} |" for key, value in known)
    return f"## How it was made\n\n| what | value |\n| --- | --- |\n{body}"


def _points(points: Iterable[Mapping[str, Any]]) -> str:
    rows = []
    for locked in points:
        point, note = locked["point"], locked.get("note") or ""
        rates = (_rate(locked.get("sensitivity")), _rate(locked.get("specificity")))
        cells = (point["label"], point["name"], f"{point['threshold']:.3f}", *rates, note)
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    if not rows:
        return ""
    head = "| label | point | threshold | sensitivity | specificity | doubt |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows])


def _limits(description: Mapping[str, Any]) -> str:
    origin = description.get("provenance") or {}
    lines = ["## Limits", ""]
    assumed = origin.get("assumed_prevalence")
    if assumed:
        lines.append(
            f"- Probabilities assume the prevalence `{assumed}`; where disease is rarer or more "
            "frequent they must be corrected."
        )
    rejection = description.get("rejection")
    lines.append(
        f"- An image whose novelty is {rejection['threshold']:.3f} or more is not like what it was "
        "trained on, and its probability should not be used. That catches other kinds of images, "
        "not subtle differences."
        if rejection
        else "- It cannot tell which images are unlike those it was trained on."
    )
    for label, band in (description.get("indeterminate") or {}).items():
        lines.append(
            f"- A probability of `{label}` from {band['low']:.3f} to {band['high']:.3f} is "
            "indeterminate."
        )
    lines.append("- A heat map shows where the evidence lies, not what it is.")
    return "\n".join(lines)


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:g} s"


def _cell(value: object) -> str:
    """Return a value as the text of a table's cell."""
    return str(value).replace("|", "\\|").replace("\n", " ")
