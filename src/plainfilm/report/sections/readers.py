"""The section on human readers: their results, and the model against them."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.evaluation.document.readers import (
    LabelReaders,
    ModalityDifference,
    ModalityResults,
    ReaderResults,
    Readers,
)
from plainfilm.metrics import Interval
from plainfilm.report.figures.readers import ReaderMarks, readers_figure
from plainfilm.report.html.markup import element, lead, quiet
from plainfilm.report.html.page import Part, Plot, Section
from plainfilm.report.html.table import Cell, Row, Table, change_cell, interval_cell, number_cell
from plainfilm.report.wording import (
    bounded,
    change_text,
    counted,
    describe,
    enumerate_texts,
    lower_title,
    metric_text,
    p_text,
    sentence,
)


def readers_section(evaluation: EvaluationDocument) -> Section | None:
    """Return the results of human readers, or None if there are none."""
    readers = evaluation.readers
    if readers is None or not readers.labels:
        return None
    parts: list[Part] = []
    single = len(readers.labels) == 1
    for index, (label, own) in enumerate(readers.labels.items(), start=1):
        parts += [] if single else [element("h3", label)]
        parts += _label_parts(evaluation, label, own, "" if single else f"-{index:02d}")
    if words := _unmatched(readers):
        parts.append(quiet(words))
    return Section("Human readers", parts)


def _unmatched(readers: Readers) -> str:
    if not readers.unmatched:
        return ""
    verb = "is" if readers.unmatched == 1 else "are"
    return f"{counted(readers.unmatched, 'read')} {verb} of images that are not in this evaluation."


def _label_parts(
    evaluation: EvaluationDocument, label: str, own: LabelReaders, suffix: str
) -> list[Part]:
    names = dict.fromkeys(reader.reader for reader in own.readers)
    words = (
        f"{counted(len(names), 'reader')} judged {counted(own.images, 'image')} of "
        f"{counted(own.patients, 'patient')}."
    )
    parts: list[Part] = [lead(words), *map(lead, reader_sentences(own))]
    parts.append(_plot(evaluation, label, own, f"readers{suffix}"))
    several = len({reader.modality for reader in own.readers}) > 1
    results = [_results(label, reader, several) for reader in own.readers]
    caption = f"Readers of {label}, with 95% confidence intervals"
    parts.append(Table("readers", caption, results))
    if any(reader.against for reader in own.readers):
        rows = [_against(label, reader, several) for reader in own.readers if reader.against]
        caption = (
            f"The model less each reader of {label}. Intervals are 95% intervals and not adjusted; "
            f"p-values are adjusted for {counted(own.tests, 'test')} (Holm)"
        )
        parts.append(Table("readers_against", caption, rows))
    if means := _means(label, own.modalities):
        caption = (
            f"The model less the mean of the readers of {label}; the intervals apply to other "
            "readers and other images (Obuchowski and Rockette), p-values are not adjusted"
        )
        parts.append(Table("readers_mean", caption, means))
    parts += [quiet(sentence(note)) for note in own.notes]
    return parts


def reader_sentences(own: LabelReaders) -> list[str]:
    """Return the main results in sentences: means, agreement and ways of reading."""
    lines = []
    for modality in own.modalities:
        where = f" ({modality.modality})" if modality.modality else ""
        if modality.mean:
            gaps = [
                f"{lower_title(describe(name).title)} {_change(name, mean.difference)}{_p(mean.p)}"
                for name, mean in modality.mean.items()
            ]
            lines.append(f"The model less the mean of the readers{where}: {'; '.join(gaps)}.")
        if (found := modality.agreement) is not None:
            shares = metric_text("percent_agreement", found.percent)
            lines.append(
                f"On average, two readers{where} agree on {shares} of the images; kappa "
                f"{metric_text('kappa', found.kappa)}, AC1 {metric_text('ac1', found.ac1)}."
            )
    return lines + [_difference(one) for one in own.differences]


def _difference(one: ModalityDifference) -> str:
    title = lower_title(describe(one.metric).title)
    change = _change(one.metric, one.difference)
    return f"Readers {one.second} less {one.first}: mean {title} {change}{_p(one.p)}."


def _change(name: str, difference: Interval) -> str:
    """Return a difference with its interval, or why it has none."""
    change = change_text(difference, describe(name).percent)
    if bounded(difference) or not difference.reason:
        return change
    return f"{change} (no interval: {difference.reason})"


def _p(value: float | None) -> str:
    return "" if value is None else f", {p_text(value)}"


def _plot(evaluation: EvaluationDocument, label: str, own: LabelReaders, name: str) -> Plot:
    point = evaluation.labels[label].default_point if own.model_threshold is not None else None
    marks = [_marks(own, modality) for modality in own.modalities]
    area = metric_text("auroc", own.auroc)
    values = "; ".join(
        f"{reader.reader}{f' {reader.modality}' if reader.modality else ''}: "
        + ", ".join(f"{name} {metric_text(name, one)}" for name, one in reader.metrics.items())
        for reader in own.readers
    )
    shows = ["the readers with 95% confidence intervals"] if any(m.rates for m in marks) else []
    shows += ["the curves of their ratings"] if any(m.curves for m in marks) else []
    every = point is not None and own.images == evaluation.labels[label].n
    return Plot(
        name,
        readers_figure(
            own.roc.fpr, own.roc.tpr, marks,
            point=point.metrics if point is not None and every else None,
            note=f"AUROC {area}", name=name,
        ),
        f"ROC curve of the model for {label} on the images that were read, and "
        f"{enumerate_texts(shows)}.",
        f"AUROC of the model {area}. {values}",
        wide=True,
    )  # fmt: skip


def _marks(own: LabelReaders, modality: ModalityResults) -> ReaderMarks:
    readers = [reader for reader in own.readers if reader.modality == modality.modality]
    mean = {name: one.mean for name, one in modality.mean.items()}
    return ReaderMarks(
        name=modality.modality,
        rates=[reader.metrics for reader in readers if "sensitivity" in reader.metrics],
        curves=[
            (r.roc.fpr, r.roc.tpr) for r in readers if r.roc is not None and own.threshold is None
        ],
        mean=mean if {"sensitivity", "specificity"} <= mean.keys() else {},
    )


def _reader(label: str, reader: ReaderResults, several: bool) -> dict[str, Cell | str | int | None]:
    cells: dict[str, Cell | str | int | None] = {
        "Reader": Cell(reader.reader, {"label": label, "reader": reader.reader})
    }
    if several:
        cells["Modality"] = reader.modality
    return cells


def _results(label: str, reader: ReaderResults, several: bool) -> Row:
    return {
        **_reader(label, reader, several),
        "Images": reader.images,
        "Positive": reader.positives,
        **{describe(name).title: interval_cell(name, one) for name, one in reader.metrics.items()},
        **_cell_of("Kappa with the model", "kappa", reader.kappa),
        **_cell_of("AC1 with the model", "ac1", reader.ac1),
    }


def _cell_of(title: str, name: str, interval: Interval | None) -> dict[str, Cell]:
    return {} if interval is None else {title: interval_cell(name, interval)}


def _against(label: str, reader: ReaderResults, several: bool) -> Row:
    cells = _reader(label, reader, several)
    for name, test in reader.against.items():
        title = describe(name).title
        cells[title] = change_cell(name, test.difference)
        shown = "–" if test.p_adjusted is None else p_text(test.p_adjusted)
        cells[f"{title}, p"] = Cell(
            shown, {f"{name}_p": test.p, f"{name}_p_adjusted": test.p_adjusted}
        )
    if reader.at_specificity is not None:
        own = reader.at_specificity
        values = change_cell("sensitivity_at_specificity", own).values
        cells["Sensitivity at the reader's specificity"] = Cell(change_text(own, True), values)
    return cells


def _means(label: str, modalities: Sequence[ModalityResults]) -> list[Row]:
    return [
        {
            "Metric": Cell(
                ", ".join(filter(None, [describe(name).title, modality.modality])),
                {"label": label, "metric": name, "modality": modality.modality},
            ),
            "Mean of the readers": interval_cell(name, own.mean, named=False),
            "Model": number_cell("model", own.model, percent=describe(name).percent),
            "Difference": Cell(
                _change(name, own.difference),
                interval_cell("difference", own.difference).values,
            ),
            "p": Cell("–" if own.p is None else p_text(own.p), {"p": own.p}),
        }
        for modality in modalities
        for name, own in modality.mean.items()
    ]
