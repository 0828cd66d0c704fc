"""Reporting checklists: what a run can fill in, where it stands, and what authors must state."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from plainfilm.report.content import ReportContent, default_point, label_views, value_of
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.html.tables import table
from plainfilm.report.wording import count, metric_text, number

__all__ = ["CHECKLISTS", "checklist_section", "collect_evidence", "read_checklist"]

CHECKLISTS = ("claim", "tripod_ai", "stard_ai")
"""Files in ``checklists``, in the order in which they are shown."""

_AUTHORS = "for the authors to state"

Evidence = Mapping[str, tuple[str, str]]
"""By name: a sentence made from the run, and the title of the section where it stands."""


def read_checklist(name: str) -> dict[str, Any]:
    """Return a checklist: ``name``, ``source`` and ``items`` of ``n``, ``asks``, maybe ``fill``."""
    path = resources.files("plainfilm.report.sections").joinpath("checklists", f"{name}.toml")
    return tomllib.loads(path.read_text("utf-8"))


def checklist_section(content: ReportContent, places: Mapping[str, str]) -> Html:
    """Return every checklist as a table.

    Parameters
    ----------
    content
        What the report shows.
    places
        Title of a section to its id in the page. Evidence whose section is not there counts for
        nothing.
    """
    evidence = collect_evidence(content)
    parts: list[Html] = [
        element(
            "p",
            "What this run can say is filled in, with a link to where; the rest is for the authors "
            "to state. A filled row is a start: whether it answers the item is for a reader to "
            "judge.",
            class_="lead",
        )
    ]
    for name in CHECKLISTS:
        read = read_checklist(name)
        rows = [
            (item["n"], item["asks"], _answer(item.get("fill"), evidence, places))
            for item in read["items"]
        ]
        filled = sum(isinstance(row[2], Html) and "<a " in row[2] for row in rows)
        caption = f"{read['name']}: {filled} of {len(rows)} rows filled from the run"
        whole = table(caption, ("Item", "Asks for", "Here"), rows)
        source = element("p", f"{read['source']}. The wording is ours.", class_="quiet")
        parts.append(element("details", element("summary", caption), whole, source))
    return join(parts)


def _answer(fill: str | None, evidence: Evidence, places: Mapping[str, str]) -> Html:
    found = evidence.get(fill or "")
    place = places.get(found[1]) if found is not None else None
    if found is None or place is None:
        return element("span", _AUTHORS, class_="quiet")
    link = element("a", found[1], href=f"#{place}")
    return join([found[0], " (", link, ")"])


def collect_evidence(content: ReportContent) -> dict[str, tuple[str, str]]:
    """Return what the run can say, by name; what it cannot is missing."""
    found = {}
    for name, (title, tell) in _TELLERS.items():
        sentence = tell(content)
        if sentence:
            found[name] = (sentence, title)
    return found


def _data(content: ReportContent) -> str | None:
    data = content.evaluation.get("dataset") or {}
    if not data.get("name"):
        return None
    return f"{data['name']}, {data.get('split')}; content hash {str(data.get('hash'))[:12]}"


def _left_out(content: ReportContent) -> str | None:
    if content.listed is None:
        return None
    left = sum(content.listed["left_out"].values()) + sum(content.listed["unreadable"].values())
    return f"{count(left)} files left out for what is wrong with them; clinical criteria are yours"


def _splits(content: ReportContent) -> str | None:
    parts = (content.listed or {}).get("splits")
    if not parts:
        return None
    return ", ".join(f"{name} {count(part['images'])}" for name, part in parts.items())


def _network(content: ReportContent) -> str | None:
    plan = content.plan
    if not plan.get("network"):
        return None
    return f"{plan['network']}, {count(plan.get('parameters') or 0)} weights, {plan.get('input')}"


def _training(content: ReportContent) -> str | None:
    plan = content.plan
    if not plan.get("recipe"):
        return None
    return (
        f"recipe {plan['recipe']}, {plan.get('epochs')} epochs, augmentation "
        f"{plan.get('augmentation')}, {plan.get('precision')} on {plan.get('backend')}"
    )


def _precision(content: ReportContent) -> str | None:
    part = (label_views(content.evaluation)[0][1].get("precision") or {}).get("auroc")
    if not part:
        return None
    half = part["half_width"]
    return f"not planned here; the AUROC is known to ± {half:.3f}, and what more images would give"


def _missing(content: ReportContent) -> str | None:
    unknown = value_of(label_views(content.evaluation)[0][1], "unknown")
    if unknown is None:
        return None
    return f"{count(unknown)} images of unknown label are left out of what concerns that label"


def _performance(content: ReportContent) -> str | None:
    area = (content.evaluation.get("metrics") or {}).get("auroc")
    return None if value_of(area) is None else f"AUROC {metric_text('auroc', area)}"


def _point(content: ReportContent) -> tuple[str, Mapping[str, Any]] | None:
    return default_point(label_views(content.evaluation)[0][1])


def _rates(content: ReportContent) -> str | None:
    point = _point(content)
    if point is None:
        return None
    metrics = point[1].get("metrics") or {}
    names = ("sensitivity", "specificity")
    return ", ".join(f"{name} {metric_text(name, metrics.get(name))}" for name in names)


def _thresholds(content: ReportContent) -> str | None:
    point = _point(content)
    if point is None or value_of(point[1], "threshold") is None:
        return None
    return (
        f"calibrated probabilities; {point[0]} threshold {point[1]['threshold']:.3f}, locked on "
        "validation before the test was opened"
    )


def _sizes(content: ReportContent) -> str | None:
    n, patients = (value_of(content.evaluation, key) for key in ("n", "patients"))
    positives = value_of(content.evaluation, "positives")
    if n is None or patients is None:
        return None
    told = f"{count(n)} images of {count(patients)} patients"
    return told if positives is None else f"{told}, {count(positives)} positive"


def _robustness(content: ReportContent) -> str | None:
    part = content.evaluation.get("robustness")
    if not part:
        return None
    return f"{len(part['disturbances'])} kinds of disturbance at graded strengths"


def _external(content: ReportContent) -> str | None:
    rows = [row for row in (content.external or {}).get("rows") or () if row["role"] == "external"]
    return ", ".join(f"{row['name']} ({count(row['n'])} images)" for row in rows) or None


def _subgroups(content: ReportContent) -> str | None:
    part = content.evaluation.get("subgroups") or {}
    names = [
        column["column"] for columns in (part.get("labels") or {}).values() for column in columns
    ]
    if not names:
        return None
    told = ", ".join(dict.fromkeys(names))
    return f"results by {told}, adjusted for {count(part.get('tests') or 0)} tests"


def _rejection(content: ReportContent) -> str | None:
    part = content.evaluation.get("rejection") or {}
    if part.get("threshold") is None:
        return None
    between = max((part.get("indeterminate") or {"": 0}).values(), default=0)
    return (
        f"{count(part['rejected'])} images rejected as unlike the training images, "
        f"{count(between)} indeterminate; results with and without them"
    )


def _shift(content: ReportContent) -> str | None:
    if content.audit is None:
        return None
    return "the audit asks whether the splits can be told apart"


def _versions(content: ReportContent) -> str | None:
    versions = content.plan.get("versions")
    if not isinstance(versions, Mapping):
        return None
    return ", ".join(f"{name} {version}" for name, version in list(versions.items())[:4])


def _bundle(content: ReportContent) -> str | None:
    bundle = content.evaluation.get("bundle") or {}
    if not bundle.get("id"):
        return None
    return f"sealed bundle {str(bundle['id'])[:12]}, an ONNX graph with all that an answer needs"


def _balance(content: ReportContent) -> str | None:
    assumed = (content.evaluation.get("bundle") or {}).get("assumed_prevalence")
    prevalence = value_of(content.evaluation, "prevalence")
    if assumed is None:
        return None
    here = "" if prevalence is None else f"; {prevalence:.1%} of these images are positive"
    return f"probabilities assume the prevalence “{assumed}”{here}"


def _temperature(content: ReportContent) -> str | None:
    value = (content.evaluation.get("bundle") or {}).get("temperature")
    return None if value is None else f"temperature {number(value)}, fitted on validation only"


def _ensemble(content: ReportContent) -> str | None:
    seed = content.plan.get("seed")
    if isinstance(seed, (list, tuple)):
        return f"mean of the logits of {len(seed)} trainings"
    return "none: one network" if content.plan.get("network") else None


def _when(condition: Callable[[ReportContent], Any], words: str) -> Callable[..., str | None]:
    return lambda content: words if condition(content) else None


def _seed(content: ReportContent) -> str | None:
    seed = content.plan.get("seed")
    return None if seed is None else f"random, seed {seed}"


_TELLERS: dict[str, tuple[str, Callable[[ReportContent], str | None]]] = {
    "kind": (
        "Provenance",
        _when(lambda c: c.plan.get("network"), "deep learning on the image alone"),
    ),
    "data": ("Provenance", _data),
    "left_out": ("Data", _left_out),
    "preprocessing": (
        "Provenance",
        _when(lambda c: c.plan.get("input"), "one path for every file; size and geometry as told"),
    ),
    "splits": ("Data", _splits),
    "disjoint": (
        "Data",
        _when(
            lambda c: (c.listed or {}).get("splits"),
            "by patient, as far as patients are known; intervals count patients",
        ),
    ),
    "identity": (
        "Provenance",
        _when(
            lambda c: c.plan.get("recipe"), "patient keys are keyed hashes; see your source, too"
        ),
    ),
    "missing": ("All numbers", _missing),
    "precision": ("All numbers", _precision),
    "network": ("Provenance", _network),
    "software": ("Provenance", _versions),
    "seed": ("Provenance", _seed),
    "training": ("Provenance", _training),
    "epoch": (
        "Training",
        _when(lambda c: c.best_epoch is not None, "by validation or the last epoch, as marked"),
    ),
    "ensemble": ("Provenance", _ensemble),
    "metrics": (
        "All numbers",
        _when(lambda c: c.evaluation.get("metrics"), "each metric with its meaning"),
    ),
    "uncertainty": (
        "All numbers",
        _when(lambda c: c.evaluation.get("metrics"), "95% intervals, each with its method"),
    ),
    "robustness": ("When images get worse", _robustness),
    "heatmaps": (
        "Worst errors",
        _when(lambda c: c.worst, "class activation maps of the worst errors"),
    ),
    "internal": ("Performance", _performance),
    "external": ("Elsewhere", _external),
    "flow": ("Data", _when(lambda c: c.listed is not None, "diagram")),
    "sizes": ("Data", _sizes),
    "performance": ("Performance", _performance),
    "rates": ("Performance", _rates),
    "failures": (
        "Worst errors",
        _when(lambda c: c.worst is not None, "the worst errors, one by one"),
    ),
    "doubts": ("What to distrust", lambda _: "written from the numbers themselves"),
    "bundle": ("Provenance", _bundle),
    "audit": (
        "What the data holds",
        _when(lambda c: c.audit is not None, "copies, leaks, shortcuts, labels and odd files"),
    ),
    "temperature": ("Provenance", _temperature),
    "balance": ("Provenance", _balance),
    "subgroups": ("Subgroups", _subgroups),
    "thresholds": ("All numbers", _thresholds),
    "shift": ("What the data holds", _shift),
    "rejection": ("What it declines", _rejection),
    "blind": ("Performance", lambda _: "the model sees the image alone"),
}
