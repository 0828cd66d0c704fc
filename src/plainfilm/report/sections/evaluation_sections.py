"""Sections of a report beyond the curves: when images get worse, what is declined, elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plainfilm.report.content import value_of
from plainfilm.report.html.frames import Plot
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.html.tables import table
from plainfilm.report.wording import count, describe, metric_text, number, read_out, signed

__all__ = [
    "declined_section",
    "elsewhere_section",
    "precision_table",
    "prevalence_table",
    "robustness_section",
    "seeds_section",
]

Section = tuple[Html, list[Plot]]
_RATES = ("auroc", "sensitivity", "specificity")


def robustness_section(part: Mapping[str, Any]) -> Section:
    """Return how the results change under disturbances."""
    from plainfilm.report.figures import robustness_figure

    kinds, start = part["disturbances"], part["undisturbed"]
    first = part.get("first")
    if first is None:
        words = "No disturbance that was tried surely costs more than 0.01 of AUROC."
    else:
        what = next(kind for kind in kinds if kind["name"] == first["name"])
        words = (
            f"What hurts first: {what['description'].lower()}, at {first['strength']:g} {what['unit']} "
            f"(step {first['step']} of {len(what['steps'])}): AUROC {signed(first['drop'])}."
        )
    about = (
        f"{count(part['images'])} of the images, of {count(part['patients'])} patients, were "
        f"disturbed at {part['resolution']} pixels a side and scored again for {part['label']}. "
        "What moves the calls without lowering the AUROC moves the probabilities: a threshold "
        "then no longer fits."
    )
    plot = Plot(
        "robustness",
        robustness_figure(kinds, start),
        "AUROC with its 95% interval, and calibration error, from the undisturbed images on the "
        "left (0) to the strongest disturbance on the right.",
        "AUROC at the strongest disturbance. "
        + "; ".join(
            f"{kind['description']}: {metric_text('auroc', kind['steps'][-1]['auroc'])}"
            for kind in kinds
        ),
    )
    rows = [
        (
            f"{kind['description']}, {step['strength']:g} {kind['unit']}",
            metric_text("auroc", step["auroc"]),
            signed(step["drop"]),
            _number(step["calibration_error"]),
            _share(step["sensitivity"]),
            _share(step["specificity"]),
            _share(step["flipped"]),
        )
        for kind in kinds
        for step in kind["steps"]
    ]
    head = (
        *("Disturbance", "AUROC (95% interval)", "Change of AUROC", "Calibration error"),
        *("Sensitivity", "Specificity", "Calls that changed"),
    )
    whole = table("Results under each disturbance", head, rows, numeric=True)
    folded = element("details", element("summary", "Every disturbance in numbers"), whole)
    return (
        join([element("p", words, class_="lead"), element("p", about), folded]),
        [plot],
    )


def _number(value: float | None) -> str:
    return "–" if value is None else number(value)


def _share(value: float | None) -> str:
    return "–" if value is None else number(value, True)


def declined_section(part: Mapping[str, Any]) -> Section:
    """Return what the bundle would decline to answer, and the results without it."""
    from plainfilm.report.figures import novelty_figure

    plots, parts = [], []
    histogram, threshold = part.get("novelty"), part.get("threshold")
    rejected = part.get("rejected") or 0
    if histogram is not None:
        words = (
            f"{count(rejected)} {'image is' if rejected == 1 else 'images are'} not like what the "
            f"model was trained on (novelty of {_number(threshold)} or more; the threshold "
            f"{part['rule']})."
        )
        plots.append(
            Plot(
                "novelty",
                novelty_figure(histogram, threshold),
                "How far the images are from those that were learnt from. Right of the line the "
                "model's answer should not be used.",
                f"Distribution of novelty; {count(rejected)} images lie beyond the threshold.",
            )
        )
    else:
        words = "This bundle cannot tell which images are unlike those it was trained on."
    parts.append(element("p", words, class_="lead"))
    for label, band in (part.get("bands") or {}).items():
        size = (part.get("indeterminate") or {}).get(label) or 0
        parts.append(
            element(
                "p",
                f"{count(size)} {'image has' if size == 1 else 'images have'} an indeterminate "
                f"probability of {label}, from {band['low']:.3f} to below {band['high']:.3f} "
                f"({band['rule']}).",
            )
        )
    rows = []
    for key, title in (
        ("all", "All images"),
        ("kept", "Without the rejected"),
        ("answered", "Without rejected and indeterminate"),
    ):
        for label, found in (part.get(key) or {}).items():
            several = f" · {label}" if len(part[key]) > 1 else ""
            cells = (metric_text(name, found[name]) for name in (*_RATES, "accuracy"))
            rows.append((f"{title}{several}", count(found["n"]), *cells))
    head = ("", "Images", *(describe(name).title for name in (*_RATES, "accuracy")))
    parts.append(table("Results with and without what is declined", head, rows, numeric=True))
    return join(parts), plots


def elsewhere_section(values: Mapping[str, Any]) -> Section:
    """Return several data sets side by side, from ``external.json``."""
    from plainfilm.report.figures import forest_figure

    rows = values["rows"]
    shown = [
        {
            "words": f"{row['name']}, {row['role']}  ({row['n']})",
            **{key: row["auroc"][key] for key in ("value", "low", "high")},
            "marked": (gap := value_of((row["drop"] or {}).get("auroc"), "high")) is not None
            and gap < 0,
        }
        for row in rows
    ]
    plot = Plot(
        "external",
        forest_figure(shown, name="external"),
        "AUROC of the same model on each data set, with 95% intervals. The dashed line is "
        "guessing; orange lies below the first row with its whole interval.",
        "AUROC on each data set. "
        + "; ".join(read_out(row) for row in shown if row["value"] is not None),
    )
    names = ("auroc", "sensitivity", "specificity", "brier")
    cells = [
        (
            f"{row['name']}, {row['role']}",
            f"{count(row['n'])} of {count(row['patients'])} patients",
            "–" if row["prevalence"] is None else f"{row['prevalence']:.1%}",
            *(_with_drop(row, name) for name in names),
        )
        for row in rows
    ]
    head = ("Data", "Images", "Positive", *(describe(name).title for name in names))
    caption = "The same model on each data set, and the change from the first"
    return (
        join([element("p", values["note"], class_="lead"), table(caption, head, cells)]),
        [plot],
    )


def _with_drop(row: Mapping[str, Any], name: str) -> Html:
    parts: list[str] = [element("p", metric_text(name, row.get(name)))]
    gap = (row["drop"] or {}).get(name)
    if gap is not None and gap["value"] is not None:
        parts.append(element("p", signed(gap, describe(name).percent), class_="quiet"))
    return join(parts)


def seeds_section(values: Mapping[str, Any]) -> Section:
    """Return what several trainings of the same recipe give, from ``seeds.json``."""
    from plainfilm.report.figures import forest_figure

    rows = [
        {
            "words": f"seed {row['seed']}",
            **{key: row["auroc"][key] for key in ("value", "low", "high")},
        }
        for row in values["rows"]
    ]
    ensemble = values.get("ensemble")
    if ensemble is not None:
        area = ensemble["auroc"]
        rows.append({"words": "ensemble", **{key: area[key] for key in ("value", "low", "high")}})
    plot = Plot(
        "seeds",
        forest_figure(rows, zero=None, name="seeds"),
        "AUROC of each training, with the 95% interval of the choice of test images.",
        "AUROC of each training. "
        + "; ".join(read_out(row) for row in rows if row["value"] is not None),
    )
    told = [
        (
            describe(name).title,
            _number(spread["mean"]),
            _number(spread["sd"]),
            f"{_number(spread['low'])} to {_number(spread['high'])}",
            f"± {_number(spread['sampling_half_width'])}",
        )
        for name, spread in values["spread"].items()
    ]
    head = ("Metric", "Mean over seeds", "Standard deviation", "Range", "Sampling, 95%")
    whole = table("Spread over trainings beside that of the test images", head, told, numeric=True)
    return join([element("p", values["note"], class_="lead"), whole]), [plot]


def precision_table(label: str, part: Mapping[str, Any]) -> Html | None:
    """Return what this test can tell and how many images would tell more."""
    rows: list[Sequence[str]] = []
    for name in _RATES:
        found = part.get(name)
        if found is None:
            continue
        kind = describe(name)
        half = f"± {number(found['half_width'], kind.percent)}"
        rows.append((f"{kind.title}: {half}, as it is", "", "", ""))
        rows += [
            (
                f"{kind.title}: ± {number(want['half_width'], kind.percent)}",
                *(count(want[key]) for key in ("images", "patients", "positives")),
            )
            for want in found["wanted"]
        ]
    if not rows:
        return None
    head = ("95% interval of", "Images needed", "Patients", "Positive images")
    body = table(f"How many images a narrower interval of {label} takes", head, rows, numeric=True)
    return join([body, element("p", str(part.get("note") or ""), class_="quiet")])


def prevalence_table(part: Mapping[str, Any]) -> Html:
    """Return what the results are where another share is positive, from ``at_prevalence``."""
    rows: list[Sequence[str]] = []
    for label, found in part["labels"].items():
        shifts, brier = found["in_the_large"], found["brier"] or {}
        for key, words in (("before", "as it is"), ("after", "corrected")):
            cell = metric_text("calibration_in_the_large", shifts[key])
            rows.append((f"{label}: calibration in the large, {words}", cell))
            if key in brier:
                rows.append((f"{label}: Brier score, {words}", number(brier[key])))
        for name, point in found["operating_points"].items():
            rows += [
                (f"{label}: {describe(key).title} of “{name}”", metric_text(key, point[key]))
                for key in ("ppv", "npv")
            ]
    body = table(f"Where {part['prevalence']:.1%} of the images are positive", ("", "Value"), rows)
    return join([body, element("p", str(part["note"]), class_="quiet")])
