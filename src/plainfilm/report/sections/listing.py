"""The sections of a report, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from plainfilm.evaluation.legacy import balanced_thresholds
from plainfilm.report.audit.section import audit_section
from plainfilm.report.content import (
    ReportContent,
    calibration_of,
    default_point,
    label_views,
    left_out_rows,
    value_of,
)
from plainfilm.report.file_counts import tell_flow
from plainfilm.report.html.frames import Numbering, Plot, inline, pannable
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.html.pictures import sample_tiles, worst_tiles
from plainfilm.report.html.tables import (
    counts_table,
    findings_table,
    labels_table,
    left_out_table,
    metadata_table,
    metrics_table,
    points_table,
)
from plainfilm.report.sections.evaluation_sections import (
    declined_section,
    elsewhere_section,
    precision_table,
    prevalence_table,
    robustness_section,
    seeds_section,
)
from plainfilm.report.sections.plots import (
    history_plots,
    label_plots,
    matrix_plot,
    only_epoch,
)
from plainfilm.report.sections.subgroups import subgroups_section

__all__ = ["Section", "list_sections"]

LABELS = 20
"""Labels whose figures are drawn; the tables hold all of them."""

Section = tuple[str, Html, list[Plot]]


def list_sections(content: ReportContent) -> Iterable[Section | None]:
    """Yield title, body and plots of each section, or None where there is nothing to show."""
    number = Numbering()
    yield _performance(content, number)
    yield _elsewhere(content, number)
    yield _subgroups(content, number)
    yield _robustness(content, number)
    yield _declined(content, number)
    yield _seeds(content, number)
    yield _training(content, number)
    yield _errors(content, number)
    yield _images(content, number)
    yield _metrics(content)
    yield _held(content)
    yield _files(content, number)
    yield _provenance(content)


def _performance(content: ReportContent, number: Numbering) -> Section | None:
    views = label_views(content.evaluation)
    matrix = matrix_plot(content.evaluation)
    plots = [] if matrix is None else [matrix]
    parts = [number.plots(plots)] if plots else []
    for index, (label, view) in enumerate(views[:LABELS]):
        own = label_plots(label, view, "" if len(views) == 1 else f"-{index + 1:02d}")
        if len(views) > 1:
            parts.append(element("h3", label))
        if own:
            parts.append(number.plots(own))
            plots += own
        else:
            words = f"There is nothing to draw for {label}; the tables below say why."
            parts.append(element("p", words, class_="quiet"))
    if len(views) > LABELS:
        words = f"Figures of the first {LABELS} labels; the tables hold all {len(views)}."
        parts.append(element("p", words, class_="quiet"))
    return "Performance", join(parts), plots


def _told(title: str, number: Numbering, found: tuple[Html, list[Plot]] | None) -> Section | None:
    """Return a section that begins with its figures."""
    if found is None:
        return None
    body, plots = found
    wide = [
        number.figure(inline(plot), plot.caption, "plot")
        if plot.name == "novelty"
        else number.figure(pannable(plot), plot.caption, "plot wide")
        for plot in plots
    ]
    return title, join([*wide, body]), plots


def _elsewhere(content: ReportContent, number: Numbering) -> Section | None:
    if content.external is None or len(content.external["rows"]) < 2:
        return None
    return _told("Elsewhere", number, elsewhere_section(content.external))


def _subgroups(content: ReportContent, number: Numbering) -> Section | None:
    part = content.evaluation.get("subgroups")
    whole = value_of((content.evaluation.get("metrics") or {}).get("auroc"))
    found = None if part is None else subgroups_section(part, whole)
    return _told("Subgroups", number, found)


def _robustness(content: ReportContent, number: Numbering) -> Section | None:
    part = content.evaluation.get("robustness")
    found = None if part is None else robustness_section(part)
    return _told("When images get worse", number, found)


def _declined(content: ReportContent, number: Numbering) -> Section | None:
    part = content.evaluation.get("rejection")
    return _told("What it declines", number, None if part is None else declined_section(part))


def _seeds(content: ReportContent, number: Numbering) -> Section | None:
    found = None if content.seeds is None else seeds_section(content.seeds)
    return _told("Trained again", number, found)


def _training(content: ReportContent, number: Numbering) -> Section | None:
    if len(content.history) == 1:
        # A course of one point is no course; its numbers can be said.
        return "Training", element("p", only_epoch(content), class_="lead"), []
    plots = history_plots(content)
    return ("Training", number.plots(plots), plots) if plots else None


def _images(content: ReportContent, number: Numbering) -> Section | None:
    parts = []
    if content.samples:
        words = "Images as the network receives them, drawn from the data, with their labels."
        tiles = sample_tiles(content.samples, "Radiograph")
        parts.append(number.figure(tiles, words, "sheet"))
    if content.augmented:
        words = (
            "Training images after augmentation. What the network learns from should still look "
            "like a radiograph, and keep its label."
        )
        tiles = sample_tiles(content.augmented, "Augmented radiograph")
        parts.append(number.figure(tiles, words, "sheet"))
    return ("Images", join(parts), []) if parts else None


def _errors(content: ReportContent, number: Numbering) -> Section | None:
    if content.worst is None:
        return None
    if not content.worst:
        return "Worst errors", element("p", _why_no_error(content.evaluation), class_="lead"), []
    label = label_views(content.evaluation)[0][0]
    words = (
        f"The images that the model called wrongly{_called_at(content.evaluation)}, the worst "
        "first: as they are, and with a heat map of the evidence (brighter is stronger, each map "
        "scaled to its own maximum)."
    )
    warning = element(
        "p",
        element("strong", "A heat map does not explain."),
        " It shows where the network's evidence lies, not what the evidence is, nor whether it is "
        "medicine. A map on the lungs does not make a call right; a map on a marker or a border "
        "shows that it rests on something other than disease.",
        class_="lead",
    )
    tiles = number.figure(worst_tiles(content.worst, label), words, "sheet")
    return "Worst errors", join([warning, tiles]), []


def _called_at(evaluation: Mapping[str, Any]) -> str:
    kind = (evaluation.get("task") or {}).get("kind")
    at_point = kind != "multiclass" and balanced_thresholds(evaluation)
    return " at the balanced operating point" if at_point else ""


def _why_no_error(evaluation: Mapping[str, Any]) -> str:
    """Return the sentence that stands where there is no error to show."""
    if (evaluation.get("task") or {}).get("kind") == "multiclass":
        return "There is none: the most probable class of every image is the true one."
    if balanced_thresholds(evaluation):
        return "There is none: at the balanced operating point every image is called rightly."
    return (
        "No label has a balanced operating point, so that nothing is called and no call is wrong."
    )


def _metrics(content: ReportContent) -> Section | None:
    evaluation = content.evaluation
    views = label_views(evaluation)
    parts = []
    if evaluation.get("metrics"):
        point = default_point(views[0][1]) if len(views) == 1 else None
        whole = "Metrics on all images" if len(views) == 1 else "Means of the metrics over labels"
        at = f"; those that need a threshold, at “{point[0]}”" if point else ""
        own = calibration_of(views[0][1]) if len(views) == 1 else {}
        metrics = {**evaluation["metrics"], **own}
        parts.append(metrics_table(metrics, whole + at))
    if len(views) > 1:
        parts.append(labels_table(views))
    if evaluation.get("micro"):
        parts.append(metrics_table(evaluation["micro"], "Over all pairs of image and label"))
    if evaluation.get("at_prevalence"):
        parts.append(prevalence_table(evaluation["at_prevalence"]))
    for label, view in views[:LABELS]:
        plan = precision_table(label, view.get("precision") or {})
        parts += [] if plan is None else [plan]
    for label, view in views:
        if view.get("operating_points"):
            title = f"Operating points for {label}, locked on validation, with 95% intervals"
            parts.append(points_table(view["operating_points"], title))
    return ("All numbers", join(parts), []) if parts else None


def _held(content: ReportContent) -> Section | None:
    if content.audit is None:
        return None
    return "What the data holds", audit_section(content.audit), []


def _files(content: ReportContent, number: Numbering) -> Section | None:
    parts: list[Html] = []
    plots: list[Plot] = []
    if content.listed is not None:
        plots = [_flow(content.listed)]
        parts = [number.figure(pannable(plots[0]), plots[0].caption, "plot wide")]
    data = content.plan.get("data")
    if isinstance(data, Mapping) and any(isinstance(part, Mapping) for part in data.values()):
        parts.append(counts_table(data))
    rows = left_out_rows(content)
    if rows:
        parts.append(left_out_table(rows))
    else:
        parts.append(element("p", "No file was left out.", class_="lead"))
    if content.findings:
        parts.append(findings_table(content.findings))
    return "Data", join(parts), plots


def _flow(listed: Mapping[str, Any]) -> Plot:
    from plainfilm.report.figures import flow_figure

    words = "Where the images went: files found, those left out and why, the splits, and what "
    return Plot("flow", flow_figure(listed), f"{words}was scored.", tell_flow(listed))


def _provenance(content: ReportContent) -> Section | None:
    evaluation = content.evaluation
    made: dict[str, Any] = {
        key: evaluation[key]
        for key in ("created", "bundle", "dataset", "task")
        if key in evaluation
    }
    parts = [metadata_table("What was evaluated", made)]
    plan = {key: value for key, value in content.plan.items() if key != "data"}
    if content.best_epoch is not None:
        plan["epoch kept"] = content.best_epoch
    if plan:
        parts.append(metadata_table("How it was trained", plan))
    return "Provenance", join(parts), []
