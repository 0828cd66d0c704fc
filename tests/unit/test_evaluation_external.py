"""External validation: one evaluation for each data set, and the difference from the first."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as parquet
import pytest

from plainfilm.bundle import Bundle
from plainfilm.cli.main import main
from plainfilm.data import Manifest, load_dataset
from plainfilm.errors import LabelError, MetricError, UsageError
from plainfilm.evaluation import external, pipeline, validate
from plainfilm.evaluation.document import ExternalDocument
from plainfilm.metrics import (
    Interval,
    correlated_difference,
    independent_difference,
    undefined,
    wilson,
)

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]


def draw_set(root: Path, draw_grey: Draw, *, noise: float, seed: int, n: int = 30) -> Manifest:
    rng = np.random.default_rng(seed)
    for i in range(n):
        bright = i % 2 == 1
        grey = round(np.clip(128 + (30 if bright else -30) + rng.normal(0, noise), 0, 255))
        draw_grey(root / ("bright" if bright else "dark") / f"{i}.png", grey)
    return load_dataset(root, positive="bright")


def test_each_data_set_is_compared_with_the_first(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    near = draw_set(tmp_path / "near", draw_grey, noise=15, seed=1)
    far = draw_set(tmp_path / "far", draw_grey, noise=90, seed=2)
    found = validate(make_bundle(), [near, far], out=tmp_path / "o", n_bootstrap=200)
    first, second = found.document.rows
    assert [one.name for one in (first, second)] == ["near", "far"]
    assert {one.role for one in (first, second)} == {"external"}
    assert first.difference is None
    for evaluation, row in zip(found.evaluations, (first, second), strict=True):
        assert evaluation.folder == tmp_path / "o" / row.folder
        assert row.metrics["auroc"] == evaluation.metrics["auroc"]
        assert row.n == evaluation.document.n == 30
    # By hand: the distances of the limits, squared and added.
    assert second.difference is not None
    one, two, difference = (
        second.metrics["accuracy"],
        first.metrics["accuracy"],
        second.difference["accuracy"],
    )
    assert difference.value == pytest.approx(one.value - two.value)
    below = math.sqrt((one.value - one.low) ** 2 + (two.high - two.value) ** 2)
    above = math.sqrt((one.high - one.value) ** 2 + (two.value - two.low) ** 2)
    assert difference.low == pytest.approx(difference.value - below)
    assert difference.high == pytest.approx(difference.value + above)
    assert difference.high < 0  # images that are nearly noise are classified worse

    stored = json.loads((tmp_path / "o" / "external.json").read_text(encoding="utf-8"))
    assert stored == found.document.to_json()
    again = ExternalDocument.read(tmp_path / "o" / "external.json")
    assert again.to_json() == stored
    with open(tmp_path / "o" / "external.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["difference_accuracy_value"]) == pytest.approx(difference.value)
    assert rows[0]["difference_accuracy_value"] == ""


def test_one_data_set_uses_the_folder_itself(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    near = draw_set(tmp_path / "near", draw_grey, noise=15, seed=1)
    validate(make_bundle(), [near], out=tmp_path / "o", n_bootstrap=20)
    assert (tmp_path / "o" / "evaluation.json").is_file()
    assert (tmp_path / "o" / "external.json").is_file()


def test_a_run_without_validation_images_has_no_internal_row_and_a_note(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = draw_set(tmp_path / "own", draw_grey, noise=15, seed=1)
    far = draw_set(tmp_path / "far", draw_grey, noise=90, seed=2)
    splits = ["train"] * 15 + ["test"] * 15
    records = [replace(one, split=s) for one, s in zip(own.records, splits, strict=True)]
    run = SimpleNamespace(manifest=replace(own, records=tuple(records)))
    for module in (external, pipeline):
        monkeypatch.setattr(module, "open_run", lambda home: run)
    make_bundle(tmp_path / "run" / "bundle")
    (tmp_path / "run" / "plan.json").touch()
    found = validate(tmp_path / "run", [far], robustness=False, n_bootstrap=20)
    assert [row.role for row in found.document.rows] == ["internal test", "external"]
    assert [row.n for row in found.document.rows] == [15, 30]
    assert found.document.rows[1].difference is not None
    assert "Not shown: the internal validation, because the run has no" in found.document.note
    assert "too optimistic" not in found.document.note


def test_data_sets_of_the_same_name_get_different_folders(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    sets = [
        draw_set(tmp_path / place / "images", draw_grey, noise=15, seed=seed, n=8)
        for seed, place in enumerate("ab")
    ]
    named = [*sets, replace(sets[0], name="internal-validation")]
    found = validate(make_bundle(), named, out=tmp_path / "o", n_bootstrap=20)
    assert [one.folder.name for one in found.evaluations] == [
        "images",
        "images-2",
        "internal-validation-2",
    ]
    rows = [row.name for row in found.document.rows]
    assert rows == ["images", "images-2", "internal-validation"]


def test_a_data_set_of_one_class_has_no_difference_and_a_reason(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    near = draw_set(tmp_path / "near", draw_grey, noise=15, seed=1)
    bright = replace(near, name="x", records=tuple(r for r in near.records if r.labels[0] == 1))
    found = validate(make_bundle(), [near, bright], out=tmp_path / "o", n_bootstrap=20)
    difference = found.document.rows[1].difference
    assert difference is not None
    assert math.isnan(difference["auroc"].value)
    assert "negative" in (difference["auroc"].reason or "")
    assert math.isfinite(difference["sensitivity"].value)


def test_a_data_set_for_another_task_is_refused(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    near = draw_set(tmp_path / "near", draw_grey, noise=15, seed=1, n=6)
    with pytest.raises(UsageError, match="no data set"):
        validate(make_bundle(), [], out=tmp_path / "o")
    with pytest.raises(UsageError, match="no folder"):
        validate(make_bundle(), [near])
    for n in range(4):
        draw_grey(tmp_path / "cats" / ("cat" if n % 2 else "dog") / f"{n}.png", 100)
    with pytest.raises(LabelError, match="labels of cats are not those"):
        validate(make_bundle(), [near, load_dataset(tmp_path / "cats")], out=tmp_path / "o")
    assert not (tmp_path / "o").exists()  # refused before the first of them was scored


def test_the_command_takes_several_data_sets(
    make_bundle: MakeBundle,
    draw_grey: Draw,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw_set(tmp_path / "near", draw_grey, noise=15, seed=1)
    draw_set(tmp_path / "far", draw_grey, noise=90, seed=2)
    bundle = make_bundle()
    asked = [str(bundle.folder), str(tmp_path / "near"), str(tmp_path / "far")]
    more = ["--positive", "bright", "--out", str(tmp_path / "o"), "--no-robustness"]
    assert main(["evaluate", *asked, *more]) == 0
    output = capsys.readouterr().out
    assert "near" in output
    assert "difference" in output
    for name in ("near", "far"):
        assert (tmp_path / "o" / name / "report.html").is_file()
    page = (tmp_path / "o" / "external.html").read_text(encoding="utf-8")
    assert 'href="far/report.html"' in page


def test_a_report_outside_a_run_is_rewritten_by_naming_the_model(
    make_bundle: MakeBundle,
    draw_grey: Draw,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    near = draw_set(tmp_path / "near", draw_grey, noise=15, seed=1)
    bundle, place = make_bundle(), tmp_path / "o"
    validate(bundle, [near], out=place, robustness=False, n_bootstrap=20)
    assert main(["report", str(place)]) == 1
    assert "--model" in capsys.readouterr().err
    assert main(["report", str(place), "--model", str(bundle.folder)]) == 0
    assert (place / "report.html").is_file()
    other = make_bundle(tmp_path / "other", gains=(0.5,))
    assert main(["report", str(place), "--model", str(other.folder)]) == 1
    assert "another bundle" in capsys.readouterr().err

    predictions = place / "predictions.parquet"
    whole = predictions.read_bytes()
    for damaged in (whole[:100], None):
        predictions.unlink() if damaged is None else predictions.write_bytes(damaged)
        assert main(["report", str(place), "--model", str(bundle.folder)]) == 1
        assert "cannot be read" in capsys.readouterr().err
    predictions.write_bytes(whole)
    table = parquet.read_table(predictions)
    output = table.replace_schema_metadata({"plainfilm": json.dumps({"model": "x"})})
    nan, two = (np.full(len(table), value, np.float32) for value in (math.nan, 2))
    column = table.column_names.index("probability_bright")
    for wrong, problem in (
        (output, "are not those of its evaluation"),
        (table.set_column(column, "probability_bright", [nan]), "that are not from 0 to 1"),
        (table.set_column(column, "probability_bright", [two]), "that are not from 0 to 1"),
    ):
        parquet.write_table(wrong, predictions)
        assert main(["report", str(place), "--model", str(bundle.folder)]) == 1
        assert problem in capsys.readouterr().err


def test_difference_of_newcombe() -> None:
    # R. G. Newcombe, Stat. Med. 17 (1998) 873-890, table II, method 10, without continuity
    # correction: 56/70 - 48/80, 9/10 - 3/10, 10/10 - 0/20.
    for (a, m), (b, n), low, high in (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
    ):
        found = independent_difference(wilson(a, m), wilson(b, n))
        assert found.value == pytest.approx(a / m - b / n)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_a_correlation_narrows_the_difference() -> None:
    one, other = Interval(0.8, 0.7, 0.86, "x"), Interval(0.6, 0.5, 0.72, "x")
    low = [correlated_difference(one, other, r).low for r in (-0.5, 0.0, 0.5)]
    assert low == sorted(low)
    assert low[1] == independent_difference(one, other).low
    below = math.sqrt(0.1**2 + 0.12**2 - 2 * 0.5 * 0.1 * 0.12)
    assert low[2] == pytest.approx(0.2 - below)
    same = correlated_difference(one, one, 1.0)
    assert same.low == pytest.approx(-abs(0.1 - 0.06))
    with pytest.raises(MetricError, match="correlation"):
        correlated_difference(one, other, 1.5)


def test_the_difference_of_undefined_values_is_undefined() -> None:
    known = wilson(3, 10)
    assert independent_difference(undefined("x", "why"), known).reason == "why"
    open_ended = Interval(2.0, 1.0, math.inf, "x")
    found = independent_difference(open_ended, known)
    assert found.value == pytest.approx(1.7)
    assert math.isnan(found.low)
    assert found.reason
