"""The settings that a search varies, the proposals, the choice, and recipes as TOML."""

from __future__ import annotations

import math
import re
from statistics import mean, stdev

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from plainfilm.config import load_recipe, recipe_names
from plainfilm.errors import ConfigError
from plainfilm.records import Task
from plainfilm.search.choose import choose, to_confirm
from plainfilm.search.document import Training, TrialResult
from plainfilm.search.propose import Candidate, Tried, propose
from plainfilm.search.scoring import KINDS, ScoredImages, Scores, score
from plainfilm.search.space import make_space, parse_setting
from plainfilm.search.toml import recipe_to_toml


def test_a_range_is_logarithmic_from_ten_times_on_and_integer_for_integers():
    wide = parse_setting("fit.learning_rate=1e-3..3e-2", ["swift"])
    narrow = parse_setting("fit.warmup=0.1..0.9", ["swift"])
    integers = parse_setting("fit.epochs=3..9", ["swift"])

    assert (wide.low, wide.high, wide.log, wide.integer) == (1e-3, 3e-2, True, False)
    assert (narrow.log, narrow.integer) == (False, False)
    assert (integers.log, integers.integer, integers.count) == (False, True, 7)
    assert parse_setting("fit.epochs=1..10", []).log
    assert not parse_setting("augment.rotation=0..30", []).log
    assert wide.to_text(0.0012345) == "0.00123"
    assert wide.to_text(0.0299999) == "0.03"
    assert "logarithmic" in wide.describe()


def test_lists_are_divided_at_the_commas_outside_of_brackets_and_quotes():
    lists = parse_setting("network.options.channels=[16,32],[24, 48]", ["swift"])
    words = parse_setting("probe:network.encoder='a,b.onnx',efficientnet-lite0", ["swift", "probe"])

    assert lists.choices == ("[16,32]", "[24, 48]")
    assert words.choices == ("'a,b.onnx'", "efficientnet-lite0")
    assert (words.recipe, words.key) == ("probe", "network.encoder")
    assert words.name == "probe: network.encoder"


@pytest.mark.parametrize(
    ("over", "problem"),
    [
        ("fit.learning_rate", "form key=values"),
        ("fit.learning_rate=3e-2..1e-3", "smaller limit"),
        ("fit.epochs=5", "two or more values"),
        ("fit.epoch=3,5", "there is no setting"),
        ("fit.epochs=0..5", "fit.epochs must be at least 1"),
        ("fit.optimiser=adam,sgd", "fit.optimiser must be one of"),
        ("input.size=32,many", "input.size must be of type int"),
        ("data.test=0.1,0.2", "cannot vary data.test"),
        ("distil.share=0.1,0.2", "cannot vary distil"),
    ],
)
def test_a_wrong_setting_is_refused_by_the_checks_of_the_recipe(over, problem):
    with pytest.raises(ConfigError, match=re.escape(problem)):
        make_space(["swift"], [], [over])


def test_a_search_over_nothing_or_with_a_teacher_is_refused():
    with pytest.raises(ConfigError, match="nothing to search"):
        make_space(["swift"], [], [])
    with pytest.raises(ConfigError, match="given twice"):
        make_space(["swift"], [], ["fit.epochs=3,4", "fit.epochs=5,6"])
    with pytest.raises(ConfigError, match="teacher"):
        make_space(["distil"], [], ["fit.epochs=3,4"])
    assert make_space(["swift", "standard"], [], []).over == ()


def run_all(space, count, value, seed=0):
    """Return the candidates that are proposed if each has a value at once."""
    tried: list[Tried] = []
    while len(tried) < count and (found := propose(space, tried, seed)) is not None:
        tried.append(Tried(found, value(space.build(found.base, found.values))))
    return tried


def test_proposals_repeat_exactly_begin_with_the_recipe_and_come_close_to_the_best():
    space = make_space(["swift"], [], ["fit.learning_rate=1e-4..1e-1", "fit.batch=16,32,64"])

    def value(recipe):
        return -abs(math.log10(recipe.fit.learning_rate) + 2.5) - (recipe.fit.batch != 32)

    found = run_all(space, 30, value)

    assert found[0].candidate == Candidate("swift", {})
    assert found[:15] == run_all(space, 15, value)
    others = [run_all(space, 30, value, seed) for seed in (1, 2)]
    assert found[1:] != others[0][1:]
    for own in (found, *others):
        scores = [one.score for one in own]
        assert max(scores[1:]) > -0.2
        assert mean(scores[-10:]) > mean(scores[1:11])


def test_a_small_space_is_tried_completely_and_once():
    space = make_space(["swift", "probe"], [], ["swift:fit.epochs=3..5", "swift:fit.batch=32,64"])

    found = run_all(space, 50, lambda recipe: 0.5)
    built = [space.build(one.candidate.base, one.candidate.values) for one in found]

    assert len(found) == 2 + 6
    assert all(one not in built[:place] for place, one in enumerate(built))


