"""How far each cheat gets, on one axis from guessing to perfect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plainfilm.report.audit.wording import TITLES, judge, limit_of
from plainfilm.report.content import value_of
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.wording import interval, number

__all__ = ["forest", "groups_of"]

_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Probe = Mapping[str, Any]


def groups_of(probes: Sequence[Probe]) -> dict[str, list[Probe]]:
    """Return the probes by the question that they answer, e.g. ``PNEUMONIA or NORMAL?``."""
    groups: dict[str, list[Probe]] = {}
    for probe in probes:
        one, other = probe["sides"]
        title = f"{one} or {other}?"
        if probe["about"] != "shortcut":
            title = f"{probe['target']}: {one} or {other}?"
        groups.setdefault(title, []).append(probe)
    return groups


def forest(probes: Sequence[Probe], *, small: bool = False) -> Html:
    """Draw every probe as a dot with its interval, as markup: it grows and shrinks with the page.

    Parameters
    ----------
    probes
        As `Probe.to_json` writes them; at least one.
    small
        Whether it stands in a narrow column, without its caption.
    """
    rows: list[Html] = []
    for title, group in groups_of(probes).items():
        rows.append(element("li", element("b", title), class_="asked"))
        rows += [_row(probe) for probe in group]
    caption = element(
        "figcaption",
        element("b", "How far each cheat gets."),
        " Dot: cross-validated AUROC; bar: its interval; all intervals of the audit hold together "
        "with 95 % (Bonferroni). At the left edge it is guessing, at the right it is never wrong. "
        "A bar that lies wholly in the shaded part is reported; where it is wider than 0.30 "
        "(dashed), nothing can be told.",
    )
    body = element("ul", _axis(), *rows, _axis())
    if small:
        return element("figure", body, class_="forest small")
    return element("figure", body, caption, class_="forest")


def _axis() -> Html:
    ticks = [
        element("span", f"{tick:.1f}", style=f"left:{_place(tick):.1f}%", class_="tick")
        for tick in _TICKS
    ]
    return element(
        "li",
        element("span", class_="sees"),
        element("span", *ticks, class_="track"),
        element("span", "AUROC", class_="number"),
        class_="axis",
        aria_hidden="true",
    )


def _place(value: float) -> float:
    """Return where on the track an AUROC lies, in percent; what is below guessing, at its start."""
    return 200 * (min(max(value, 0.5), 1.0) - 0.5)


def _row(probe: Probe) -> Html:
    area = probe.get("auroc") or {}
    value, low, high = (value_of(area, part) for part in ("value", "low", "high"))
    judgement = judge(probe)
    marks = [element("i", style=f"left:{_place(limit_of(probe)):.2f}%", class_="reported")]
    if low is not None and high is not None and high > 0.5:
        start, end = _place(low), _place(high)
        cut = " cut" if low < 0.5 else ""
        style = f"left:{start:.2f}%;width:{end - start:.2f}%"
        marks.append(element("i", style=style, class_=f"range{cut}"))
    if value is not None:
        marks.append(element("i", style=f"left:{_place(value):.2f}%", class_="dot"))
    told = "cannot tell" if value is None else number(value)
    bounds = interval(area)
    words = {"cannot tell": "cannot tell", "harmless": ""}.get(judgement, judgement)
    return element(
        "li",
        element("span", TITLES.get(str(probe["cheat"]), str(probe["cheat"])), class_="sees"),
        element("span", *marks, class_="track", aria_hidden="true"),
        element(
            "span",
            element("b", told),
            f" {bounds}" if bounds else "",
            join([" ", element("em", words)] if words and words != told else []),
            class_="number",
        ),
        class_=f"probe {judgement.replace(' ', '-')}",
    )
