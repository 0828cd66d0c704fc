"""Means over labels say how many labels they include."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from plainfilm import metrics
from plainfilm.cli.describe import describe_evaluation
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.records import Task
from plainfilm.report import ReportContent
from plainfilm.report.html.table import Table
from plainfilm.report.sections.metrics import metrics_section
from plainfilm.report.sections.summary import first_screen


def test_a_mean_over_some_of_the_labels_says_so(
    make_document: Callable[..., EvaluationDocument],
) -> None:
    document = make_document(Task("multilabel", ("a", "b", "c"), ("a", "b", "c")))
    unknown = metrics.undefined("none", "no threshold")
    labels = {
        name: own if name == "a" else replace(own, metrics={**own.metrics, "accuracy": unknown})
        for name, own in document.labels.items()
    }
    document = replace(document, labels=labels)
    assert (document.averaged("accuracy"), document.averaged("auroc")) == (1, 3)
    lines = describe_evaluation(document)
    assert "accuracy (macro, 1 of 3 labels) " in lines and "auroc (macro) " in lines
    page = str(first_screen(ReportContent(evaluation=document)))
    assert "macro: mean of 1 of 3 labels" in page and "macro: mean of 3 labels" in page
    table = next(
        part
        for part in metrics_section(ReportContent(evaluation=document)).parts
        if isinstance(part, Table) and part.name == "metrics_macro"
    )
    assert "mean of 1 of 3 labels; " in table.to_html()
