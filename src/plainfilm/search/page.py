"""Writes the page of a search, ``search.html``."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import stdev

from plainfilm import _files
from plainfilm._text import plural
from plainfilm.report.html.markup import Html, element, lead
from plainfilm.report.html.page import (
    Part,
    Plot,
    Section,
    page_header,
    render_page,
    render_sections,
    save_parts,
)
from plainfilm.report.html.table import Cell, Row, Table
from plainfilm.report.sections.summary import synthetic_notice
from plainfilm.report.wording import sentence
from plainfilm.search.choose import optimistic_words
from plainfilm.search.document import (
    SCORE_NAMES,
    SearchDocument,
    SearchPlan,
    TrialResult,
    held_out_words,
)

PAGE = "search.html"
_MOST_PANELS = 12


def write_search_page(document: SearchDocument, folder: Path) -> Path:
    """Write the page of a finished search to its folder, with its figures and tables as files."""
    sections = [
        _choice_section(document),
        _trials_section(document),
        _method_section(document),
    ]
    save_parts(sections, folder)
    footer = element(
        "p",
        "Written by plainfilm. This page loads nothing and runs nothing. Each figure is also in "
        "the folder ",
        element("code", "figures"),
        " as SVG and PNG, each table in ",
        element("code", "tables"),
        " as CSV.",
    )
    title = f"{document.plan.dataset} – plainfilm search"
    page = render_page(title, _first_screen(document), render_sections(sections), footer)
    _files.write_text(folder / PAGE, page)
    return folder / PAGE


def score_words(plan: SearchPlan) -> str:
    """Return the name of the score that is maximised."""
    return f"AUROC, {SCORE_NAMES[plan.objective]}"


def _first_screen(document: SearchDocument) -> Html:
    plan, choice = document.plan, document.choice
    assert choice is not None
    chosen = document.trial(choice.trial)
    facts = (
        f"{sentence(held_out_words(plan))} The search saw {plural(plan.images, 'image')} of "
        f"{plural(plan.patients, 'patient')}. The recipe is in "
    )
    optimistic = (
        f"{score_words(plan)}, with fresh seeds: {choice.fresh_score:.4f} (sd "
        f"{choice.fresh_spread:.4f}). In the search it was {choice.search_score:.4f}"
        f"{optimistic_words(document)}."
    )
    return page_header(
        "search",
        f"Search on {plan.dataset}",
        *([synthetic_notice()] if document.synthetic else []),
        lead(f"Chosen: trial {choice.trial} ({chosen.name})."),
        element("p", sentence(choice.reason)),
        element("p", optimistic),
        element("p", facts, element("code", "best.toml"), "."),
        lead(element("strong", "For research and teaching. Not a medical device.")),
    )


def _choice_section(document: SearchDocument) -> Section:
    from plainfilm.report.figures.search import fresh_figure  # imports matplotlib

    plan, choice = document.plan, document.choice
    assert choice is not None
    again = [one for one in document.confirmations if not one.problem]
    again.sort(key=lambda one: -one.mean(plan.objective))
    values = {f"trial {one.number}": [*one.by_seed(plan.objective).values()] for one in again}
    before = [document.trial(one.number).mean(plan.objective) for one in again]
    row = next(place for place, one in enumerate(again) if one.number == choice.trial)
    words = score_words(plan)
    caption = (
        f"{words}, of the best trials and the unchanged recipes, trained again with fresh seeds "
        "and divisions. Diamonds: mean in the search. Orange: chosen."
    )
    drawn = fresh_figure(values, before, words=words, chosen=row)
    rows: list[Row] = []
    for one in document.confirmations:
        seeds = [*one.by_seed(plan.objective).values()]
        rows.append(
            {
                **_trial_cells(one),
                "In the search": _number("search", document.trial(one.number), plan),
                "Fresh seeds": _number("fresh", one, plan),
                "sd": _four("sd", stdev(seeds) if len(seeds) > 1 else math.nan),
                "Within the spread": "yes" if one.number in choice.ties else "no",
                "Seconds a training": _seconds(one),
            }
        )
    rule = (
        "The best trial has the largest mean on fresh seeds. Another one is its equal if the mean "
        "of their differences, seed by seed, is at most the standard deviation of these "
        "differences. An equal that needs at most 80 % of the training time of the best is "
        "preferred."
    )
    parts: list[Part] = [Plot("fresh", drawn, caption, f"Scores of {len(again)} trials", wide=True)]
    parts += [Table("search_confirmation", "Trials with fresh seeds", rows), element("p", rule)]
    return Section("What was chosen, and why", parts)


def _trials_section(document: SearchDocument) -> Section:
    from plainfilm.report.figures.search import settings_figure, trials_figure

    plan, choice = document.plan, document.choice
    assert choice is not None
    words, numbers = score_words(plan), [one.number for one in document.trials]
    chosen = numbers.index(choice.trial)
    scores = [one.mean(plan.objective) for one in document.trials]
    parts: list[Part] = [
        Plot(
            "trials",
            trials_figure(scores, words=words, chosen=chosen),
            f"{words}, of each trial in the search. Each value is the mean over seeds.",
            f"Scores of {len(scores)} trials in their order",
        )
    ]
    settings = _settings(document)
    if settings:
        caption = f"{words}, against each setting that the trial varies. "
        caption += (
            "Orange: the trial that was chosen."
            if document.trials[chosen].values
            else "The trial that was chosen is an unchanged recipe, which varies none."
        )
        ranges = {
            own.name: (own.low, own.high)
            for own in plan.over
            if own.log and own.low is not None and own.high is not None
        }
        drawn = settings_figure(settings, scores, words=words, chosen=chosen, logarithmic=ranges)
        parts.append(Plot("settings", drawn, caption, "Scores against settings", wide=True))
    rows: list[Row] = [
        {
            **_trial_cells(one),
            "Clean": _four("clean", one.mean("clean")),
            "Mixed": _four("mixed", one.mean("mixed")),
            "By kind": _four("by_kind", one.mean("by_kind")),
            "Seconds a training": _seconds(one),
        }
        for one in sorted(document.trials, key=lambda one: _rank(one, plan))
    ]
    caption = "All trials, best first: AUROC of clean and disturbed images, mean over seeds"
    parts.append(Table("search_trials", caption, rows, limit=50))
    return Section("All trials", parts)


def _rank(trial: TrialResult, plan: SearchPlan) -> tuple[float, int]:
    value = trial.mean(plan.objective)
    return -value if math.isfinite(value) else math.inf, trial.number


def _settings(document: SearchDocument) -> dict[str, list[float | str | None]]:
    """Return the value of each varied setting in each trial."""
    found: dict[str, list[float | str | None]] = {}
    if len(document.plan.recipes) > 1:
        found["recipe"] = [one.base for one in document.trials]
    for own in document.plan.over[:_MOST_PANELS]:
        texts = [one.values.get(own.name) for one in document.trials]
        number = own.low is not None
        found[own.name] = [None if t is None else float(t) if number else t for t in texts]
    return found


def _method_section(document: SearchDocument) -> Section:
    plan = document.plan
    parts: list[Part] = []
    if plan.over:
        rows: list[Row] = [{"Setting": own.name, "Values": own.describe()} for own in plan.over]
        parts.append(Table("search_space", "Settings that vary", rows))
    fixed = f" Fixed: {', '.join(plan.fixed)}." if plan.fixed else ""
    parts.append(element("p", f"Recipes: {', '.join(plan.recipes)}.{fixed}"))
    if plan.shift is None:
        tested = (
            f"Each trial is trained with {plural(plan.seeds, 'seed')}, each on all but one of "
            f"{plan.folds} folds by patient, and tested on that fold."
        )
    else:
        tested = (
            f"Each trial is trained with {plural(plan.seeds, 'seed')} for each group of "
            f"{plan.shift}, on the other groups, and tested on that group."
        )
    kinds = (
        "Clean: AUROC of the unchanged images. Mixed: of all images together, each disturbed in "
        "one way. By kind: of the same images within each kind of disturbance. "
    )
    parts.append(element("p", f"{tested} {kinds}The score is the {score_words(plan)}."))
    seen = f"{sentence(held_out_words(plan))} "
    if plan.test.hash:
        seen += f"Its hash is {plan.test.hash}."
    parts.append(element("p", seen))
    return Section("How it was searched", parts)


def _trial_cells(trial: TrialResult) -> dict[str, Cell]:
    values: dict[str, str | float | None] = {
        "trial": trial.number,
        "recipe": trial.base,
        **trial.values,
    }
    if trial.problem:
        values["problem"] = trial.problem
    failed = f"; failed: {trial.problem}" if trial.problem else ""
    return {"Trial": Cell(f"{trial.number}: {trial.name}{failed}", values)}


def _number(name: str, trial: TrialResult, plan: SearchPlan) -> Cell:
    return _four(name, trial.mean(plan.objective))


def _four(name: str, value: float) -> Cell:
    """Return the cell of a score: differences are in the fourth decimal."""
    return Cell(f"{value:.4f}" if math.isfinite(value) else "–", {name: value})


def _seconds(trial: TrialResult) -> Cell:
    seconds = trial.seconds
    return Cell(f"{seconds:.1f}" if math.isfinite(seconds) else "–", {"seconds": seconds})
