"""Sections of a report beyond the curves: for whom, when images get worse, elsewhere, again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thorax.report.content import value_of
from thorax.report.markup import Html, element, join
from thorax.report.plots import Plot
from thorax.report.tables import table
from thorax.report.wording import count, describe, interval, metric_text, number

__all__ = [
    "declined_section",
    "elsewhere_section",
    "precision_table",
    "prevalence_table",
    "robustness_section",
    "seeds_section",
    "subgroups_section",
]

Section = tuple[Html, list[Plot]]
_RATES = ("auroc", "sensitivity", "specificity")


def subgroups_section(part: Mapping[str, Any], whole: float | None) -> Section | None:
    """Return the results by column and fact; None where there is no column."""
    from thorax.report.evaluation_figures import forest_figure

    plots: list[Plot] = []
    parts: list[Html] = []
    minimum = (part.get("minimum") or {}).get("patients")
    for label, columns in (part.get("labels") or {}).items():
        told = [column for column in columns if column["cells"] or column["refused"]]
        if not told:
            continue
        rows = list(_forest_rows(told))
        if any(row.get("value") is not None for row in rows):
            name = "subgroups" if not plots else f"subgroups-{len(plots) + 1:02d}"
            plots.append(
                Plot(
                    name,
                    forest_figure(rows, whole=whole if not plots else None, name=name),
                    f"AUROC of {label} in subgroups, with 95% intervals over patients. The line is "
                    "the whole test; orange marks a difference that holds after adjusting for "
                    f"{count(part.get('tests') or 0)} tests (Holm, p below 0.05).",
                    f"AUROC of {label} in subgroups. "
                    + "; ".join(_read_out(row) for row in rows if row.get("value") is not None),
                )
            )
        parts.append(_subgroup_table(label, told))
        parts += [_refused(told)] if any(column["refused"] for column in told) else []
    if not parts:
        return None
    words = (
        f"A cell needs {minimum} patients of a class before that class is judged in it; a "
        "difference is the cell less all other images of known value. One that is not shown to be "
        "there may still be there: see how wide its interval is."
    )
    return join([element("p", words, class_="lead"), *parts]), plots


def _forest_rows(columns: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for column in columns:
        yield {"words": column["column"]}
        for cell in column["cells"]:
            area = cell["auroc"]
            if area["value"] is None:
                continue
            adjusted = cell["p_adjusted"].get("auroc")
            yield {
                "words": f"{cell['value']}  ({cell['n']})",
                **{key: area[key] for key in ("value", "low", "high")},
                "marked": adjusted is not None and adjusted < 0.05,
            }


def _read_out(row: Mapping[str, Any]) -> str:
    return f"{row['words']}: {number(row['value'])} ({interval(row)})"


def _subgroup_table(label: str, columns: Iterable[Mapping[str, Any]]) -> Html:
    rows = []
    for column in columns:
        against = f", against {column['against']}" if column.get("against") else ""
        for cell in column["cells"]:
            sizes = f"{count(cell['n'])} ({count(cell['positives'])} positive)"
            rows.append(
                (
                    f"{column['column']}: {cell['value']}{against}",
                    sizes,
                    *(_with_difference(cell, name) for name in _RATES),
                )
            )
    head = ("Subgroup", "Images", *(f"{describe(name).title}" for name in _RATES))
    return table(f"{label} by subgroup: value, difference from the others, adjusted p", head, rows)


def _with_difference(cell: Mapping[str, Any], name: str) -> Html:
    kind = describe(name)
    parts: list[str] = [element("p", metric_text(name, cell[name]))]
    gap = cell["difference"].get(name)
    if gap is not None and gap["value"] is not None:
        p = cell["p_adjusted"].get(name)
        told = f"; p {_p(p)}" if p is not None else ""
        parts.append(element("p", f"{_signed(gap, kind.percent)}{told}", class_="quiet"))
    return join(parts)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _signed(metric: Mapping[str, Any], percent: bool = False) -> str:
    """Write a difference with its sign and its interval."""
    scale, digits, unit = (100, 1, " points") if percent else (1, 3, "")
    ends = [value_of(metric, key) for key in ("value", "low", "high")]
    texts = ["–" if end is None else f"{scale * end:+.{digits}f}".replace("-", "−") for end in ends]
    bounds = "" if ends[1] is None or ends[2] is None else f" ({texts[1]} to {texts[2]})"
    return f"{texts[0]}{unit}{bounds}"


def _refused(columns: Iterable[Mapping[str, Any]]) -> Html:
    rows = [
        (f"{column['column']}: {cell['value']}", count(cell["n"]), str(cell["reason"]))
        for column in columns
        for cell in column["refused"]
    ]
    return table("Subgroups too small to be judged", ("Subgroup", "Images", "Why"), rows)


def robustness_section(part: Mapping[str, Any]) -> Section:
    """Return how the results change under disturbances."""
    from thorax.report.evaluation_figures import robustness_figure

    kinds, start = part["disturbances"], part["undisturbed"]
    first = part.get("first")
    if first is None:
        words = "No disturbance that was tried surely costs more than 0.01 of AUROC."
    else:
        what = next(kind for kind in kinds if kind["name"] == first["name"])
        words = (
            f"What hurts first: {what['what'].lower()}, at {first['strength']:g} {what['unit']} "
            f"(step {first['step']} of {len(what['steps'])}): AUROC {_signed(first['drop'])}."
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
            f"{kind['what']}: {metric_text('auroc', kind['steps'][-1]['auroc'])}" for kind in kinds
        ),
    )
    rows = [
        (
            f"{kind['what']}, {step['strength']:g} {kind['unit']}",
            metric_text("auroc", step["auroc"]),
            _signed(step["drop"]),
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
    from thorax.report.evaluation_figures import novelty_figure

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
    from thorax.report.evaluation_figures import forest_figure

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
        + "; ".join(_read_out(row) for row in shown if row["value"] is not None),
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
        parts.append(element("p", _signed(gap, describe(name).percent), class_="quiet"))
    return join(parts)


def seeds_section(values: Mapping[str, Any]) -> Section:
    """Return what several trainings of the same recipe give, from ``seeds.json``."""
    from thorax.report.evaluation_figures import forest_figure

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
        + "; ".join(_read_out(row) for row in rows if row["value"] is not None),
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
