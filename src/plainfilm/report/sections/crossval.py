"""The section on the folds of a cross-validation."""

from __future__ import annotations

from plainfilm.evaluation.document import CrossValidationDocument
from plainfilm.report.figures import ForestRow
from plainfilm.report.html.markup import lead
from plainfilm.report.html.page import Section
from plainfilm.report.html.table import Cell, Row, Table, interval_cell, number_cell
from plainfilm.report.sections.analyses import forest_plot
from plainfilm.report.wording import counted, describe


def crossval_section(document: CrossValidationDocument) -> Section:
    """Return the results of each fold, and the mean over folds next to the pooled ones."""
    rows = [
        ForestRow(
            f"fold {row.fold}" if row.name is None else f"fold {row.fold} ({row.name})",
            row.metrics["auroc"],
        )
        for row in document.rows
    ]
    rows.append(ForestRow("mean of the folds", document.mean_auroc))
    rows.append(ForestRow("pooled", document.pooled["auroc"]))
    about = "AUROC of the model of each fold on this fold, their mean, and that of all predictions."
    caption = f"{about} The 95% confidence intervals take the models as given."
    how = "the column “fold” of the data" if document.assigned == "column" else "patient"
    text = f"{counted(len(document.rows), 'fold')} by {how}. {document.note}"
    text += (
        " Each model has its own thresholds: operating points can be off the pooled ROC curve, and "
        "a threshold in this report is the mean over the models."
    )
    if document.test_images:
        text += f" {counted(document.test_images, 'image')} of the test set: in no fold."
    table: list[Row] = []
    for name, metric in document.pooled.items():
        own = document.variation.get(name)
        table.append(
            {
                "Metric": Cell(describe(name).title, {"metric": name}),
                "Pooled (95% CI)": interval_cell(name, metric, named=False),
                "Mean over folds": number_cell("mean", None if own is None else own.mean),
                "SD over folds": number_cell("sd", None if own is None else own.sd),
            }
        )
    words = (
        "Pooled predictions, and the variation over the folds. The standard deviation (SD) "
        "includes the sampling of images, and is not the uncertainty of the mean"
    )
    return Section(
        "Folds",
        [
            forest_plot("folds", about, rows, caption, zero=None),
            lead(text),
            Table("folds", words, table, numeric=True),
        ],
    )
