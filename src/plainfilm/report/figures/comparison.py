"""The figure of a comparison of two models: every difference with its interval."""

from __future__ import annotations

from pathlib import Path

from plainfilm._files import write_bytes, write_text
from plainfilm.evaluation.document import ComparisonDocument
from plainfilm.report.figures.evaluation import ForestRow, forest_figure
from plainfilm.report.wording import describe


def write_comparison_figure(comparison: ComparisonDocument, folder: Path) -> Path:
    """Write ``comparison.svg`` and ``comparison.png``; return the path of the latter.

    Orange marks a difference with an adjusted p-value below 0.05.

    Raises
    ------
    StorageError
        If the files cannot be written.
    """
    rows: list[ForestRow] = []
    for label, found in comparison.labels.items():
        rows += [ForestRow(label)] if len(comparison.labels) > 1 else []
        for row in found:
            marked = row.p_adjusted is not None and row.p_adjusted < 0.05
            rows.append(ForestRow(describe(row.metric).title, row.difference, marked))
    names = f"{comparison.second.name} minus {comparison.first.name}"
    drawn = forest_figure(rows, label=names, zero=0.0, name="comparison")
    write_text(folder / "comparison.svg", drawn)
    write_bytes(folder / "comparison.png", drawn.png)
    return folder / "comparison.png"
