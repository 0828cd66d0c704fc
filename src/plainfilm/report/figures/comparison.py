"""The figure of a comparison: every difference with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainfilm._files import write_bytes, write_text
from plainfilm.report.figures.evaluation import forest_figure
from plainfilm.report.wording import describe

__all__ = ["write_comparison_figure"]


def write_comparison_figure(values: Mapping[str, Any], folder: Path) -> Path:
    """Write ``comparison.svg`` and ``comparison.png``; return the path of the latter.

    ``values`` is the content of ``comparison.json``. Orange marks a difference that holds after
    adjusting for the number of tests.

    Raises
    ------
    StorageError
        If the disk does not take the files.
    """
    several = len(values["labels"]) > 1
    rows: list[dict[str, Any]] = []
    for label, found in values["labels"].items():
        rows += [{"words": label}] if several else []
        for row in found:
            adjusted = row["p_adjusted"]
            marked = adjusted is not None and adjusted < 0.05
            ends = {key: row["difference"][key] for key in ("value", "low", "high")}
            rows.append({"words": describe(row["metric"]).title, **ends, "marked": marked})
    names = f"{values['second']['name']} less {values['first']['name']}"
    drawn = forest_figure(rows, label=names, zero=0.0, name="comparison")
    write_text(folder / "comparison.svg", drawn)
    write_bytes(folder / "comparison.png", drawn.png)
    return folder / "comparison.png"
