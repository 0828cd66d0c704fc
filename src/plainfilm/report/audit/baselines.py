"""The results of the baseline models: a forest plot, drawn in HTML, and a card for each model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plainfilm.audit.baselines import METADATA
from plainfilm.audit.document import Baseline, Histograms
from plainfilm.audit.shortcuts import judge, reporting_limit
from plainfilm.report.audit.pictures import mean_pictures
from plainfilm.report.audit.wording import baseline_sentence
from plainfilm.report.html.markup import Html, element, folded, join, quiet
from plainfilm.report.html.page import describe_drawing
from plainfilm.report.wording import capitalised, count, interval_text, number

_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_DRAWN = 20  # comparisons with pictures; the forest plot shows all
_UNFOLDED = 4


def _by_comparison(baselines: Sequence[Baseline]) -> dict[str, list[Baseline]]:
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
    for title, group in _by_comparison(baselines).items():
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
        texts = [element("b", number(auroc.value)), Html(interval_text(auroc)), *texts]
    return element(
        "li",
        element("span", baseline.features.capitalize(), class_="features"),
        element("span", *marks, class_="track", aria_hidden="true"),
        element("span", join(filter(None, texts), " "), class_="number"),
        class_=f"baseline {judgement.replace(' ', '-')}",
    )


def baseline_cards(baselines: Sequence[Baseline], prefix: str) -> Html:
    """Return a card for each model, by comparison; ``prefix`` makes the ids of figures unique."""
    comparisons = list(_by_comparison(baselines).items())
    parts: list[Html] = []
    for index, (title, group) in enumerate(comparisons[:_DRAWN]):
        cards = [_card(baseline, f"{prefix}-{index}-{n}") for n, baseline in enumerate(group)]
        body = element("div", *cards, class_="models")
        if len(comparisons) <= _UNFOLDED:
            parts += [element("h3", title), body]
        else:
            parts.append(folded(title, body, class_="comparison"))
    if len(comparisons) > _DRAWN:
        words = f"Features are drawn for the first {_DRAWN} of {len(comparisons)} comparisons; "
        parts.append(quiet(words, "the figure above shows all."))
    return join(parts)


def _card(baseline: Baseline, name: str) -> Html:
    judgement = judge(baseline)
    class_ = judgement if judgement in ("serious", "warning") else "note"
    badge = element("span", judgement, class_=f"badge {class_}")
    head = [element("b", baseline.features.capitalize()), " "]
    head += [badge] if judgement != "no finding" else []
    parts = [element("p", *head), element("p", baseline_sentence(baseline))]
    if baseline.strongest:
        parts.append(element("ul", *_strongest(baseline), class_="metadata"))
    caption = element("figcaption", *parts)
    return element("figure", _picture(baseline, name), caption, class_=f"model {class_}")


def _strongest(baseline: Baseline) -> list[Html]:
    items = []
    for feature in baseline.strongest:
        name, unit = METADATA[feature.name]
        amounts = [count(v) if abs(v) >= 100 else f"{v:.3g}" for v in feature.medians]
        pairs = zip(amounts, baseline.groups, strict=True)
        medians = " and ".join(f"{f'{amount} {unit}'.strip()} ({group})" for amount, group in pairs)
        text = f"{capitalised(name)} alone: AUROC {number(feature.auroc)}; median {medians}"
        items.append(element("li", text))
    return items


def _picture(baseline: Baseline, name: str) -> Html:
    if baseline.means is not None:
        return mean_pictures(baseline.means, baseline.groups, baseline.counts)
    if baseline.histograms is not None:
        return _distribution(baseline.histograms, baseline.groups, name)
    return quiet("No distribution to draw.")


def _distribution(histograms: Histograms, groups: tuple[str, str], name: str) -> Html:
    from plainfilm.report.figures import shares_figure

    of, axis = "Share of the pixels", "Grey level (0 black, 255 white)"
    if histograms.name in METADATA:
        title, unit = METADATA[histograms.name]
        of, axis = "Share of the images", capitalised(title) + (f" ({unit})" if unit else "")
    edges = histograms.edges
    # Equal ratios rather than equal steps: the bins are logarithmic.
    log = edges[0] > 0 and edges[-1] - edges[-2] > 1.5 * (edges[1] - edges[0])
    values = dict(zip(groups, histograms.values, strict=True))
    svg = shares_figure(edges, values, words=axis, of=of, log=log, name=name)
    return describe_drawing(svg, f"{axis}: {groups[0]} against {groups[1]}")
