"""The AUROC within strata of a confounder in an evaluation, and where it is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as reference

from plainfilm.bundle import Bundle
from plainfilm.cli.describe import describe_evaluation
from plainfilm.data import load_dataset
from plainfilm.evaluation import Evaluation, EvaluationDocument, evaluate, validate
from plainfilm.evaluation.document.subgroups import SubgroupColumn, Subgroups, WithinStrata
from plainfilm.evaluation.external import ExternalValidation
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.style_column import COLUMN as STYLE
from plainfilm.evaluation.subgroups import describe_subgroups
from plainfilm.records import OperatingPoint, Task
from plainfilm.report import ReportContent, build_report
from plainfilm.report.html.table import Table
from plainfilm.report.model_card import write_model_card
from plainfilm.report.sections.caveats import write_caveats
from plainfilm.report.sections.several import external_section
from plainfilm.report.sections.strata import _forest

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]

Columns = dict[str, list[Any]]

SICK = Task("binary", ("sick",), ("well", "sick"))
POINTS = [
    OperatingPoint("balanced", "balanced", "sick", 0.5, "half"),
    OperatingPoint("rule-out", "rule-out", "sick", 0.3, "low"),
]


def draw(
    n: int = 600, *, view: bool = True, seed: int = 0
) -> tuple[Any, Any, dict[str, list[Any]]]:
    """Draw labels, probabilities and columns: sick patients are imaged in another view."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.5).astype(float)
    standing = rng.random(n) < np.where(labels == 1, 0.8, 0.2)
    logits = labels - 2.5 * (standing if view else 0) + rng.normal(size=n)
    columns: Columns = {
        "ViewPosition": np.where(standing, "PA", "AP").tolist(),
        "coin": rng.choice(["heads", "tails"], n).tolist(),
        "clinic": rng.choice(["north", "south"], n).tolist(),
        "finding": np.where(labels == 1, rng.choice(["a", "b"], n), "none").tolist(),
    }
    return labels, 1 / (1 + np.exp(-logits)), columns


def described(labels: Any, chances: Any, columns: Columns) -> Subgroups:
    ids = [*map(str, range(len(labels)))]
    predictions = Predictions(SICK, ids, ids, labels[:, None], chances[:, None], columns)
    return describe_subgroups(predictions, POINTS, n_bootstrap=200)


def within_of(found: Subgroups) -> dict[str, SubgroupColumn]:
    return {one.column: one for one in found.labels["sick"] if one.within is not None}


def test_view_site_and_related_columns_are_examined_and_no_others() -> None:
    labels, chances, columns = draw()
    columns["dose"] = np.where(
        labels + np.random.default_rng(1).random(600) > 0.9, 2.0, 1.0
    ).tolist()
    found = within_of(described(labels, chances, columns))
    # A value of `finding` has images of one class only; `coin` is not related to the label.
    assert set(found) == {"ViewPosition", "clinic", "dose"}


def test_the_values_are_those_of_the_pairs_of_one_view() -> None:
    labels, chances, columns = draw()
    own = within_of(described(labels, chances, columns))["ViewPosition"]
    within, standing = own.within, np.array(columns["ViewPosition"]) == "PA"
    assert within is not None
    assert within.pooled == pytest.approx(reference.roc_auc_score(labels, chances))
    up, down = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    same = standing[up][:, None] == standing[down]
    right = (chances[up][:, None] > chances[down])[same]
    assert within.auroc.value == pytest.approx(right.mean())
    assert within.pairs == pytest.approx(same.mean())
    assert within.related < 1e-6
    assert within.differs
    for one in own.subgroups:
        rows = standing == (one.value == "PA")
        predicted = chances[rows] >= 0.3
        hit = reference.recall_score(labels[rows], predicted)
        assert one.operating_points["rule-out"]["sensitivity"].value == pytest.approx(hit)
        clear = reference.recall_score(labels[rows], predicted, pos_label=0)
        found = one.operating_points["rule-out"]["specificity"]
        assert found.value == pytest.approx(clear)
        assert found.low <= clear <= found.high


def test_a_difference_by_chance_is_not_claimed() -> None:
    claimed = 0
    for seed in range(25):
        labels, chances, columns = draw(200, view=False, seed=seed)
        own = within_of(described(labels, chances, columns))
        claimed += sum(one.within is not None and one.within.differs for one in own.values())
    assert claimed <= 3


def test_sentences_need_a_significant_difference_that_matters() -> None:
    labels, chances, columns = draw()
    own = within_of(described(labels, chances, columns))["ViewPosition"]
    assert own.within is not None

    def sentence(**values: Any) -> str | None:
        assert own.within is not None
        return replace(own, within=replace(own.within, **values)).mixing("sick")

    said = own.mixing("sick")
    assert said is not None
    assert f"{own.within.auroc.value:.3f}" in said
    assert "76% where it is PA" in said
    assert sentence(p_adjusted=0.06) is None
    assert sentence(difference=replace(own.within.difference, value=0.015)) is None


