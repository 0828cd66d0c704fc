"""Describes in words where an imported network comes from and what it expects."""

from __future__ import annotations

from plainfilm._text import code_span, escape_markdown
from plainfilm.bundle.description import BundleMetadata
from plainfilm.bundle.imported import ImportedFrom, Preprocessing

__all__ = ["NO_THRESHOLD", "describe_input", "origin_section"]

NO_THRESHOLD = "no threshold is locked or given, so no class is predicted"
"""Says why a bundle predicts probabilities only."""


def describe_input(how: Preprocessing) -> str:
    """Return the scale of a network's input in words."""
    text = f"{how.low:g} (black) to {how.high:g} (white)"
    if how.scaling == "image":
        text += ", from the darkest and lightest pixel of each image"
    if set(how.mean) != {0.0} or set(how.std) != {1.0}:
        mean, std = (", ".join(f"{one:g}" for one in values) for values in (how.mean, how.std))
        text += f"; then mean {mean} and std {std}"
    return f"{text}; height and width exchanged" if how.transposed else text


def origin_section(metadata: BundleMetadata, origin: ImportedFrom) -> str:
    """Return the section of a model card about an imported network, in Markdown."""
    how, size = origin.preprocessing, metadata.pixels.size
    columns = (
        f"{column}: {name}" for column, name in zip(origin.columns, origin.names, strict=True)
    )
    rows = {
        "File": f"{code_span(origin.file)}, SHA-256 {code_span(origin.sha256)}",
        "Written by": None if origin.producer is None else escape_markdown(origin.producer),
        "Operators": f"ONNX opset {origin.opset}",
        "Input": f"{code_span(origin.input)}: {how.channels} x {size} x {size}, {how.axes}, "
        + escape_markdown(how.dtype),
        "Values": describe_input(how),
        "Output": f"{code_span(origin.output)}: {origin.output_kind}; columns "
        + escape_markdown(", ".join(columns)),
        "Images in a run": origin.batch,
        "Compared with": escape_markdown(origin.checked),
        "Licence": escape_markdown(origin.licence or "not stated"),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value is not None]
    return "\n".join(
        [
            "## Imported network",
            "",
            "This network comes from another library. plainfilm does not know which images it was "
            "trained on.",
            "",
            "|  | value |",
            "| --- | --- |",
            *lines,
        ]
    )
