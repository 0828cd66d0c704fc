"""The tables of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plainfilm.records import Finding
from plainfilm.report.content import value_of
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.wording import METRICS, count, describe, method_of, metric_text

__all__ = [
    "counts_table",
    "findings_table",
    "labels_table",
    "left_out_table",
    "metadata_table",
    "metrics_table",
    "points_table",
]

ROWS = 200
"""Rows shown of a list that may be of any length; the rest stays in the files."""


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: bool = False
) -> Html:
    """Return a table whose first column names its rows, in a frame that scrolls when narrow."""
    columns = [element("th", text, scope="col") for text in head]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, class_=_kind(cell)) for cell in row[1:]),
        )
        for row in rows
    ]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *columns)),
        element("tbody", *body),
        class_="numbers" if numeric else None,
    )
    return element("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)


def _kind(cell: str) -> str | None:
    return "undefined" if cell.startswith("undefined: ") else None


def _ordered(names: Iterable[str]) -> list[str]:
    known = list(dict.fromkeys(names))
    return [n for n in METRICS if n in known] + [n for n in known if n not in METRICS]


def metrics_table(metrics: Mapping[str, Any], title: str) -> Html:
    """Return the metrics that need no threshold of their own, with method and meaning."""
    rows = [
        (
            describe(name).title,
            metric_text(name, metrics[name]),
            method_of(metrics[name]) or "–",
            describe(name).meaning,
        )
        for name in _ordered(metrics)
    ]
    return table(title, ("Metric", "Value (95% interval)", "Interval by", "What it says"), rows)


def labels_table(views: Sequence[tuple[str, Mapping[str, Any]]]) -> Html:
    """Return the metrics of each label, one row a label."""
    names = _ordered(name for _, view in views for name in view.get("metrics") or {})
    rows = [
        (label, *(metric_text(name, (view.get("metrics") or {}).get(name)) for name in names))
        for label, view in views
    ]
    head = ("Label", *(describe(name).title for name in names))
    return table("Metrics of each label, with 95% intervals", head, rows, numeric=True)


def points_table(points: Mapping[str, Mapping[str, Any]], title: str) -> Html:
    """Return the operating points side by side: threshold, rule, counts and metrics."""
    each = list(points.values())
    names = _ordered(name for point in each for name in point.get("metrics") or {})
    rows: list[Sequence[str]] = [
        ("Purpose", *(str(point.get("purpose") or "–") for point in each)),
        ("Threshold", *(_threshold(point) for point in each)),
        ("Rule", *(str(point.get("rule") or "–") for point in each)),
    ]
    for name in names:
        cells = (metric_text(name, (point.get("metrics") or {}).get(name)) for point in each)
        rows.append((describe(name).title, *cells))
    for key, words in (
        ("tp", "True positives"),
        ("fp", "False positives"),
        ("tn", "True negatives"),
        ("fn", "False negatives"),
    ):
        rows.append((words, *(_count((point.get("confusion") or {}).get(key)) for point in each)))
    return table(title, ("", *points), rows, numeric=True)


def _threshold(point: Mapping[str, Any]) -> str:
    value = value_of(point, "threshold")
    if value is None:
        return f"undefined: {point.get('reason') or 'not computed'}"
    known = point.get("determination") or {}
    low, high = value_of(known, "low"), value_of(known, "high")
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f}–{high:.3f})"


def _count(value: object) -> str:
    return count(value) if isinstance(value, (int, float)) else "–"


def findings_table(findings: Sequence[Finding]) -> Html:
    """Return what the audit found, the gravest first."""
    order = ("serious", "warning", "note")
    ranked = sorted(findings, key=lambda finding: order.index(finding.severity))
    rows = []
    for finding in ranked[:ROWS]:
        what: list[str] = [element("p", finding.problem)]
        what += [
            element("p", text, class_="quiet")
            for text in (finding.consequence, finding.remedy)
            if text
        ]
        if finding.files:
            what.append(_files(finding.files))
        mark = element("span", finding.severity, class_=f"mark {finding.severity}")
        rows.append((finding.check, mark, join(what), count(finding.count)))
    head = ("Check", "Severity", "What was found", "Files")
    return join(
        [table("Found while listing and parting the images", head, rows), _rest(len(ranked))]
    )


def _files(files: Sequence[str], most: int = 20) -> Html:
    more = f" and {count(len(files) - most)} more" if len(files) > most else ""
    names = join((element("code", name) for name in files[:most]), ", ")
    words = "Show the file" if len(files) == 1 else f"Show {min(most, len(files))} of the files"
    return element("details", element("summary", words), element("p", names, more))


def left_out_table(rows: Sequence[Mapping[str, Any]]) -> Html:
    """Return the files that are not in the numbers, counted by reason and then one by one."""
    reasons = Counter(str(row.get("reason") or "unknown") for row in rows)
    counted = [(reason, count(size)) for reason, size in reasons.most_common()]
    single = [
        (
            element("code", str(row.get("id") or "–")),
            str(row.get("reason") or "unknown"),
            str(row.get("problem") or "–"),
        )
        for row in rows[:ROWS]
    ]
    return join(
        [
            table("Files left out, by reason", ("Reason", "Files"), counted, numeric=True),
            table("Files left out, one by one", ("File", "Reason", "What is wrong"), single),
            _rest(len(rows)),
        ]
    )


def _rest(size: int) -> Html:
    if size <= ROWS:
        return Html("")
    return element("p", f"The first {ROWS} of {count(size)} are shown.", class_="quiet")


def counts_table(data: Mapping[str, Any]) -> Html:
    """Return how many images, patients and images of each class a split holds."""
    flat = {name: _flatten(value) for name, value in data.items() if isinstance(value, Mapping)}
    keys = list(dict.fromkeys(key for row in flat.values() for key in row))
    rows = [
        (name, *(_count(row[key]) if key in row else "–" for key in keys))
        for name, row in flat.items()
    ]
    head = ("Split", *(key.rpartition(" · ")[2] for key in keys))
    return table("Images and patients in each split", head, rows, numeric=True)


def metadata_table(title: str, metadata: Mapping[str, Any]) -> Html:
    """Return nested metadata as one row each."""
    rows = [(key.replace("_", " "), _fact(value)) for key, value in _flatten(metadata).items()]
    return table(title, ("What", "Value"), rows)


def _fact(value: object) -> str:
    if isinstance(value, str) and len(value) >= 32 and " " not in value:
        return element("code", value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        # Seeds and years are no amounts: only what is long needs its thousands told apart.
        return count(value) if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return "–" if value is None else str(value)


def _flatten(metadata: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in metadata.items():
        name = f"{above} · {key}" if above else str(key)
        if isinstance(value, Mapping):
            flat.update(_flatten(value, name))
        elif isinstance(value, (list, tuple)):
            flat[name] = ", ".join(map(str, value))
        else:
            flat[name] = value
    return flat
