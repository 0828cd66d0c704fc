"""Every sentence that states a result follows its number: a planted number changes it."""

from __future__ import annotations

import ast
import html
import inspect
import itertools
import math
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from fnmatch import fnmatch
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from plainfilm.bundle import PretrainedWeights
from plainfilm.cli.describe import describe_evaluation, describe_external
from plainfilm.cli.describe_several import describe_variation
from plainfilm.evaluation.document import EvaluationDocument, ExternalDocument, SeedsDocument
from plainfilm.evaluation.document.analyses import DisturbanceResults, FirstDrop
from plainfilm.evaluation.document.evaluation import LeftOutImage
from plainfilm.metrics import Interval
from plainfilm.records import Finding, Task
from plainfilm.report import ReportContent, model_card
from plainfilm.report.figures import Drawing
from plainfilm.report.html.page import Folded, Part, Plot, Plots, Sheet
from plainfilm.report.html.table import Table
from plainfilm.report.sections import (
    analyses,
    caveats,
    checklist,
    files,
    metric_caveats,
    performance,
    readers,
    section_list,
    several,
    summary,
)
from plainfilm.report.sections.analyses import robustness_section
from plainfilm.report.sections.caveats import write_caveats
from report_content import draw_training

TASK = Task("binary", ("ILL",), ("WELL", "ILL"))
METRICS = ("auroc", "sensitivity", "specificity", "brier")
POINTS = ("balanced", "rule-in")
KEYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("labels", "indeterminate", "all", "accepted", "decided"), TASK.labels),
    **dict.fromkeys(("indeterminate_ranges",), TASK.labels),
    **dict.fromkeys(("operating_points",), POINTS),
    **dict.fromkeys(POINTS, ("sensitivity", "specificity")),
    **dict.fromkeys(("metrics", "difference", "p", "p_adjusted", "without", "variation"), METRICS),
    **dict.fromkeys(("mean", "against"), ("auroc", "sensitivity")),
    "counts": TASK.classes,
    "reasons": ("blank", "unlike-training"),
}
DRAWN = re.compile(
    r"\.curves\.(roc|precision_recall|decision|scores)\.|\.predictive_values\.|\.novelty\."
    r"|\.calibration\.(bins|brier_parts)\.|\.roc\."
)
"""Curves, which figures show; sentences do not list their points."""
RANGE = re.compile(r"\.indeterminate(_ranges)?\.\w+\.low$")
"""The lower end of an indeterminate range."""

NOT_SHOWN: Mapping[str, tuple[str, ...]] = {
    "evaluation": (
        "findings.count", "at_prevalence.*.assumed_prevalence",
        "labels.*.error_bias", "labels.*.error_corrected", "labels.*.design_effect",
        "labels.*.validation.copies", "labels.*.validation.target",
        "overlap.metrics.brier.*", "rejection.*.metrics.brier.*", "robustness.disturbances.*.brier",
        "robustness.undisturbed.*",
        "subgroups.*.missing", "subgroups.*.metrics.brier.*", "subgroups.*.difference.brier.*",
        "subgroups.*.p.*", "subgroups.*.p_adjusted.brier", "subgroups.*.subgroups.patients",
        "subgroups.*.too_small.positives", "subgroups.*.operating_points.balanced.*",
        "subgroups.*.within.p",
        "readers.*.freedom", "readers.*.model_threshold", "readers.*.threshold",
        "readers.*.against.*.model.*", "readers.*.against.*.p", "readers.*.readers.patients",
    ),
    "external": (
        "model.*", "rows.calibration_slope.*", "rows.in_the_large.*", "rows.indeterminate.*",
        "rows.positives", "rows.rejected",
        "rows.without.brier.*", "rows.without.sensitivity.*", "rows.without.specificity.*",
    ),
    "seeds": (
        "*.seed", "*.metrics.brier.*", "*.metrics.sensitivity.*", "*.metrics.specificity.*",
    ),
}  # fmt: skip
"""Numbers that are in the files only, or in the tables that are written as CSV."""


