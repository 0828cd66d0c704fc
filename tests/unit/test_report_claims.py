"""Captions, notes and figures claim no more than their content shows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from statistics import stdev
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from plainfilm.evaluation.document.subgroups import Subgroup, SubgroupColumn, Subgroups
from plainfilm.evaluation.seed_variation import write_seed_variation
from plainfilm.metrics import Interval
from plainfilm.report.figures import ForestRow, forest_figure
from plainfilm.report.html.page import Plot, Plots
from plainfilm.report.html.table import Table
from plainfilm.report.sections.analyses import subgroups_section
from plainfilm.report.sections.several import seeds_section
from plainfilm.report.sections.training import training_section
from report_content import draw_evaluation, draw_training


def test_seeds_and_test_images_are_compared_on_one_scale(tmp_path: Path) -> None:
    evaluation, runs = draw_evaluation(), []
    values, half = (0.95, 0.96, 0.965), 0.0196
    for seed, value in enumerate(values):
        auroc = Interval(value, value - half, value + half, "DeLong")
        run: Any = SimpleNamespace(
            folder=tmp_path / f"seed-{seed}",
            bundle=SimpleNamespace(id=f"{seed}" * 64),
            plan=SimpleNamespace(identity=SimpleNamespace(seed=seed)),
        )
        runs.append((run, replace(evaluation, metrics={"auroc": auroc})))
    document = write_seed_variation(tmp_path, runs)
    found = document.variation["auroc"]
    assert found.sd == pytest.approx(stdev(values))
    assert found.sampling_se == pytest.approx(0.0196 / 1.959964, rel=1e-6)
    assert found.sampling_se is not None and found.sampling_se > found.sd
    assert "standard deviation of the AUROC over seeds is 0.008" in document.note
    assert "standard error from the choice of test images alone is 0.010" in document.note
    assert "test images contributes more uncertainty" in document.note
    tables = [part for part in seeds_section(document).parts if isinstance(part, Table)]
    assert {"SD over seeds", "SE from the test images"} <= set(tables[0].rows[0])
    assert "divided by 1.96" in tables[0].caption


def test_captions_state_what_is_adjusted_for_several_tests() -> None:
    area, change = Interval(0.9, 0.8, 0.95, "DeLong"), Interval(-0.05, -0.09, -0.01, "DeLong")
    own = Subgroup(
        value="F", n=200, patients=150, positives=90,
        metrics={"auroc": area}, difference={"auroc": change},
        p={"auroc": 0.01}, p_adjusted={"auroc": 0.06},
    )  # fmt: skip
    column = SubgroupColumn("sex", None, (own,), (), 0)
    section = subgroups_section(Subgroups(10, "", 6, {"PNEUMONIA": (column,)}), 0.95)
    assert section is not None
    (table,) = (part for part in section.parts if isinstance(part, Table))
    assert "95% confidence interval (not adjusted)" in table.caption
    assert "p-value adjusted for 6 tests (Holm)" in table.caption
    (plot,) = (part for part in section.parts if isinstance(part, Plot))
    assert "adjustment for 6 tests" in plot.caption
    assert plot.caption.endswith("The intervals are not adjusted.")


def test_without_tests_captions_mention_no_adjustment() -> None:
    own = Subgroup("F", 200, 150, 90, {"auroc": Interval(0.9, 0.8, 0.95, "DeLong")}, {}, {}, {})
    columns = {"PNEUMONIA": (SubgroupColumn("sex", None, (own,), (), 0),)}
    section = subgroups_section(Subgroups(10, "", 0, columns), 0.95)
    assert section is not None
    captions = [part.caption for part in section.parts if isinstance(part, Plot | Table)]
    assert len(captions) == 2
    assert not any("adjust" in caption.replace("(not adjusted)", "") for caption in captions)


def test_captions_of_a_training_name_the_curves_that_are_drawn() -> None:
    training = draw_training()
    history = [
        {key: value for key, value in row.items() if key not in ("auroc", "val_accuracy")}
        | {"loss": row["loss"] if row["epoch"] > 1 else math.nan}
        for row in training.history
    ]
    section = training_section(replace(training, history=history))
    assert section is not None
    (plots,) = (part for part in section.parts if isinstance(part, Plots))
    captions = {plot.name: plot.caption.partition(".")[0] for plot in plots.plots}
    assert captions == {
        "history-loss": "Loss on training and validation images by epoch",
        "history-accuracy": "Accuracy on training images by epoch",
        "history-auroc": "AUROC on validation images by epoch",
    }


def test_a_forest_plot_fits_a_phone_with_long_names() -> None:
    area = Interval(0.97, 0.955, 0.984, "DeLong")
    name = "the view position as the department documents it, lateral (1000)"
    text = forest_figure([ForestRow("column"), ForestRow(name, area)], name="f")
    tree = ElementTree.fromstring(text)
    width = float(tree.attrib["viewBox"].split()[2])
    assert width < 360, "points; a phone shows 355 CSS pixels without panning"
    words = {node.text: float(node.attrib.get("x", "nan")) for node in tree.iter() if node.text}
    (place,) = (x for word, x in words.items() if word.startswith("the view"))
    assert not place > 0.1 * width, "the name is above the interval, not to its left"
