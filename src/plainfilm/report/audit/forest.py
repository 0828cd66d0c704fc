"""A forest plot of the baseline models, drawn in HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plainfilm.audit.document import Baseline
from plainfilm.audit.shortcuts import judge, reporting_limit
from plainfilm.report.audit.wording import bounds
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.wording import number

_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def by_comparison(baselines: Sequence[Baseline]) -> dict[str, list[Baseline]]:
    """Return the models grouped by what they distinguish, e.g. ``PNEUMONIA against NORMAL``."""
    groups: dict[str, list[Baseline]] = {}
    for baseline in baselines:
        title = " against ".join(baseline.groups)
        if baseline.kind == "shift":
            title = f"{baseline.target}: {title}"
        groups.setdefault(title, []).append(baseline)
    return groups


def forest(baselines: Sequence[Baseline], *, small: bool = False) -> Html:
    """Draw the AUROC of each model as a dot with its interval.

    A ``small`` plot is for a narrow column and has no caption.
    """
    rows: list[Html] = []
    for title, group in by_comparison(baselines).items():
        rows.append(element("li", element("b", title), class_="comparison"))
        rows += [_row(baseline) for baseline in group]
    body = element("ul", _axis(), *rows, _axis())
    if small:
        return element("figure", body, class_="forest small")
    caption = element(
        "figcaption",
        element("b", "Performance of the baseline models."),
        " Dot: cross-validated AUROC, from 0.5 (chance) to 1 (perfect). Bar: its interval; all "
        "intervals of the audit hold simultaneously with 95 % confidence (Bonferroni). If the "
        "whole interval is in the shaded area, the audit reports a finding. If the interval is "
        "wider than 0.30 (dashed), the result is inconclusive.",
    )
    return element("figure", body, caption, class_="forest")


def _axis() -> Html:
    ticks = [
        element("span", f"{tick:.1f}", style=f"left:{_position(tick):.1f}%", class_="tick")
        for tick in _TICKS
    ]
    return element(
        "li",
        element("span", class_="features"),
        element("span", *ticks, class_="track"),
        element("span", "AUROC", class_="number"),
        class_="axis",
        aria_hidden="true",
    )


def _position(auroc: float) -> float:
    """Return the position of an AUROC on the track in percent; below chance it is 0."""
    return 200 * (min(max(auroc, 0.5), 1.0) - 0.5)


def _row(baseline: Baseline) -> Html:
    auroc, judgement = baseline.auroc, judge(baseline)
    limit = _position(reporting_limit(baseline))
    marks = [element("i", style=f"left:{limit:.2f}%", class_="reported")]
    if auroc.high > 0.5:
        start, end = _position(auroc.low), _position(auroc.high)
        cut = " cut" if auroc.low < 0.5 else ""
        style = f"left:{start:.2f}%;width:{end - start:.2f}%"
        marks.append(element("i", style=style, class_=f"range{cut}"))
    texts = [element("em", judgement)] if judgement != "no finding" else []
    if math.isfinite(auroc.value):
        style = f"left:{_position(auroc.value):.2f}%"
        marks.append(element("i", style=style, class_="dot"))
        texts = [element("b", number(auroc.value)), Html(bounds(auroc)), *texts]
    return element(
        "li",
        element("span", baseline.features.capitalize(), class_="features"),
        element("span", *marks, class_="track", aria_hidden="true"),
        element("span", join(filter(None, texts), " "), class_="number"),
        class_=f"baseline {judgement.replace(' ', '-')}",
    )
