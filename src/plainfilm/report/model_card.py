"""Writes the model card with the results of an evaluation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from plainfilm._files import write_text
from plainfilm._text import escape_markdown
from plainfilm.bundle import Bundle
from plainfilm.bundle.card import model_card
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.report.content import ReportContent, default_point
from plainfilm.report.sections.caveats import write_caveats
from plainfilm.report.wording import bounded, counted, describe, macro_title, mean_of, metric_text

_TYPES = {
    "auroc": "roc_auc",
    "accuracy": "accuracy",
    "sensitivity": "recall",
    "specificity": "specificity",
    "brier": "brier_score",
}
"""Names of metrics in model hubs."""


def write_model_card(bundle: Bundle, content: ReportContent, folder: Path) -> Path:
    """Write ``MODEL_CARD.md``: the card of the bundle, results and caveats.

    The header has the results in the format of model hubs, each with its interval.
    """
    path = folder / "MODEL_CARD.md"
    sections = [_results(content), _caveats(content)]
    write_text(path, model_card(bundle, [_index_entry(content.evaluation)], sections))
    return path


def _index_entry(evaluation: EvaluationDocument) -> dict[str, Any]:
    """Return an entry of ``model-index``."""
    data, metrics = evaluation.dataset, []
    for name, kind in _TYPES.items():
        own = evaluation.main.get(name)
        if own is None or not math.isfinite(own.value):
            continue
        title = macro_title(name) if name in evaluation.macro else describe(name).title
        entry: dict[str, Any] = {"type": kind, "name": title}
        entry["value"] = round(own.value, 4)
        if bounded(own):
            entry["confidence_interval"] = [round(own.low, 4), round(own.high, 4)]
        metrics.append(entry)
    return {
        "task": {"type": "image-classification"},
        "dataset": {
            "name": data.name,
            "type": "chest-x-ray",
            "split": data.split,
            "revision": data.hash[:12],
        },
        "metrics": metrics,
    }


def _results(content: ReportContent) -> str:
    evaluation = content.evaluation
    data, metrics, macro = evaluation.dataset, evaluation.metrics, evaluation.macro
    lines = [
        f"## Performance on {escape_markdown(data.name)}, {data.split}",
        "",
        f"{counted(evaluation.n, 'image')} of {counted(evaluation.patients, 'patient')}; 95% "
        f"confidence intervals{_conditions(evaluation)}.",
        "",
        "| metric | value |",
        "| --- | --- |",
        *(f"| {describe(own).title} | {metric_text(own, metrics[own])} |" for own in metrics),
        *(
            f"| {macro_title(own)}{_partial(evaluation, own)} | {metric_text(own, macro[own])} |"
            for own in macro
        ),
    ]
    for row in content.external.rows if content.external else ():
        if row.role == "external" and row.name != data.name:
            area = metric_text("auroc", row.metrics.get("auroc"))
            within = "".join(
                f"; within {escape_markdown(column)} {metric_text('auroc', own)}"
                for column, own in row.within.items()
            )
            lines += ["", f"On {escape_markdown(row.name)}: AUROC {area}{within}."]
    return "\n".join(lines)


def _partial(evaluation: EvaluationDocument, name: str) -> str:
    """Return how many labels a mean includes, if not all."""
    some = 0 < evaluation.averaged(name) < len(evaluation.labels)
    return f" ({mean_of(evaluation, name)})" if some else ""


def _conditions(evaluation: EvaluationDocument) -> str:
    """Return which predicted class the metrics are of, as the end of a sentence."""
    macro = "; macro is the mean over the labels" if evaluation.macro else ""
    if evaluation.task.kind == "multiclass":
        return f"; metrics that require a predicted class are of the most probable class{macro}"
    chosen = map(default_point, evaluation.labels.values())
    names = [*dict.fromkeys(own[0] for own in chosen if own is not None)]
    if not names:
        return macro
    point = f"the operating point {' or '.join(names)}"
    return f"; metrics that require a threshold are at {point}{macro}"


def _caveats(content: ReportContent) -> str:
    lines = [
        f"- **{escape_markdown(caveat.title)}.** {escape_markdown(caveat.text)}"
        for caveat in write_caveats(content)
    ]
    return "\n".join(["## Caveats", "", *lines])
