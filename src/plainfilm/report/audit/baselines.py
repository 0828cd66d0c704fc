"""For each cheat a picture of what it goes by, and a sentence on how far it gets."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from plainfilm.report.audit.forest import groups_of
from plainfilm.report.audit.pictures import mean_pictures
from plainfilm.report.audit.wording import FACTS, TITLES, amount, judge, probe_sentence
from plainfilm.report.html.markup import Html, element, join, visible
from plainfilm.report.wording import number

__all__ = ["DRAWN", "probe_cards"]

DRAWN = 20
"""Questions whose pictures are drawn; the forest holds all of them."""
_OPEN = 4  # questions that are unfolded

Probe = Mapping[str, Any]


def probe_cards(probes: Sequence[Probe], prefix: str) -> Html:
    """Return a card a probe, by question; ``prefix`` makes the ids in the figures unique."""
    groups = list(groups_of(probes).items())
    parts: list[Html] = []
    if len(groups) > _OPEN:
        words = "What each of them goes by, question by question:"
        parts.append(element("p", words, class_="quiet"))
    for place, (title, group) in enumerate(groups[:DRAWN]):
        cards = [_card(probe, f"{prefix}-{place}-{n}") for n, probe in enumerate(group)]
        body = element("div", *cards, class_="cheats")
        if len(groups) <= _OPEN:
            parts.append(join([element("h3", title), body]))
        else:
            parts.append(element("details", element("summary", title), body, class_="asked"))
    if len(groups) > DRAWN:
        words = f"Pictures of the first {DRAWN} of {len(groups)} questions; the figure above has "
        parts.append(element("p", f"{words}all of them.", class_="quiet"))
    return join(parts)


def _card(probe: Probe, name: str) -> Html:
    judgement = judge(probe)
    title = TITLES.get(str(probe["cheat"]), str(probe["cheat"]))
    grave = judgement if judgement in ("serious", "warning") else "note"
    mark = "" if judgement == "harmless" else element("span", judgement, class_=f"badge {grave}")
    caption = element(
        "figcaption",
        element("p", element("b", title), " ", mark),
        element("p", probe_sentence(probe)),
        *_metadata(probe),
    )
    return element("figure", _picture(probe, name), caption, class_=f"cheat {grave}")


def _metadata(probe: Probe) -> list[Html]:
    metadata = probe.get("metadata") or ()
    if not metadata:
        return []
    one, other = probe["sides"]
    rows = []
    for fact in metadata:
        title, unit = FACTS.get(str(fact["name"]), (str(fact["name"]), ""))
        first, second = (amount(float(value)) for value in fact["medians"])
        rows.append(
            element(
                "li",
                f"{title} alone: {number(float(fact['auroc']))}; median {first} ({one}) and "
                f"{second} ({other}){f' {unit}' if unit else ''}",
            )
        )
    return [element("ul", *rows, class_="metadata")]


def _picture(probe: Probe, name: str) -> Html:
    from plainfilm.report.figures import shares_figure

    view = probe.get("view") or {}
    sides = [str(side) for side in probe["sides"]]
    if view.get("means"):
        return mean_pictures(view["means"], sides, probe["counts"])
    if view.get("shares"):
        edges = [
            256 * place / len(view["shares"][0]) for place in range(len(view["shares"][0]) + 1)
        ]
        counts, words, spread = view["shares"], "Grey level (0 black, 255 white)", False
        of = "Share of the pixels"
    elif view.get("edges"):
        edges, counts = view["edges"], view["counts"]
        title, unit = FACTS.get(str(view["fact"]), (str(view["fact"]), ""))
        words = f"{title[0].upper()}{title[1:]}{f' ({unit})' if unit else ''}"
        spread = _geometric(edges)
        of = "Share of the images"
    else:
        return element("p", "There is nothing to draw.", class_="quiet")
    svg = shares_figure(
        edges, dict(zip(sides, counts, strict=True)), words=words, of=of, log=spread, name=name
    )
    told = html.escape(visible(f"{words}: {sides[0]} against {sides[1]}"))
    return Html(re.sub(r'aria-label="[^"]*"', lambda _: f'aria-label="{told}"', svg, count=1))


def _geometric(edges: Sequence[float]) -> bool:
    """Tell whether edges grow by a factor rather than by a step."""
    if len(edges) < 3 or edges[0] <= 0:
        return False
    first, last = edges[1] - edges[0], edges[-1] - edges[-2]
    return last > 1.5 * first
