"""Documents in the keys of schema 1, for callers that are not converted yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plainfilm.evaluation.document import (
    ComparisonDocument,
    EvaluationDocument,
    ExternalDocument,
    SeedsDocument,
)

__all__ = ["comparison_values", "evaluation_values", "external_values", "seeds_values"]


def evaluation_values(document: EvaluationDocument) -> dict[str, Any]:
    """Return ``evaluation.json`` in the keys of schema 1."""
    return old_evaluation(document.to_json())


def external_values(document: ExternalDocument) -> dict[str, Any]:
    """Return ``external.json`` in the keys of schema 1."""
    return old_external(document.to_json())


def comparison_values(document: ComparisonDocument) -> dict[str, Any]:
    """Return ``comparison.json`` in the keys of schema 1."""
    return old_comparison(document.to_json())


def seeds_values(document: SeedsDocument) -> dict[str, Any]:
    """Return ``seeds.json`` in the keys of schema 1."""
    return old_seeds(document.to_json())


def old_evaluation(new: dict[str, Any]) -> dict[str, Any]:
    labels = {name: _label(one) for name, one in new["labels"].items()}
    old: dict[str, Any] = {**new, "schema": 1, "plainfilm": new["version"], "labels": labels}
    old["bundle"], old["dataset"] = _bundle(new["bundle"]), _dataset(new["dataset"])
    del old["version"]
    if new["task"]["kind"] == "binary":
        old = {**labels[new["task"]["labels"][0]], **old}
    else:
        old |= {"prevalence": None, "operating_points": {}, "curves": {}}
    groups = new["subgroups"]
    old["subgroups"] = {
        "minimum": {"patients": groups["minimum_patients"]},
        "method": groups["method"],
        "tests": groups["tests"],
        "labels": {
            label: [_column(column) for column in columns]
            for label, columns in groups["labels"].items()
        },
    }
    if "rejection" in new:
        one = dict(new["rejection"])
        one["bands"] = one.pop("indeterminate_ranges")
        for was, name in (("all", "all"), ("kept", "accepted"), ("answered", "decided")):
            parts = one.pop(name)
            one[was] = {k: {"n": part["n"], **part["metrics"]} for k, part in parts.items()}
        old["rejection"] = one
    if "robustness" in new:
        old["robustness"] = _robustness(new["robustness"])
    if "at_prevalence" in new:
        labels = {}
        for name, part in new["at_prevalence"]["labels"].items():
            brier = {"before": part["brier_uncorrected"], "after": part["brier_corrected"]}
            labels[name] = {
                "assumed": part["assumed_prevalence"],
                "in_the_large": {
                    "before": part["in_the_large_uncorrected"],
                    "after": part["in_the_large_corrected"],
                },
                "brier": None if brier["after"] is None else brier,
                "operating_points": part["operating_points"],
            }
        old["at_prevalence"] = {**new["at_prevalence"], "labels": labels}
    return old


def _bundle(new: dict[str, Any]) -> dict[str, Any]:
    old = dict(new)
    old["train"] = old.pop("training")
    return old


def _dataset(new: dict[str, Any]) -> dict[str, Any]:
    old = dict(new)
    old["asked"] = old.pop("requested_hash")
    return old


def _label(new: dict[str, Any]) -> dict[str, Any]:
    old = dict(new)
    sizes = old.pop("sample_sizes")
    old["precision"] = {
        name: {**{k: v for k, v in one.items() if k != "targets"}, "wanted": one["targets"]}
        if isinstance(one, dict)
        else one
        for name, one in sizes.items()
    }
    old["operating_points"] = {
        name: {"determination" if k == "threshold_range" else k: v for k, v in point.items()}
        for name, point in new["operating_points"].items()
    }
    curves = dict(new["curves"])
    line = dict(curves["calibration"])
    line["bins"] = [
        {"from": b["low"], "to": b["high"], "count": b["count"], "mean": b["predicted"]}
        | {"observed": b["observed"]["value"]}
        | {k: b["observed"][k] for k in ("low", "high", "method")}
        for b in line["bins"]
    ]
    line["brier_parts"] = {**line["brier_parts"], "method": line.pop("brier_method")}
    curves["calibration"] = line
    if curves["decision"] is not None:
        renamed = {"model_low": "low", "model_high": "high", "treat_all": "all"}
        renamed |= {"treat_all_low": "all_low", "treat_all_high": "all_high"}
        curves["decision"] = {renamed.get(k, k): v for k, v in curves["decision"].items()}
    old["curves"] = curves
    return old


def _column(new: dict[str, Any]) -> dict[str, Any]:
    old = dict(new)
    old["against"], old["refused"] = old.pop("compared_with"), old.pop("too_small")
    old["cells"] = [
        {**{k: v for k, v in one.items() if k != "metrics"}, **one["metrics"]}
        for one in old.pop("subgroups")
    ]
    return old


def _robustness(new: dict[str, Any]) -> dict[str, Any]:
    def step(one: dict[str, Any]) -> dict[str, Any]:
        return {"drop" if k == "auroc_change" else k: v for k, v in one.items()}

    old = dict(new)
    old["disturbances"] = [
        {**kind, "strengths": [one["strength"] for one in kind["steps"]]}
        | {"steps": [step(one) for one in kind["steps"]]}
        for kind in new["disturbances"]
    ]
    first = old.pop("first_drop")
    old["first"] = None if first is None else step(first)
    return old


def old_external(new: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for one in new["rows"]:
        row = {**one, **one["metrics"], "drop": one.get("difference")}
        rows.append({k: v for k, v in row.items() if k not in ("metrics", "difference")})
    old = {**new, "schema": 1, "plainfilm": new["version"], "rows": rows}
    return {**old, "bundle": _bundle(new["bundle"])}


def old_comparison(new: dict[str, Any]) -> dict[str, Any]:
    keys = ("p", "p_adjusted", "test", "detectable", "margin", "verdict")
    labels = {
        label: [{**dict.fromkeys(keys), **row} for row in rows]
        for label, rows in new["labels"].items()
    }
    old = {**new, "schema": 1, "plainfilm": new["version"], "labels": labels}
    return {**old, "dataset": _dataset(new["dataset"])}


def old_seeds(new: dict[str, Any]) -> dict[str, Any]:
    def row(one: dict[str, Any]) -> dict[str, Any]:
        return {**{k: v for k, v in one.items() if k != "metrics"}, **one["metrics"]}

    rows = [row(one) for one in new["rows"]]
    spread = {
        name: {"mean": one["mean"], "sd": one["sd"], "low": one["minimum"], "high": one["maximum"]}
        | {"sampling_half_width": one["sampling_half_width"]}
        for name, one in new["variation"].items()
    }
    return {
        "schema": 1,
        "plainfilm": new["version"],
        "note": new["note"],
        "spread": spread,
        "seeds": [one["seed"] for one in rows],
        "runs": [one["folder"] for one in rows],
        "rows": rows,
        "ensemble": None if new["ensemble"] is None else row(new["ensemble"]),
    }


def balanced_thresholds(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the threshold of the balanced operating point of each label that has one."""
    labels: Mapping[str, Mapping[str, Any]] = evaluation.get("labels") or {}
    return {
        name: float(point["threshold"])
        for name, section in labels.items()
        for point in (section.get("operating_points") or {}).values()
        if point.get("purpose") == "balanced"
    }
