"""Comparison of evaluations of the same images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from sklearn import metrics as reference
from statsmodels.stats.multitest import multipletests

from plainfilm import metrics
from plainfilm.cli.main import main
from plainfilm.errors import UsageError
from plainfilm.evaluation import (
    Comparison,
    EvaluationDocument,
    compare,
    evaluate_predictions,
)
from plainfilm.evaluation.document import ComparisonDocument
from plainfilm.evaluation.document.several import ComparisonRow
from plainfilm.records import Task

LABEL = "ill"
TASK = Task("binary", (LABEL,), ("well", LABEL))
Write = Callable[..., Path]


@pytest.fixture
def write(make_document: Callable[..., EvaluationDocument]) -> Write:
    """Return a function that writes the files of an evaluation that `compare` reads."""

    def write(
        folder: Path,
        labels: Any,
        chances: Any,
        *,
        patients: Any = None,
        ids: Any = None,
        threshold: float = 0.5,
        bundle: str = "b" * 64,
        task: Task = TASK,
    ) -> Path:
        folder.mkdir(parents=True)
        n = len(labels)
        document = make_document(task, threshold=threshold, bundle=bundle)
        document.write(folder / "evaluation.json")
        table = pyarrow.table(
            {
                "id": [f"i{k}" for k in range(n)] if ids is None else ids,
                "patient": [f"p{k}" for k in range(n)] if patients is None else patients,
                f"label_{LABEL}": np.asarray(labels, np.float32),
                f"probability_{LABEL}": np.asarray(chances, np.float32),
            }
        )
        parquet.write_table(
            table.replace_schema_metadata({"plainfilm": json.dumps({"model": bundle})}),
            folder / "predictions.parquet",
        )
        return folder

    return write


def drawn(n: int = 300, gain: float = 0.8) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    labels = (rng.random(n) < 0.5).astype(float)
    shared = rng.normal(size=n)
    first, second = (
        1 / (1 + np.exp(-(gap * (labels - 0.5) + shared + 0.5 * rng.normal(size=n))))
        for gap in (1.0, 1.0 + gain)
    )
    return labels, first.astype(np.float32), second.astype(np.float32)


def rows_of(found: Comparison) -> dict[str, ComparisonRow]:
    [pair] = found.document.pairs
    return {row.metric: row for row in pair.labels[LABEL]}


def three(write: Write, tmp_path: Path) -> list[Path]:
    """Write evaluations of three models on 240 images of 120 patients."""
    labels, first, second = drawn(240)
    third = np.clip(second + np.random.default_rng(4).normal(0, 0.1, 240), 0, 1)
    patients = [f"p{k // 2}" for k in range(240)]
    scores = {"a": first, "b": second, "c": third}
    return [write(tmp_path / k, labels, own, patients=patients) for k, own in scores.items()]


def test_several_models_are_compared_with_the_first(write: Write, tmp_path: Path) -> None:
    folders = three(write, tmp_path)
    found = compare(*folders, n_bootstrap=40).document
    assert [model.name for model in found.models] == ["a", "b", "c"]
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1), (0, 2)]
    alone = compare(folders[0], folders[2], n_bootstrap=40).document.pairs[0].labels[LABEL]
    together = found.pairs[1].labels[LABEL]
    assert [row.difference for row in together] == [row.difference for row in alone]
    assert [row.p for row in together] == [row.p for row in alone]
    every = [row for pair in found.pairs for row in pair.labels[LABEL] if row.p is not None]
    assert found.tests == len(every) == 8
    expected = multipletests([row.p for row in every], method="holm")[1]
    assert [row.p_adjusted for row in every] == pytest.approx(list(expected))


def test_every_pair_is_compared_on_request(write: Write, tmp_path: Path) -> None:
    folders = three(write, tmp_path)
    found = compare(*folders, metrics=["auroc"], all_pairs=True, n_bootstrap=20, out=tmp_path / "o")
    pairs = found.document.pairs
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    gaps = [pair.labels[LABEL][0].difference.value for pair in pairs]
    assert gaps[0] + gaps[2] == pytest.approx(gaps[1])
    assert all("120 patients" in str(pair.labels[LABEL][0].test) for pair in pairs)
    table = (tmp_path / "o" / "comparison.csv").read_text().splitlines()
    assert table[0].startswith("label,first_model,second_model,metric")
    assert [line.split(",")[1:3] for line in table[1:]] == [["a", "b"], ["a", "c"], ["b", "c"]]


def test_tables_of_predictions_are_compared_with_bundles(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, first, second = drawn(240)
    patients = [f"p{k // 2}" for k in range(240)]
    a = write(tmp_path / "a", labels, first, patients=patients)
    rows = ["id,label,score"]
    rows += [
        f"images/i{k}.png,{LABEL if labels[k] else 'well'},{second[k]:.9g}" for k in range(240)
    ][::-1]
    (tmp_path / "other.csv").write_text("\n".join(rows), encoding="utf-8")
    table = evaluate_predictions(
        tmp_path / "other.csv", positive=LABEL, thresholds=0.5, out=tmp_path / "t", n_bootstrap=20
    )
    assert any(finding.check == "patients-unknown" for finding in table.document.findings)
    b = write(tmp_path / "b", labels, second, patients=patients)
    expected = compare(a, b, n_bootstrap=20)
    for pair in ((a, table.folder), (table.folder, a)):
        found = compare(*pair, n_bootstrap=20)
        assert found.document.patients == 120  # those of the bundle
        gap = rows_of(found)["auroc"].difference
        sign = 1 if pair[0] == a else -1
        assert sign * gap.value == pytest.approx(rows_of(expected)["auroc"].difference.value)
        assert rows_of(found)["auroc"].p == pytest.approx(rows_of(expected)["auroc"].p)
        assert rows_of(found)["sensitivity"].p == rows_of(expected)["sensitivity"].p
    assert main(["compare", str(a), str(table.folder), "--metrics", "auroc"]) == 0
    assert "B: t (predictions " in capsys.readouterr().out


def test_folders_of_one_name_get_the_name_of_the_folder_above(write: Write, tmp_path: Path) -> None:
    labels, first, second = drawn(60)
    folders = [
        write(tmp_path / name / "test", labels, scores)
        for name, scores in (("x", first), ("y", second))
    ]
    found = compare(*folders, n_bootstrap=20).document
    assert [model.name for model in found.models] == ["x/test", "y/test"]


def test_numbers_are_those_of_the_metrics(write: Write, tmp_path: Path) -> None:
    labels, first, second = drawn()
    a, b = write(tmp_path / "a", labels, first), write(tmp_path / "b", labels, second)
    found = compare(a, b, out=tmp_path / "o", n_bootstrap=300)
    rows = rows_of(found)
    assert rows["auroc"].first.value == pytest.approx(reference.roc_auc_score(labels, first))
    test = metrics.delong_test(labels, first, second)
    assert rows["auroc"].p == pytest.approx(test.p)
    assert rows["auroc"].difference.low == pytest.approx(test.difference.low)
    assert rows["auroc"].detectable == pytest.approx(2.8016 * test.standard_error, rel=1e-3)
    right = [(one >= 0.5) == (labels == 1) for one in (first, second)]
    mcnemar = metrics.mcnemar_test(*right)
    assert rows["accuracy"].p == pytest.approx(mcnemar.p)
    tested = [row.p for row in rows.values() if row.p is not None]
    adjusted = [row.p_adjusted for row in rows.values() if row.p is not None]
    assert adjusted == pytest.approx(metrics.holm(tested))
    assert found.document.tests == len(tested) == 4
    stored = json.loads((tmp_path / "o" / "comparison.json").read_text(encoding="utf-8"))
    assert stored == found.document.to_json()
    again = ComparisonDocument.read(tmp_path / "o" / "comparison.json")
    assert again.to_json() == stored
    assert (tmp_path / "o" / "comparison.csv").read_text().count("\n") == 7


def test_each_model_uses_its_own_threshold_and_swapping_them_negates_the_difference(
    write: Write, tmp_path: Path
) -> None:
    labels, first, second = drawn()
    a = write(tmp_path / "a", labels, first, threshold=0.4)
    b = write(tmp_path / "b", labels, second, threshold=0.7)
    one, other = rows_of(compare(a, b)), rows_of(compare(b, a))
    hits = [
        reference.recall_score(labels, scores >= cut)
        for scores, cut in ((first, 0.4), (second, 0.7))
    ]
    assert one["sensitivity"].difference.value == pytest.approx(hits[1] - hits[0])
    for name in ("auroc", "sensitivity", "brier"):
        there, back = one[name].difference, other[name].difference
        assert there.value == pytest.approx(-back.value)
        assert there.low == pytest.approx(-back.high, abs=0.02)


def test_the_order_of_rows_and_the_salt_of_keys_do_not_matter(write: Write, tmp_path: Path) -> None:
    labels, first, second = drawn(120)
    patients = [f"p{k // 3}" for k in range(120)]
    a = write(tmp_path / "a", labels, first, patients=patients)
    plain = compare(a, write(tmp_path / "b", labels, second, patients=patients), n_bootstrap=50)
    order = np.random.default_rng(5).permutation(120)
    turned = write(
        tmp_path / "c",
        labels[order],
        second[order],
        ids=[f"i{k}" for k in order],
        patients=[f"other salt {k // 3}" for k in order],
    )
    assert rows_of(compare(a, turned, n_bootstrap=50)) == rows_of(plain)
    assert plain.document.patients == 40


def test_evaluations_that_cannot_be_paired_are_refused(write: Write, tmp_path: Path) -> None:
    labels, first, second = drawn(60)
    a = write(tmp_path / "a", labels, first)
    other = [f"j{k}" if k < 2 else f"i{k}" for k in range(60)]
    wrong = labels.copy()
    wrong[7] = 1 - wrong[7]
    task = Task("multilabel", (LABEL,), (LABEL,))
    cases = {
        "not of the same images": write(tmp_path / "b", labels, second, ids=other),
        "disagree about the ground truth": write(tmp_path / "c", wrong, second),
        "different patients": write(tmp_path / "d", labels, second, patients=["p"] * 60),
        "different tasks": write(tmp_path / "e", labels, second, task=task),
        "no evaluation": tmp_path / "nothing",
    }
    for words, folder in cases.items():
        with pytest.raises(UsageError, match=words):
            compare(a, folder)
    renamed = write(tmp_path / "g", labels, second, task=Task("binary", (LABEL,), ("fine", LABEL)))
    assert compare(a, renamed, metrics=["auroc"]).document.tests == 1
    with pytest.raises(UsageError, match="needs two evaluations"):
        compare(a)
    with pytest.raises(UsageError, match="no such metric"):
        compare(a, a, metrics=["beauty"])
    with pytest.raises(UsageError, match="not compared"):
        compare(a, a, margins={"f1": 0.1})
    with pytest.raises(UsageError, match="above 0"):
        compare(a, a, margins={"auroc": 0.0})
    damaged = write(tmp_path / "f", labels, second)
    (damaged / "predictions.parquet").write_bytes(b"no table")
    with pytest.raises(UsageError, match="no evaluation that can be compared"):
        compare(a, damaged)


def test_a_model_is_not_compared_with_itself(write: Write, tmp_path: Path) -> None:
    labels, first, _ = drawn(200)
    a, b = (write(tmp_path / name, labels, first) for name in "ab")
    for second in (a, b):
        with pytest.raises(UsageError, match="the same probabilities"):
            compare(a, second, n_bootstrap=50)


def test_other_files_are_not_overwritten(write: Write, tmp_path: Path) -> None:
    labels, first, second = drawn(200)
    a, b = write(tmp_path / "a", labels, first), write(tmp_path / "b", labels, second)
    out = tmp_path / "out"
    for _ in range(2):  # the second call replaces the first comparison
        compare(a, b, out=out, n_bootstrap=20)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").touch()
    for folder in (a, tmp_path / "own"):
        with pytest.raises(UsageError, match="holds other files"):
            compare(a, b, out=folder, n_bootstrap=20)


def test_one_class_is_undefined_with_the_reason(write: Write, tmp_path: Path) -> None:
    a = write(tmp_path / "a", np.ones(20), np.linspace(0, 1, 20))
    b = write(tmp_path / "b", np.ones(20), np.linspace(0, 0.5, 20))
    rows = rows_of(compare(a, b, n_bootstrap=20))
    assert rows["auroc"].difference.reason == "one class is missing"
    assert rows["auroc"].p is None


def test_the_command_prints_the_comparison(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, first, second = drawn(gain=1.5)
    a, b = write(tmp_path / "a", labels, first), write(tmp_path / "b", labels, second)

    def command(*more: str) -> int:
        return main(["compare", str(a), str(b), *more])

    assert command("--margin", "0.02", "--out", str(tmp_path / "o")) == 0
    output = capsys.readouterr().out
    assert "auroc of ill: B is better" in output
    assert "80 % power" in output
    assert "Intervals and p are not adjusted" in output
    for name in ("comparison.json", "comparison.csv", "comparison.svg", "comparison.png"):
        assert (tmp_path / "o" / name).is_file()
    assert command("--margin", "much") == 2
    assert "METRIC=NUMBER" in capsys.readouterr().err
    assert command("--metrics", "auroc,beauty") == 2
    assert main(["compare", str(b), str(a), "--margin", "auroc=0.001"]) == 0
    assert "B is worse than A by more than the margin 0.001" in capsys.readouterr().out


def test_a_difference_that_no_metric_can_have_is_not_called_detectable(
    write: Write, tmp_path: Path
) -> None:
    write(tmp_path / "a", [0, 0, 1], [0.1, 0.2, 0.9])
    write(tmp_path / "b", [0, 0, 1], [0.2, 0.1, 0.8], bundle="c" * 64)
    rows = rows_of(compare(tmp_path / "a", tmp_path / "b", n_bootstrap=50))
    for row in rows.values():
        assert row.detectable is None or 0 < row.detectable < 1
    assert rows["sensitivity"].detectable is None


def test_a_metric_named_twice_is_tested_once(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, chances = [0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.6, 0.3, 0.8, 0.9]
    write(tmp_path / "a", labels, chances)
    write(tmp_path / "b", labels, chances[::-1], bundle="c" * 64)
    twice = compare(tmp_path / "a", tmp_path / "b", metrics=["auroc", "auroc"], n_bootstrap=20)
    assert twice.document.tests == 1
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["compare", *both, "--margin", "0.1", "--margin", "auroc=0.2"]) == 2
    assert "two margins" in capsys.readouterr().err


def test_the_command_compares_several_and_draws_the_margin(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = three(write, tmp_path)
    asked = [
        "compare",
        *map(str, folders),
        "--metrics",
        "auroc,brier",
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*asked, "--all-pairs"]) == 0
    output = capsys.readouterr().out
    for words in ("A: a (", "C: c (", "C - B", "Holm, 3 tests"):
        assert words in output
    without = (tmp_path / "o" / "comparison.svg").read_text(encoding="utf-8")
    assert "margin" not in without
    assert main([*asked, "--margin", "auroc=0.31", "--margin", "brier=0.2"]) == 0
    output = capsys.readouterr().out
    assert "auroc of ill: C is" in output or "of C to A" in output
    drawn_with = (tmp_path / "o" / "comparison.svg").read_text(encoding="utf-8")
    assert "non-inferiority margin" in drawn_with
    # Both margins, on the side that a loss is on, widen the axis.
    document = ComparisonDocument.read(tmp_path / "o" / "comparison.json")
    limits = {row.metric: row.limit for row in document.pairs[0].labels[LABEL]}
    assert limits == {"auroc": -0.31, "brier": 0.2}
