"""Cards that show the result and the features of each baseline model."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from plainfilm.audit.baselines import METADATA
from plainfilm.audit.document import Baseline, Histograms
from plainfilm.audit.shortcuts import judge
from plainfilm.report.audit.forest import by_comparison
from plainfilm.report.audit.pictures import mean_pictures
from plainfilm.report.audit.wording import amount, baseline_sentence
from plainfilm.report.html.markup import Html, element, join, visible
from plainfilm.report.wording import number

_DRAWN = 20  # comparisons with pictures; the forest plot shows all
_UNFOLDED = 4


def baseline_cards(baselines: Sequence[Baseline], prefix: str) -> Html:
    """Return a card for each model, by comparison; ``prefix`` makes the ids of figures unique."""
    comparisons = list(by_comparison(baselines).items())
    parts: list[Html] = []
    for index, (title, group) in enumerate(comparisons[:_DRAWN]):
        cards = [_card(baseline, f"{prefix}-{index}-{n}") for n, baseline in enumerate(group)]
        body = element("div", *cards, class_="models")
        if len(comparisons) <= _UNFOLDED:
            parts += [element("h3", title), body]
        else:
            parts.append(element("details", element("summary", title), body, class_="comparison"))
    if len(comparisons) > _DRAWN:
        text = (
            f"Features are drawn for the first {_DRAWN} of {len(comparisons)} comparisons; the "
            "figure above shows all."
        )
        parts.append(element("p", text, class_="quiet"))
    return join(parts)


def _card(baseline: Baseline, name: str) -> Html:
    judgement = judge(baseline)
    class_ = judgement if judgement in ("serious", "warning") else "note"
    badge = element("span", judgement, class_=f"badge {class_}")
    title = [element("b", baseline.features.capitalize())]
    caption = element(
        "figcaption",
        element("p", *title, " ", badge if judgement != "no finding" else ""),
        element("p", baseline_sentence(baseline)),
        *_strongest(baseline),
    )
    return element("figure", _picture(baseline, name), caption, class_=f"model {class_}")


def _strongest(baseline: Baseline) -> Iterator[Html]:
    rows = []
    first, second = baseline.groups
    for feature in baseline.strongest:
        name, unit = METADATA[feature.name]
        medians = [f"{amount(value)} {unit}".strip() for value in feature.medians]
        text = (
            f"{name[0].upper()}{name[1:]} alone: AUROC {number(feature.auroc)}; median "
            f"{medians[0]} ({first}) and {medians[1]} ({second})"
        )
        rows.append(element("li", text))
    if rows:
        yield element("ul", *rows, class_="metadata")


def _picture(baseline: Baseline, name: str) -> Html:
    if baseline.means is not None:
        return mean_pictures(baseline.means, baseline.groups, baseline.counts)
    if baseline.histograms is not None:
        return _distribution(baseline.histograms, baseline.groups, name)
    return element("p", "No distribution to draw.", class_="quiet")


def _distribution(histograms: Histograms, groups: tuple[str, str], name: str) -> Html:
    from plainfilm.report.figures import shares_figure

    of, axis = "Share of the pixels", "Grey level (0 black, 255 white)"
    if histograms.name in METADATA:
        title, unit = METADATA[histograms.name]
        of, axis = (
            "Share of the images",
            f"{title[0].upper()}{title[1:]}{f' ({unit})' * bool(unit)}",
        )
    edges = histograms.edges
    # Equal ratios rather than equal steps: the bins are logarithmic.
    log = edges[0] > 0 and edges[-1] - edges[-2] > 1.5 * (edges[1] - edges[0])
    values = dict(zip(groups, histograms.values, strict=True))
    svg = shares_figure(edges, values, words=axis, of=of, log=log, name=name)
    label = html.escape(visible(f"{axis}: {groups[0]} against {groups[1]}"))
    return Html(re.sub(r'aria-label="[^"]*"', lambda _: f'aria-label="{label}"', svg, count=1))