@pytest.fixture
def mixed(make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path) -> ExternalValidation:
    """Evaluate a model of brightness where dark images are of the view of the bright class."""
    rng = np.random.default_rng(3)
    rows = ["path,label,view"]
    for n in range(160):
        bright, lying = n % 2, n % 8 in (0, 1, 3, 5)
        grey = 128 + (12 if bright else -12) - (60 if lying else 0)
        draw_grey(tmp_path / "i" / f"{n}.png", float(np.clip(grey + rng.normal(0, 12), 2, 250)))
        rows.append(f"i/{n}.png,{'bright' if bright else 'dark'},{'AP' if lying else 'PA'}")
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    data = load_dataset(tmp_path / "t.csv", labels="label", positive="bright")
    again = replace(data, name="again")
    return validate(
        make_bundle(), [data, again], out=tmp_path / "e", robustness=False, n_bootstrap=200
    )


def assert_caption_names_what_is_drawn(column: SubgroupColumn) -> None:
    """The caption mentions values of a column only if any has an AUROC."""
    assert "and of each value" in _forest("bright", [column], "strata").caption
    without = _forest("bright", [replace(column, subgroups=())], "strata").caption
    assert "within the values of a column, with 95% confidence" in without


def test_terminal_report_tables_card_and_external_table_say_it(
    mixed: ExternalValidation, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    evaluation: Evaluation = mixed.evaluations[0]
    document = EvaluationDocument.read(evaluation.folder / "evaluation.json")
    [column] = document.subgroups.labels["bright"]
    within = column.within
    assert isinstance(within, WithinStrata)
    assert abs(within.auroc.value - within.pooled) > 0.1
    [said] = document.mixing
    assert said in describe_evaluation(document)
    content = ReportContent(evaluation=document, external=mixed.document)
    assert "AUROC mixes strata" in {one.title for one in write_caveats(content)}
    page = build_report(content, tmp_path / "r" / "r.html").read_text(encoding="utf-8")
    assert ">Results within strata</h2>" in page
    table = (tmp_path / "r" / "tables" / "strata.csv").read_text(encoding="utf-8")
    assert f"{within.auroc.value}" in table
    assert "PA" in (tmp_path / "r" / "tables" / "strata_points.csv").read_text(encoding="utf-8")
    assert_caption_names_what_is_drawn(column)
    [row, _] = mixed.document.rows
    assert row.within == {"view": within.auroc}
    [table_] = [one for one in external_section(mixed.document).parts if isinstance(one, Table)]
    assert "AUROC within view" in table_.grid()[0]
    card = write_model_card(make_bundle(), content, tmp_path).read_text(encoding="utf-8")
    assert f"within view {within.auroc.value:.3f}" in card


def test_an_auroc_below_chance_that_the_view_explains_is_not_blamed_on_swapped_labels(
    mixed: ExternalValidation,
) -> None:
    document = mixed.evaluations[0].document
    label = document.labels["bright"]
    low = replace(label.metrics["auroc"], value=0.3, low=0.2, high=0.4)
    worse = replace(
        document, labels={"bright": replace(label, metrics={**label.metrics, "auroc": low})}
    )
    assert "within view it is not" in describe_evaluation(worse)
    bare = replace(worse, subgroups=replace(worse.subgroups, labels={}))
    assert "check whether labels are swapped" in describe_evaluation(bare)


def test_the_acquisition_style_of_the_images_is_such_a_column(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    barred = []
    for n in range(240):
        bright, bars = n % 2, rng.random() < (0.8 if n % 2 else 0.2)
        grey = 128 + (10 if bright else -10) - (40 if bars else 0)
        pixels = np.clip(rng.normal(grey, 25, (64, 64)), 1, 254).astype(np.uint8)
        pixels[:, :12] = pixels[:, -12:] = 0 if bars else pixels[:, 12:24]
        path = tmp_path / "d" / ("bright" if bright else "dark") / f"{n:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        barred.append((path.name, bars))
    found = evaluate(
        make_bundle(), tmp_path / "d", out=tmp_path / "e", robustness=False, n_bootstrap=50
    )
    styles = dict(zip(found.predictions.ids, found.predictions.columns[STYLE], strict=True))
    kinds = {Path(name).name: style for name, style in styles.items()}
    with_bars = {kinds[name] for name, bars in barred if bars}
    without = {kinds[name] for name, bars in barred if not bars}
    assert not with_bars & without
    [column] = [one for one in found.document.subgroups.labels["bright"] if one.column == STYLE]
    assert column.within is not None
    assert column.within.auroc.value > column.within.pooled + 0.1
    assert any(STYLE in sentence for sentence in found.document.mixing)