class Codes:
    """Numbers that occur once in a document, and so can be found in a text."""

    def __init__(self, *, falling: bool = False) -> None:
        shares = [n / 1000 for n in range(101, 990) if n % 10]
        self._shares = itertools.cycle(shares[::-1] if falling else shares)
        self._counts = itertools.count(20_011, 7)

    def number(self, kind: type) -> float | int:
        return next(self._shares) if kind is float else next(self._counts)


def fill(kind: Any, codes: Codes, name: str = "", depth: int = 0) -> Any:
    """Return a value of a type, with a number of its own at every place."""
    origin, given = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return fill(next(own for own in given if own is not type(None)), codes, name, depth)
    if origin is Literal:
        return given[0]
    if origin is tuple:
        inner = given[:1] * 2 if given[-1] is Ellipsis else given
        return tuple(fill(own, codes, name, depth) for own in inner)
    if origin is not None and issubclass(origin, Mapping):
        keys = KEYS.get(name, ("first", "second"))
        return {key: fill(given[1], codes, key, depth + 1) for key in keys}
    if kind is Task:
        return TASK
    if kind is Finding:
        return Finding(check="c", severity="note", problem="a finding", count=codes.number(int))
    if is_dataclass(kind):
        return fill_fields(kind, codes, depth)
    return codes.number(kind) if kind in (int, float) else f"{name} text"


@cache
def hints(kind: Any) -> dict[str, Any]:
    """Return the types of the fields of a dataclass."""
    found = get_type_hints(kind)
    return {own.name: found[own.name] for own in fields(kind) if own.init}


