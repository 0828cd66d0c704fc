"""The section on rejected and indeterminate images."""

from __future__ import annotations

from plainfilm.evaluation.document.analyses import Rejection
from plainfilm.report.figures import novelty_figure
from plainfilm.report.html.markup import element
from plainfilm.report.html.section import Part, Plot, Section
from plainfilm.report.html.table import Cell, Row, Table, interval_cell
from plainfilm.report.wording import counted, describe, number

_METRICS = ("auroc", "sensitivity", "specificity", "accuracy")


def rejection_section(rejection: Rejection) -> Section:
    """Return the numbers of rejected and indeterminate images, and the results without them."""
    parts: list[Part] = []
    if rejection.novelty is None:
        words = "This bundle cannot detect images that differ from its training images."
    else:
        threshold = number(rejection.threshold)
        words = (
            f"{counted(rejection.rejected, 'image differs', 'images differ')} so much from the "
            f"training images that the model rejects {'it' if rejection.rejected == 1 else 'them'} "
            f"(novelty of at least {threshold}; the threshold {rejection.rule})."
        )
        parts.append(
            Plot(
                "novelty",
                novelty_figure(rejection.novelty, rejection.threshold),
                "Novelty, the distance of an image from the training images. Images to the right "
                "of the line are rejected: their predictions should not be used.",
                f"Distribution of novelty; {counted(rejection.rejected, 'image')} at or above the "
                "threshold.",
            )
        )
    parts.append(element("p", words, class_="lead"))
    for label, own in rejection.indeterminate_ranges.items():
        size = counted(rejection.indeterminate.get(label, 0), "image is", "images are")
        words = (
            f"{size} in the indeterminate range of {label}, with a probability from "
            f"{own.low:.3f} to below {own.high:.3f} ({own.rule})."
        )
        parts.append(element("p", words))
    return Section("Rejected images", [*parts, _table(rejection)])


def _table(rejection: Rejection) -> Table:
    groups = {
        "All images": rejection.all,
        "Without rejected images": rejection.accepted,
        "Without rejected and indeterminate images": rejection.decided,
    }
    rows: list[Row] = [
        {
            "Included": group,
            "Label": Cell(label if len(results) > 1 else None, {"label": label}),
            "Images": own.n,
            **{describe(n).title: interval_cell(n, own.metrics.get(n)) for n in _METRICS},
        }
        for group, results in groups.items()
        for label, own in results.items()
    ]
    caption = "Results with and without rejected and indeterminate images"
    return Table("rejection", caption, rows, numeric=True)
