"""The section on robustness: results on disturbed images."""

from __future__ import annotations

from plainfilm.evaluation.document.analyses import Robustness
from plainfilm.report.figures import robustness_figure
from plainfilm.report.html.markup import element
from plainfilm.report.html.section import Folded, Plot, Section
from plainfilm.report.html.table import (
    Cell,
    Row,
    Table,
    change_cell,
    interval_cell,
    number_cell,
)
from plainfilm.report.wording import change_text, counted, metric_text


def robustness_section(robustness: Robustness) -> Section:
    """Return the results by kind and strength of disturbance."""
    strongest = "; ".join(
        f"{kind.description}: {metric_text('auroc', kind.steps[-1].auroc)}"
        for kind in robustness.disturbances
    )
    plot = Plot(
        "robustness",
        robustness_figure(robustness),
        "AUROC with its 95% confidence interval, and calibration error, by strength of "
        "disturbance: 0 is the undisturbed image.",
        f"AUROC at the strongest disturbance. {strongest}",
        wide=True,
    )
    about = (
        f"{counted(robustness.images, 'image')} of {counted(robustness.patients, 'patient')} were "
        f"disturbed at a resolution of {robustness.resolution} × {robustness.resolution} pixels "
        f"and scored again for {robustness.label}. A disturbance can shift the probabilities "
        "without lowering the AUROC; sensitivity and specificity at the locked threshold then "
        "change."
    )
    first = element("p", _first_drop(robustness), class_="lead")
    table = Folded("All disturbances", [_table(robustness)])
    return Section("Robustness", [plot, first, element("p", about), table])


def _first_drop(robustness: Robustness) -> str:
    first = robustness.first_drop
    if first is None:
        return "No disturbance lowers the AUROC by more than 0.01 with 95% confidence."
    kind = next(own for own in robustness.disturbances if own.name == first.name)
    return (
        "The mildest disturbance that lowers the AUROC by more than 0.01 with 95% confidence: "
        f"{kind.description.lower()}, {first.strength:g} {kind.unit} (step {first.step} of "
        f"{len(kind.steps)}), change in AUROC {change_text(first.auroc_change)}."
    )


def _table(robustness: Robustness) -> Table:
    rows: list[Row] = [
        {
            "Disturbance": Cell(
                f"{kind.description}, {step.strength:g} {kind.unit}",
                {"disturbance": kind.name, "strength": step.strength, "unit": kind.unit},
            ),
            "AUROC (95% CI)": interval_cell("auroc", step.auroc),
            "Change in AUROC": change_cell("auroc", step.auroc_change),
            "Calibration error": number_cell("calibration_error", step.calibration_error),
            "Sensitivity": number_cell("sensitivity", step.sensitivity, percent=True),
            "Specificity": number_cell("specificity", step.specificity, percent=True),
            "Changed predictions": number_cell("changed_predictions", step.flipped, percent=True),
        }
        for kind in robustness.disturbances
        for step in kind.steps
    ]
    return Table("robustness", "Results under each disturbance", rows, numeric=True)