def fill_fields(kind: Any, codes: Codes, depth: int) -> Any:
    """Return a dataclass with sensible names and its own numbers."""
    values = {name: fill(own, codes, name, depth + 1) for name, own in hints(kind).items()}
    if kind is Interval:
        values |= {"method": "Wilson", "reason": None}
    if kind is DisturbanceResults:
        values["name"] = "border"
    if kind is FirstDrop:
        values |= {"name": "border", "step": 1}
    if "purpose" in values:
        values["purpose"] = "balanced"
    if "role" in values and kind is not PretrainedWeights:
        values["role"] = "external"
    return kind(**values)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, float | int]]:
    """Yield the path and value of each number."""
    if is_dataclass(value):
        for own in fields(value):
            yield from leaves(getattr(value, own.name), f"{path}.{own.name}")
    elif isinstance(value, Mapping):
        for key, own in value.items():
            yield from leaves(own, f"{path}.{key}")
    elif isinstance(value, tuple):
        for index, own in enumerate(value):
            yield from leaves(own, f"{path}.{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def plant(value: Any, path: list[str], number: float | int) -> Any:
    """Return a copy with another number at a path."""
    if not path:
        return number
    key, rest = path[0], path[1:]
    if is_dataclass(value):
        return replace(value, **{key: plant(getattr(value, key), rest, number)})  # type: ignore[type-var]
    if isinstance(value, Mapping):
        return {**value, key: plant(value[key], rest, number)}
    index = int(key)
    return (*value[:index], plant(value[index], rest, number), *value[index + 1 :])


def texts_of(part: Part) -> Iterator[str]:
    match part:
        case Table():
            yield part.caption
            for line in part.grid():
                yield from line
        case Plot():
            yield from (part.caption, part.description, part.drawing)
        case Plots():
            for plot in part.plots:
                yield from texts_of(plot)
        case Sheet():
            yield part.caption
        case Folded():
            yield part.summary
            for own in part.parts:
                yield from texts_of(own)
        case _:
            yield part


def sentences(content: ReportContent) -> set[str]:
    """Return what page, terminal and model card say."""
    found = [str(summary.first_screen(content))]
    for section in section_list.list_sections(content):
        found += [text for part in section.parts for text in texts_of(part)]
    found.append(describe_evaluation(content.evaluation))
    found += [describe_external(content.external)] if content.external else []
    found += [describe_variation(content.seeds)] if content.seeds else []
    found += [model_card._results(content), model_card._caveats(content)]
    found.append(str(model_card._index_entry(content.evaluation)))
    pieces = (re.split(r"<[^>]*>|\n|(?<=[.;:]) ", text) for text in found)
    return {html.unescape(" ".join(own.split())) for own in itertools.chain(*pieces) if own.strip()}


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let figures return their notes, and read each checklist once."""

    def drawn(*_: Any, note: str = "", **__: Any) -> Drawing:
        return Drawing(note, b"")

    for module in (analyses, files, performance, readers, several):
        for name in dir(module):
            if name.endswith("_figure"):
                monkeypatch.setattr(module, name, drawn)
    monkeypatch.setattr(checklist, "read_checklist", cache(checklist.read_checklist))


def make_content(name: str) -> tuple[ReportContent, set[str]]:
    """Return content whose document ``name`` has other numbers everywhere, and the other texts."""
    evaluation = fill(EvaluationDocument, Codes())
    evaluation = replace(evaluation, confusion_matrix=None, macro={}, micro={})
    plain = ReportContent(evaluation=evaluation)
    if name == "evaluation":
        return plain, set()
    kind = ExternalDocument if name == "external" else SeedsDocument
    # In falling order, an interval is not written like one of the evaluation.
    return replace(plain, **{name: fill(kind, Codes(falling=True))}), sentences(plain)


@pytest.mark.parametrize("name", ["evaluation", "external", "seeds"])
@pytest.mark.usefixtures("no_figures")
def test_a_planted_number_changes_every_sentence_that_states_it(name: str) -> None:
    content, others = make_content(name)
    before = sentences(content) - others
    hidden, stale = set(), []
    for path, value in leaves(getattr(content, name)):
        if DRAWN.search(path) or path.endswith("first_drop.step"):
            continue
        shown = forms(value)
        if not any(map(shown.search, before)):
            hidden.add(re.sub(r"\.\d+(?=\.|$)", "", path)[1:])
            continue
        number = 0.9994 if isinstance(value, float) else 19_999
        values: dict[str, float | int] = {name + path: number}
        if RANGE.search(path):  # its upper end must not be below the lower one
            values = {f"{name}{path.removesuffix('low')}high": 0.9998, **values}
        after = sentences(change(content, values)) - others
        stale += [(path, value, line) for line in after if shown.search(line)]
    assert not stale
    known = NOT_SHOWN[name]
    assert {path for path in hidden if not any(fnmatch(path, own) for own in known)} == set()
    assert [own for own in known if not any(fnmatch(path, own) for path in hidden)] == []


def change(content: ReportContent, values: Mapping[str, Any]) -> ReportContent:
    """Return content with other values at some paths, such as ``evaluation.n``."""
    for path, value in values.items():
        content = plant(content, path.split("."), value)
    return content


LABEL = "evaluation.labels.ILL"
POINT = f"{LABEL}.operating_points.balanced"
GROUP = "evaluation.subgroups.labels.ILL.0.subgroups.0"
WITHIN = "evaluation.subgroups.labels.ILL.0.within"
HISTORY = [{"epoch": 8, "val_auroc": 0.95}]
VERDICTS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # Title of a caveat: what gives it, and what then removes it.
    "Worse than chance": (
        {f"{LABEL}.metrics.auroc": Interval(0.2, 0.1, 0.3, "DeLong")},
        {f"{LABEL}.metrics.auroc": Interval(0.7, 0.6, 0.8, "DeLong")},
    ),
    "Undefined": (
        {f"{POINT}.metrics.sensitivity.value": math.nan},
        {f"{POINT}.metrics.sensitivity.value": 0.7},
    ),
    "Wide interval": (
        {f"{POINT}.metrics.sensitivity": Interval(0.7, 0.6, 0.8, "Wilson")},
        {f"{POINT}.metrics.sensitivity": Interval(0.7, 0.69, 0.71, "Wilson")},
    ),
    "Threshold": ({f"{POINT}.validation.note": "poor"}, {f"{POINT}.validation.note": ""}),
    "Imprecise threshold": (
        {f"{POINT}.validation.note": "", f"{POINT}.validation.low": 0.1,
         f"{POINT}.validation.high": 0.6},
        {f"{POINT}.validation.high": 0.2},
    ),
    "Operating points": (
        {f"{POINT}.validation.same_as_balanced": False,
         f"{POINT}.validation.status": "not attainable"},
        {f"{POINT}.validation.status": "determined"},
    ),
    "Prevalence": ({f"{LABEL}.prevalence": 0.5}, {f"{LABEL}.prevalence": 0.04}),
    "Miscalibrated probabilities": (
        {f"{LABEL}.curves.calibration.error": Interval(0.2, 0.1, 0.3, "bootstrap")},
        {f"{LABEL}.curves.calibration.error": Interval(0.2, 0.01, 0.3, "bootstrap")},
    ),
    "Synthetic images": (
        {"evaluation.dataset.synthetic_images": 3},
        {"evaluation.dataset.synthetic_images": 0,
         "evaluation.model.training.synthetic_images": 0},
    ),
    "Predictions without their model": (
        {"evaluation.model.kind": "predictions"}, {"evaluation.model.kind": "bundle"},
    ),
    "Scores are not probabilities": (
        {"evaluation.model.kind": "predictions", "evaluation.model.scores": "other scores"},
        {"evaluation.model.kind": "predictions", "evaluation.model.scores": "probabilities"},
    ),
    "Thresholds not locked on validation": (
        {"evaluation.model.kind": "predictions", "evaluation.model.locked_on": None},
        {"evaluation.model.locked_on": "100 images"},
    ),
    "Trained on these images": (
        {"evaluation.overlap.images": 3}, {"evaluation.overlap.images": 0},
    ),
    "External data performs worse": (
        {"external.rows.1.difference.auroc": Interval(-0.1, -0.2, -0.01, "independent"),
         "external.rows.0.difference": None},
        {"external.rows.1.difference.auroc.high": 0.01},
    ),
    "Unequal performance in subgroups": (
        {f"{GROUP}.p_adjusted.auroc": 0.01, f"{GROUP}.difference.auroc.value": -0.1},
        {f"{GROUP}.p_adjusted.auroc": 0.06},
    ),
    "AUROC mixes strata": (
        {f"{WITHIN}.p_adjusted": 0.01, f"{WITHIN}.difference.value": -0.1},
        {f"{WITHIN}.p_adjusted": 0.06},
    ),
    "Sensitive to mild disturbance": (
        {"evaluation.robustness.first_drop.step": 1},
        {"evaluation.robustness.first_drop.step": 4},
    ),
    "Unlike the training images": (
        {"evaluation.rejection.rejected": 30_000, "evaluation.rejection.reasons": {},
         "evaluation.n": 60_000},
        {"evaluation.rejection.rejected": 300},
    ),
    "Doubtful images": (
        {"evaluation.rejection.reasons": {"blank": 9}}, {"evaluation.rejection.reasons": {}},
    ),
    "Not a test set": (
        {"evaluation.dataset.split": "train"}, {"evaluation.dataset.split": "test"},
    ),
    "Several images of one patient": (
        {"evaluation.n": 100, "evaluation.patients": 50}, {"evaluation.patients": 100},
    ),
    "One class only": (
        {f"{LABEL}.positives": 0}, {f"{LABEL}.positives": 300, f"{LABEL}.n": 600},
    ),
    "Few images": (
        {f"{LABEL}.positives": 30, f"{LABEL}.n": 600}, {f"{LABEL}.positives": 300},
    ),
    "Worse than on validation": (
        {"training.history": HISTORY, "evaluation.metrics.auroc.value": 0.8},
        {"evaluation.metrics.auroc.value": 0.94},
    ),
    "Files left out": (
        {"evaluation.left_out": (LeftOutImage("a", "truncated", ""),)}, {"evaluation.left_out": ()},
    ),
    "One source, one training": (
        {"seeds": None, "external": None, "evaluation.model.kind": "bundle"},
        {"evaluation.model.kind": "predictions"},
    ),
    "One source": (
        {"seeds": None, "external": None, "evaluation.model.kind": "predictions"},
        {"evaluation.model.kind": "bundle"},
    ),
    "Imported model": (
        {"evaluation.model.imported_from": "torch 2.4"}, {"evaluation.model.imported_from": None},
    ),
    "Pretrained weights": (
        {"evaluation.model.pretrained.trained_on": ()},
        {"evaluation.model.pretrained.trained_on": ("ImageNet",)},
    ),
    "Imported teacher": (
        {"evaluation.model.inherited": (PretrainedWeights(name="n", sha256="", role="imported"),)},
        {"evaluation.model.inherited": ()},
    ),
    "Weights that may have seen these images": (
        {"evaluation.findings": (Finding(check="pretrained-overlap", severity="warning",
                                         problem="p", count=1),)},
        {"evaluation.findings": ()},
    ),
    "One source, a model for each fold": (
        {"seeds": None, "external": None, "evaluation.model.kind": "folds"},
        {"evaluation.model.kind": "bundle"},
    ),
    "Listing and splitting": (
        {"findings": [Finding(check="c", severity="warning", problem="p", count=1)]},
        {"findings": []},
    ),
    "Audit finding": (
        {"findings": [Finding(check="c", severity="serious", problem="p", count=1)]},
        {"findings": []},
    ),
}  # fmt: skip


def whole_content() -> ReportContent:
    """Return content with every document."""
    content = make_content("evaluation")[0]
    external, seeds = fill(ExternalDocument, Codes()), fill(SeedsDocument, Codes())
    return replace(content, external=external, seeds=seeds, training=draw_training())


@pytest.mark.parametrize("title", VERDICTS)
def test_a_verdict_follows_the_numbers(title: str) -> None:
    given, removed = VERDICTS[title]
    content = change(whole_content(), given)

    def texts(content: ReportContent) -> set[str]:
        return {own.text for own in write_caveats(content) if own.title.startswith(title)}

    before, after = texts(content), texts(change(content, removed))
    assert before - after, "the verdict is stated, and no longer with the other numbers"


def test_every_caveat_is_tested() -> None:
    titles = set()
    for module in (caveats, metric_caveats):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Caveat":
                words = {
                    own.value for own in ast.walk(node.args[1]) if isinstance(own, ast.Constant)
                }
                titles |= {word for word in words if isinstance(word, str)}
    assert titles - {"Wide ", "bundle"} <= {*VERDICTS}
    assert len(titles) > 20


def test_notes_about_several_trainings_and_data_sets_follow_their_numbers() -> None:
    content = whole_content()
    smaller = {"seeds.variation.auroc.sd": 0.01, "seeds.variation.auroc.sampling_se": 0.02}
    note = "test images contributes more uncertainty"
    for values, states in ((smaller, True), ({**smaller, "seeds.variation.auroc.sd": 0.03}, False)):
        seeds = change(content, values).seeds
        assert seeds is not None
        assert (note in seeds.note) == states
        assert (note in describe_variation(seeds)) == states
    for overlap in (0, 12):
        external = change(content, {f"external.rows.{n}.overlap": overlap for n in (0, 1)}).external
        assert external is not None
        assert ("is not external: 12 of" in describe_external(external)) == bool(overlap)
    drop = "The mildest disturbance that lowers the AUROC"
    robustness = content.evaluation.robustness
    assert robustness is not None
    for own in (robustness, replace(robustness, first_drop=None)):
        page = "".join(text for part in robustness_section(own).parts for text in texts_of(part))
        assert (drop in page) == (own.first_drop is not None)
        assert ("No disturbance lowers the AUROC" in page) == (own.first_drop is None)


def forms(value: float | int) -> re.Pattern[str]:
    """Return a pattern of the ways in which a number is written."""
    if isinstance(value, int):
        spaced = f"{value:,}".replace(",", "[, ]")
        return re.compile(rf"(?<![\d.])(?:{value}|{spaced})(?!\d)")
    share = rf"{100 * value:.1f}(?=%|–| points| to |\))"
    return re.compile(rf"(?<![\d.])(?:{value:.3f}(?!\d)|{share})")
