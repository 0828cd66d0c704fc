"""The first screen: what the model does, its key results, and the caveats."""

from __future__ import annotations

import math

from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.metrics import Interval
from plainfilm.report.content import (
    ReportContent,
    default_point,
    is_synthetic,
    only_label,
)
from plainfilm.report.html.markup import Html, element, folded, join, lead, quiet
from plainfilm.report.html.page import page_header
from plainfilm.report.sections.caveats import Caveat, write_caveats
from plainfilm.report.wording import (
    bounded,
    counted,
    describe,
    interval_text,
    mean_of,
    method_of,
    number,
    when,
)

CAVEATS = "Caveats"
"""Title of the caveats, whose id is ``caveats``."""
_SHOWN = 6
_TOP = "of the most probable class"


def subject(evaluation: EvaluationDocument) -> str:
    """Return the classes or labels of the task in a few words."""
    task = evaluation.task
    if task.kind == "binary":
        return f"{task.classes[1]} vs {task.classes[0]}"
    names = task.labels
    if len(names) <= 4:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"


def first_screen(content: ReportContent) -> Html:
    """Return the head of the page."""
    evaluation, caveats = content.evaluation, write_caveats(content)
    paragraphs = [lead(_purpose(evaluation)), quiet(_facts(evaluation))]
    if is_synthetic(evaluation):
        paragraphs.insert(0, synthetic_notice())
    header = page_header("evaluation report", subject(evaluation), *paragraphs)
    results = element(
        "section",
        element("h2", "Key results", id="results"),
        element("dl", *(_card(*each) for each in _key_results(evaluation)), class_="cards"),
        _frequencies(evaluation),
        aria_labelledby="results",
    )
    more = Html("")
    if rest := caveats[_SHOWN:]:
        more = folded(f"{len(rest)} more", _list(rest))
    limits = element(
        "section",
        element("h2", CAVEATS, id="caveats"),
        _list(caveats[:_SHOWN]),
        more,
        aria_labelledby="caveats",
    )
    return join([header, element("div", results, limits, class_="first")])


def synthetic_notice() -> Html:
    """Return the paragraph at the top of a page about images that plainfilm drew."""
    return lead(
        element("strong", "Synthetic images", class_="mark serious"),
        " plainfilm drew images that this model was trained or evaluated on. The results say "
        "nothing about patients.",
    )


def _purpose(evaluation: EvaluationDocument) -> Html:
    task = evaluation.task
    what = "of each finding"
    if task.kind == "binary":
        what = f"of {task.classes[1]}, as opposed to {task.classes[0]},"
    elif task.kind == "multiclass":
        what = f"of each of {len(task.classes)} classes"
    return join(
        [
            f"A classifier that estimates the probability {what} from a chest X-ray. ",
            element("strong", "For research and teaching. Not a medical device:"),
            " do not use it for decisions about patients.",
        ]
    )


def _facts(evaluation: EvaluationDocument) -> str:
    dataset, single = evaluation.dataset, only_label(evaluation)
    parts = [f"{counted(evaluation.n, 'image')} of {counted(evaluation.patients, 'patient')}"]
    if single is not None and math.isfinite(single[1].prevalence):
        parts.append(f"{single[1].prevalence:.1%} positive")
    whole = dataset.split == "all"
    parts.append(f"all of {dataset.name}" if whole else f"{dataset.split} split of {dataset.name}")
    if evaluation.model.recipe:
        parts.append(f"recipe {evaluation.model.recipe}")
    if evaluation.model.imported_from:
        file = evaluation.model.imported_from.rpartition(", SHA-256")[0]
        parts.append(f"network imported from {file}")
    if evaluation.model.kind == "predictions":
        parts.append(f"predictions in the table {evaluation.model.name}")
    return " · ".join([*parts, when(evaluation.created)])


def _key_results(evaluation: EvaluationDocument) -> list[tuple[str, Interval | None, str]]:
    """Return name, value and condition of the four key metrics."""
    single = only_label(evaluation)
    if single is None:
        names = ("auroc", "accuracy", "balanced_accuracy", "average_precision", "mcc")
        known = [name for name in names if name in evaluation.main][:4]
        return [
            (
                name,
                evaluation.main[name],
                f"macro: {mean_of(evaluation, name)}" if name in evaluation.macro else _TOP,
            )
            for name in known
        ]
    results = single[1]
    point = default_point(results)
    shown: list[tuple[str, Interval | None, str]] = [
        ("auroc", results.metrics.get("auroc"), "over all thresholds")
    ]
    for name in ("accuracy", "sensitivity", "specificity"):
        if point is not None and name in point[1].metrics:
            shown.append((name, point[1].metrics[name], f"at “{point[0]}”"))
        else:
            shown.append((name, results.metrics.get(name), ""))
    return shown


def _card(name: str, interval: Interval | None, condition: str) -> Html:
    kind = describe(name)
    title = element("dt", kind.title, " ", element("small", condition))
    if interval is None or not math.isfinite(interval.value):
        reason = element("dd", (interval and interval.reason) or "not computed", class_="under")
        return element("div", title, element("dd", "undefined", class_="value none"), reason)
    limits, method = interval_text(interval, kind.percent), method_of(interval, short=True)
    under = f"95% CI {limits}{f' ({method})' if method else ''}" if limits else "no interval"
    # On the bar from 0 to 1 further right is better, which does not hold for losses.
    bar = _bar(interval) if name == "auroc" or kind.percent else Html("")
    value = element("dd", number(interval.value, kind.percent), class_="value")
    return element("div", title, value, element("dd", under, class_="under"), bar)


def _bar(interval: Interval) -> Html:
    """Return a bar from 0 to 1 with the interval; hidden from screen readers, as text precedes."""
    marks = [element("i", style="left:50%", class_="half")]
    if bounded(interval):
        left, right = max(0.0, interval.low), min(1.0, interval.high)
        style = f"left:{100 * left:.2f}%;width:{100 * (right - left):.2f}%"
        marks.append(element("i", style=style, class_="range"))
    marks.append(element("i", style=f"left:{100 * interval.value:.2f}%", class_="dot"))
    return element("dd", *marks, class_="bar", aria_hidden="true")


def _frequencies(evaluation: EvaluationDocument) -> Html:
    """Return both rates as natural frequencies, which readers understand better.

    Gigerenzer et al., *Helping Doctors and Patients Make Sense of Health Statistics*, 2007.
    """
    single = only_label(evaluation)
    point = default_point(single[1]) if single else None
    if single is None or point is None:
        return Html("")
    rates = [point[1].metrics[name].value for name in ("sensitivity", "specificity")]
    if not all(map(math.isfinite, rates)):
        return Html("")
    found, alarms = round(100 * rates[0]), round(100 * (1 - rates[1]))
    return lead(
        "Of 100 images with ",
        element("b", single[0]),
        f", the model detects about {found} and misses about {100 - found}. Of 100 images without, "
        f"it gives about {counted(alarms, 'false alarm')}.",
    )


def _list(caveats: list[Caveat]) -> Html:
    items = []
    for caveat in caveats:
        title = element("b", caveat.title, class_=f"mark {caveat.severity}")
        severity = element("span", f"{caveat.severity}: ", class_="unseen")
        items.append(element("li", title, " ", severity, caveat.text))
    return element("ul", *items, class_="caveats")
