"""The first screen: what this is, how good it is, and what to distrust, in ten seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plainfilm.report.content import ReportContent, default_point, label_views, value_of
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.sections.caveats import Caveat, write_caveats
from plainfilm.report.wording import count, describe, interval, method_of, number, when

__all__ = ["first_screen", "subject"]

SHOWN = 6
"""Reasons for doubt on the first screen; the others fold out."""


def subject(content: ReportContent) -> str:
    """Return in a few words what is told apart."""
    task = content.evaluation.get("task") or {}
    classes = [str(name) for name in task.get("classes") or ()]
    if task.get("kind") == "binary" and len(classes) == 2:
        return f"{classes[1]} or {classes[0]}?"
    names = [str(name) for name in task.get("labels") or classes]
    if not names:
        return "A chest X-ray classifier"
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


def first_screen(content: ReportContent) -> Html:
    """Return the head of the page."""
    caveats = write_caveats(content)
    return join(
        [
            element(
                "header",
                element("p", "plainfilm · evaluation report", class_="kicker"),
                element("h1", subject(content)),
                element("p", _purpose(content), class_="lead"),
                element("p", _on_what(content), class_="quiet"),
                class_="top",
            ),
            element(
                "div",
                element(
                    "section",
                    element("h2", "How good it is", id="good"),
                    _cards(content),
                    _retold(content),
                    aria_labelledby="good",
                ),
                element(
                    "section",
                    element("h2", "What to distrust", id="doubt"),
                    _list(caveats[:SHOWN]),
                    _more(caveats[SHOWN:]),
                    aria_labelledby="doubt",
                ),
                class_="first",
            ),
        ]
    )


def _purpose(content: ReportContent) -> Html:
    task = content.evaluation.get("task") or {}
    classes = [str(name) for name in task.get("classes") or ()]
    what = "each finding"
    if task.get("kind") == "binary" and len(classes) == 2:
        what = f"{classes[1]} against {classes[0]}"
    elif task.get("kind") == "multiclass" and classes:
        what = f"each of {len(classes)} classes"
    return join(
        [
            f"A model that gives a chest X-ray a probability of {what}. ",
            element("strong", "For research and teaching. Not a medical device:"),
            " nothing here may decide about a patient.",
        ]
    )


def _on_what(content: ReportContent) -> str:
    evaluation = content.evaluation
    dataset = evaluation.get("dataset") or {}
    total, patients = value_of(evaluation, "n"), value_of(evaluation, "patients")
    parts = ["number of images unknown" if total is None else f"{count(total)} images"]
    parts[0] += " of unknown patients" if patients is None else f" of {count(patients)} patients"
    prevalence = value_of(evaluation, "prevalence")
    if prevalence is not None:
        parts.append(f"{prevalence:.1%} positive")
    split, name = (str(dataset.get(key, "unnamed")) for key in ("split", "name"))
    parts.append(f"all of {name}" if split == "all" else f"{split} split of {name}")
    bundle = evaluation.get("bundle") or {}
    if bundle.get("recipe"):
        parts.append(f"recipe {bundle['recipe']}")
    if evaluation.get("created"):
        parts.append(when(evaluation["created"]))
    return " · ".join(parts)


def _headline(content: ReportContent) -> list[tuple[str, Mapping[str, Any], str]]:
    """Return name, metric and condition of the few numbers that stand first."""
    evaluation = content.evaluation
    views = label_views(evaluation)
    overall = evaluation.get("metrics") or {}
    if len(views) > 1:
        names = ("auroc", "accuracy", "balanced_accuracy", "average_precision", "brier", "log_loss")
        mean = f"mean of {len(views)} labels"
        top = "of the most probable class"
        several = (evaluation.get("task") or {}).get("kind") == "multiclass"
        return [
            (name, overall[name] or {}, top if several and name == "accuracy" else mean)
            for name in names
            if name in overall
        ][:4]
    view = views[0][1]
    whole = view.get("metrics") or {}
    point = default_point(view)
    at = (point[1].get("metrics") or {}) if point else {}
    under = f"at “{point[0]}”" if point else ""
    shown = [("auroc", whole.get("auroc") or {}, "over all thresholds")]
    for name in ("accuracy", "sensitivity", "specificity"):
        metric, condition = (at.get(name), under) if name in at else (whole.get(name), "")
        shown.append((name, metric or {}, condition))
    return shown


def _cards(content: ReportContent) -> Html:
    return element("dl", *(_card(*each) for each in _headline(content)), class_="cards")


def _card(name: str, metric: Mapping[str, Any], condition: str) -> Html:
    kind = describe(name)
    value = value_of(metric)
    title = element("dt", kind.title, " ", element("small", condition))
    if value is None:
        reason = metric.get("reason") or "not computed"
        return element(
            "div",
            title,
            element("dd", "undefined", class_="value none"),
            element("dd", str(reason), class_="under"),
        )
    bounds = interval(metric, kind.percent)
    method = f" ({method_of(metric, short=True)})" if method_of(metric) else ""
    under = f"95% interval {bounds}{method}" if bounds else "no interval"
    # The rule runs from 0 to 1, the better the further right: not so for a loss.
    shown = name == "auroc" or kind.percent
    bar = _bar(value, value_of(metric, "low"), value_of(metric, "high")) if shown else Html("")
    return element(
        "div",
        title,
        element("dd", number(value, kind.percent), class_="value"),
        element("dd", under, class_="under"),
        bar,
    )


def _bar(value: float, low: float | None, high: float | None) -> Html:
    """Return a rule from 0 to 1 with the interval on it; decoration, for the text says the same."""
    marks = [element("i", style="left:50%", class_="half")]
    if low is not None and high is not None:
        left, right = max(0.0, low), min(1.0, high)
        style = f"left:{100 * left:.2f}%;width:{100 * (right - left):.2f}%"
        marks.append(element("i", style=style, class_="range"))
    marks.append(element("i", style=f"left:{100 * value:.2f}%", class_="dot"))
    return element("dd", *marks, class_="bar", aria_hidden="true")


def _retold(content: ReportContent) -> Html:
    """Retell the two rates as natural frequencies, which readers get right more often.

    Gigerenzer et al., *Helping Doctors and Patients Make Sense of Health Statistics*, 2007.
    """
    views = label_views(content.evaluation)
    point = default_point(views[0][1])
    if len(views) > 1 or point is None:
        return Html("")
    metrics = point[1].get("metrics") or {}
    sensitivity = value_of(metrics.get("sensitivity"))
    specificity = value_of(metrics.get("specificity"))
    if sensitivity is None or specificity is None:
        return Html("")
    label = views[0][0]
    found, alarms = round(100 * sensitivity), round(100 * (1 - specificity))
    return element(
        "p",
        "Of 100 images with ",
        element("b", label),
        f", it flags about {found} and misses about {100 - found}. Of 100 without, it flags about "
        f"{alarms} by mistake.",
        class_="lead",
    )


def _list(caveats: list[Caveat]) -> Html:
    items = [
        element(
            "li",
            element("b", caveat.title, class_=f"mark {caveat.severity}"),
            " ",
            element("span", f"{caveat.severity}: ", class_="unseen"),
            caveat.text,
        )
        for caveat in caveats
    ]
    return element("ul", *items, class_="doubts")


def _more(caveats: list[Caveat]) -> Html:
    if not caveats:
        return Html("")
    return element("details", element("summary", f"{len(caveats)} more"), _list(caveats))
