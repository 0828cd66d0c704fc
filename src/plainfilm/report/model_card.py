"""The model card with test results, beside an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainfilm._files import write_text
from plainfilm.bundle import Bundle
from plainfilm.bundle.card import front_matter, model_card
from plainfilm.report.content import ReportContent, value_of
from plainfilm.report.sections.caveats import write_caveats
from plainfilm.report.wording import describe, metric_text

__all__ = ["write_model_card"]

_TYPES = {
    "auroc": "roc_auc",
    "accuracy": "accuracy",
    "sensitivity": "recall",
    "specificity": "specificity",
    "brier": "brier_score",
}


def write_model_card(bundle: Bundle, content: ReportContent, folder: Path) -> Path:
    """Write ``MODEL_CARD.md``: the sealed card, and what the evaluation adds to it.

    The header holds the results as model hubs read them, each with its interval.

    Raises
    ------
    StorageError
        If the disk does not take the file.
    """
    evaluation = content.evaluation
    card = model_card(bundle)
    body = card.partition("\n# ")[2]
    head = front_matter(bundle, [_result(evaluation)])
    text = "\n\n".join([head, f"# {body.rstrip()}", _results(content), _doubts(content)]) + "\n"
    path = folder / "MODEL_CARD.md"
    write_text(path, text)
    return path


def _result(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    data, metrics = evaluation["dataset"], evaluation.get("metrics") or {}
    found = []
    for name, kind in _TYPES.items():
        value = value_of(metrics.get(name))
        if value is None:
            continue
        entry: dict[str, Any] = {
            "type": kind,
            "name": describe(name).title,
            "value": round(value, 4),
        }
        low, high = (value_of(metrics[name], end) for end in ("low", "high"))
        if low is not None and high is not None:
            entry["confidence_interval"] = [round(low, 4), round(high, 4)]
        found.append(entry)
    return {
        "task": {"type": "image-classification"},
        "dataset": {
            "name": data["name"],
            "type": "chest-x-ray",
            "split": data["split"],
            "revision": str(data["hash"])[:12],
        },
        "metrics": found,
    }


def _results(content: ReportContent) -> str:
    evaluation = content.evaluation
    data = evaluation["dataset"]
    rows = [
        f"| {describe(name).title} | {metric_text(name, metric)} |"
        for name, metric in (evaluation.get("metrics") or {}).items()
    ]
    lines = [
        f"## Evaluated on {data['name']}, {data['split']}",
        "",
        f"{evaluation.get('n')} images of {evaluation.get('patients')} patients; 95 % intervals; "
        "what needs a threshold is at the balanced operating point.",
        "",
        "| metric | value |",
        "| --- | --- |",
        *rows,
    ]
    for row in (content.external or {}).get("rows") or ():
        if row["role"] == "external" and row["name"] != data["name"]:
            lines += ["", f"On {row['name']}: AUROC {metric_text('auroc', row['auroc'])}."]
    return "\n".join(lines)


def _doubts(content: ReportContent) -> str:
    lines = [f"- **{caveat.title}.** {caveat.text}" for caveat in write_caveats(content)]
    return "\n".join(["## What to distrust", "", *lines])