def test_running_and_failed_trials_are_not_proposed_again():
    space = make_space(["swift"], [], ["fit.epochs=3,4,5"])
    tried = [Tried(Candidate("swift", {}), None)]
    for state in (None, math.nan, None):
        tried.append(Tried(propose(space, tried, 0), state))

    assert sorted(one.candidate.values["fit.epochs"] for one in tried[1:]) == ["3", "4", "5"]
    assert propose(space, tried, 0) is None


@pytest.mark.parametrize("name", recipe_names())
def test_a_written_recipe_is_read_as_the_same(name, tmp_path):
    recipe = load_recipe(name, ["points.own={\"a 'b' \\\\ \"=0.25}", "fit.learning_rate=1.25e-05"])
    path = tmp_path / "best.toml"
    path.write_text(recipe_to_toml(recipe, ["one\ntwo"]), encoding="utf-8")

    assert load_recipe(path) == recipe


def trial(number, values, seconds=10.0):
    trainings = [
        Training(f"r{seed}", "fold 1", 0, seed, 1.0, Scores(0.5, 0.5, value), seconds, 100)
        for seed, value in enumerate(values)
    ]
    return TrialResult(number, "swift", {"fit.epochs": str(number)}, tuple(trainings))


def test_the_best_is_chosen_unless_a_cheaper_one_is_within_the_spread_over_seeds():
    best = trial(1, [0.95, 0.96, 0.97])
    near = trial(2, [0.94, 0.965, 0.955], seconds=5.0)
    gaps = np.subtract([0.95, 0.96, 0.97], [0.94, 0.965, 0.955])
    assert gaps.mean() <= stdev(gaps)
    far = trial(3, [0.94, 0.95, 0.95], seconds=1.0)
    assert np.mean([0.01, 0.01, 0.02]) > stdev([0.01, 0.01, 0.02])
    every = [best, near, far]

    choice = choose(every, every, "by_kind")

    assert (choice.best, choice.trial, choice.ties) == (1, 2, (1, 2))
    assert choice.fresh_spread == pytest.approx(np.std([0.94, 0.965, 0.955], ddof=1))
    assert "cheaper" in choice.reason
    slow = trial(2, [0.94, 0.965, 0.955], seconds=9.0)
    assert choose(every, [best, slow, far], "by_kind").trial == 1
    assert choose(every, [best, far], "by_kind").ties == (1,)


def test_a_failed_trial_is_neither_confirmed_nor_chosen():
    failed = TrialResult(0, "swift", {}, problem="it does not train")
    others = [trial(number, [0.9 + number / 100] * 2) for number in range(1, 6)]
    unchanged = TrialResult(6, "swift", {}, others[0].trainings)

    again = to_confirm([failed, *others, unchanged], "by_kind")

    assert [one.number for one in again] == [5, 4, 3, 6]
    assert choose([failed, *others], [failed, others[0]], "by_kind").trial == 1


def test_the_groups_of_a_shift_are_weighted():
    own = [
        Training("a", "site 1", 0, 0, 300.0, Scores(0.5, 0.9, 0.5), 1.0, None),
        Training("b", "site 2", 0, 0, 100.0, Scores(0.5, 0.5, 0.5), 1.0, None),
    ]
    assert TrialResult(0, "swift", {}, tuple(own)).mean("mixed") == pytest.approx(0.8)


class Odds:
    """A model with given log odds."""

    def __init__(self, kind, clean, mixed):
        names = ("A", "B", "C")
        self.bundle = type(
            "B", (), {"task": Task(kind, names, names if kind != "multilabel" else ())}
        )
        self._odds = {0: clean, 1: mixed}

    def log_odds(self, images):
        return self._odds[int(images[0, 0, 0])]


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_scores_are_those_of_scikit_learn_over_labels_and_kinds(kind):
    rng = np.random.default_rng(0)
    count = 400
    labels = np.eye(3)[rng.integers(0, 3, count)].astype(np.float32)
    if kind == "multilabel":
        labels = (rng.random((count, 3)) < 0.4).astype(np.float32)
        labels[rng.random((count, 3)) < 0.1] = np.nan
    kinds = rng.integers(0, len(KINDS), count)
    clean, mixed = rng.normal(size=(2, count, 3)) + 0.5 * np.nan_to_num(labels)
    images = ScoredImages(
        np.zeros((count, 1, 1), np.uint8), np.ones((count, 1, 1), np.uint8), kinds, labels
    )
    p = [softmax(own, axis=1) if kind == "multiclass" else own for own in (clean, mixed)]

    found = score(Odds(kind, clean, mixed), images)

    expected = []
    for column in range(3):
        known = ~np.isnan(labels[:, column])
        y = labels[known, column]
        right = pairs = 0.0
        for one in range(len(KINDS)):
            own = known & (kinds == one)
            here = labels[own, column]
            weight = (here == 1).sum() * (here == 0).sum()
            right += weight * roc_auc_score(here, p[1][own, column])
            pairs += weight
        each = [roc_auc_score(y, own[known, column]) for own in p]
        expected.append([*each, right / pairs])
    assert (found.clean, found.mixed, found.by_kind) == pytest.approx(np.mean(expected, axis=0))
