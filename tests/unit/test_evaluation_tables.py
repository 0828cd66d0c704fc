"""Predictions of any classifier from a table: columns, scales, calibration, joins and errors."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn import metrics as reference

from plainfilm import evaluate_predictions
from plainfilm.cli.main import main
from plainfilm.data import load_dataset
from plainfilm.errors import LabelError, PlainfilmError, SourceError, UsageError
from plainfilm.evaluation import Evaluation, compare
from plainfilm.evaluation.tables.join import match_ids
from plainfilm.evaluation.tables.names import find_scores, find_truths, scored_label
from plainfilm.metrics import fit_temperature
from plainfilm.metrics import lock_operating_points as lock

Draw = Callable[[Path, float], Path]


def write(path: Path, columns: dict[str, Sequence[Any]], delimiter: str = ",") -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def drawn(n: int = 200, seed: int = 0, start: int = 0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    scores = expit(1.5 * rng.normal(size=n) + 2 * labels - 1)
    return {
        "image": [f"i{start + k}.png" for k in range(n)],
        "patient": [f"P{(start + k) // 2}" for k in range(n)],
        "label": [("NORMAL", "PNEUMONIA")[value] for value in labels],
        "score": [round(float(value), 6) for value in scores],
        "sex": [("F", "M")[k % 3 == 0] for k in range(n)],
    }


def arrays(columns: dict[str, list[Any]]) -> tuple[Any, Any]:
    return np.array([one == "PNEUMONIA" for one in columns["label"]]), np.array(columns["score"])


def judged(path: Path, data: Any = None, **more: Any) -> Evaluation:
    given = {"n_bootstrap": 20, "out": path.with_suffix(".out"), **more}
    return evaluate_predictions(path, data, **given)


def checks(found: Evaluation) -> set[str]:
    return {one.check for one in found.document.findings}


def test_numbers_are_those_of_scikit_learn(tmp_path: Path) -> None:
    columns = drawn()
    y_true, y_score = arrays(columns)
    found = judged(write(tmp_path / "t.csv", columns), thresholds=0.4)
    values = {name: one.value for name, one in found.metrics.items()}
    called = y_score >= 0.4
    assert values["auroc"] == pytest.approx(reference.roc_auc_score(y_true, y_score), abs=1e-6)
    brier = reference.brier_score_loss(y_true, y_score)
    assert values["brier"] == pytest.approx(brier, abs=1e-6)
    assert values["accuracy"] == pytest.approx(reference.accuracy_score(y_true, called))
    assert values["sensitivity"] == pytest.approx(reference.recall_score(y_true, called))
    assert values["mcc"] == pytest.approx(reference.matthews_corrcoef(y_true, called))
    document = found.document
    assert (document.n, document.patients) == (200, 100)
    assert document.task.classes == ("NORMAL", "PNEUMONIA")
    assert (document.model.kind, document.model.name) == ("predictions", "t")
    assert document.model.scores == "probabilities" and document.model.temperature is None
    [point] = document.labels["PNEUMONIA"].operating_points.values()
    assert (point.threshold, point.rule) == (0.4, "given by the user")
    assert "no-validation" in checks(found)
    assert [one.column for one in document.subgroups.labels["PNEUMONIA"]] == ["sex"]
    # The files can be read back.
    read = Evaluation.read(tmp_path / "t.out")
    assert read.document.model == document.model and read.manifest is None
    assert read.predictions.ids == tuple(columns["image"])


def test_thresholds_and_temperature_are_locked_on_validation(tmp_path: Path) -> None:
    test, held = drawn(), drawn(120, 1, start=1000)
    y_held, s_held = arrays(held)
    y_true, y_score = arrays(test)
    path = write(tmp_path / "t.csv", test)
    found = judged(path, validation=write(tmp_path / "v.csv", held))
    temperature = fit_temperature(logit(s_held)[:, None], y_held[:, None] * 1.0, kind="binary")
    assert found.document.model.temperature == pytest.approx(temperature.value, rel=1e-6)
    assert temperature.value != pytest.approx(1.0, abs=1e-3)
    calibrated = expit(logit(s_held) / temperature.value)
    keys = held["patient"]
    balanced = lock(calibrated, y_held.astype(float), "PNEUMONIA", patients=keys)[0]
    point = found.document.labels["PNEUMONIA"].operating_points["balanced"]
    assert point.threshold == pytest.approx(balanced.point.threshold, abs=1e-6)
    assert point.validation is not None
    assert point.validation.positives == y_held.sum()
    expected = expit(logit(y_score) / temperature.value)
    np.testing.assert_allclose(found.probabilities[:, 0], expected, atol=1e-6)
    called = expected >= point.threshold
    assert found.metrics["accuracy"].value == pytest.approx(np.mean(called == y_true))
    assert found.document.model.locked_on == "120 validation images of 60 patients"
    assert "no-validation" not in checks(found)


def test_a_column_of_splits_says_what_to_evaluate_and_where_to_lock(tmp_path: Path) -> None:
    columns = drawn(300)
    columns["split"] = [("test", "val", "train")[k // 2 % 3] for k in range(300)]
    found = judged(write(tmp_path / "t.csv", columns))
    assert (found.document.n, found.document.dataset.split) == (100, "test")
    assert found.document.model.locked_on == "100 validation images of 50 patients"
    [unused] = [one for one in found.document.findings if one.check == "rows-unused"]
    assert unused.count == 100


def test_several_classes_and_our_own_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 150)
    scores = softmax(rng.normal(size=(150, 3)) + 1.5 * np.eye(3)[classes], axis=1)
    columns = {"file": [*range(150)], "class": ["abc"[one] for one in classes]}
    columns |= {f"prob_{name}": scores[:, k].round(6).tolist() for k, name in enumerate("abc")}
    found = judged(write(tmp_path / "t.csv", columns))
    assert found.document.task.kind == "multiclass"
    area = reference.roc_auc_score(classes, scores, multi_class="ovr")
    assert found.metrics["auroc"].value == pytest.approx(area, abs=1e-5)
    right = reference.accuracy_score(classes, scores.argmax(axis=1))
    assert found.metrics["accuracy"].value == pytest.approx(right)
    # predictions.parquet has a column of 1 and 0 for each class.
    again = judged(tmp_path / "t.out" / "predictions.parquet", out=tmp_path / "again")
    assert again.document.task == found.document.task
    for name, metric in found.metrics.items():
        assert again.metrics[name].value == pytest.approx(metric.value, abs=1e-6, nan_ok=True)
    # Scores that do not sum to 1, such as sigmoids, are divided by their sum.
    columns |= {f"prob_{name}": (scores[:, k] / 2).tolist() for k, name in enumerate("abc")}
    halved = judged(write(tmp_path / "h.csv", columns))
    np.testing.assert_allclose(halved.probabilities, scores, atol=1e-5)
    assert "scores-converted" in checks(halved)
    # All scores 0 means that no class is preferred.
    for name in "abc":
        columns[f"prob_{name}"][0] = 0.0
    zeros = judged(write(tmp_path / "z.csv", columns))
    np.testing.assert_allclose(zeros.probabilities[0], np.full(3, 1 / 3), atol=1e-6)


def test_several_labels_as_logits_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((120, 2)) < 0.4).astype(int)
    logits = (rng.normal(size=(120, 2)) + labels).round(4)
    columns: dict[str, Any] = {"id": [*range(120)]}
    for k, name in enumerate(("Edema", "Mass")):
        columns[name] = ["" if row % 10 == k else labels[row, k] for row in range(120)]
        columns[f"logit_{name}"] = [str(one).replace(".", ",") for one in logits[:, k]]
    found = judged(write(tmp_path / "t.csv", columns, ";"), thresholds={"Mass": 0.5})
    np.testing.assert_allclose(found.probabilities, expit(logits), atol=1e-6)
    for k, name in enumerate(("Edema", "Mass")):
        known = np.arange(120) % 10 != k
        results = found.document.labels[name]
        area = reference.roc_auc_score(labels[known, k], logits[known, k])
        assert results.metrics["auroc"].value == pytest.approx(area, abs=1e-6)
        assert results.unknown == 12
        assert math.isnan(results.metrics["accuracy"].value) == (name == "Edema")


def test_rows_without_a_score_or_label_are_left_out_with_the_reason(tmp_path: Path) -> None:
    columns = drawn(40)
    columns["score"][3] = ""
    columns["score"][4] = "NaN"
    columns["score"][6] = "inf"
    columns["label"][5] = ""
    found = judged(write(tmp_path / "t.csv", columns), thresholds=0.5)
    assert found.document.n == 36
    reasons = {one.id: one.reason for one in found.document.left_out}
    assert reasons == {
        "i3.png": "no-score",
        "i4.png": "no-score",
        "i6.png": "no-score",
        "i5.png": "no-label",
    }


def test_a_missing_score_in_a_table_without_other_columns(tmp_path: Path) -> None:
    columns = {name: drawn(40)[name] for name in ("image", "label", "score")}
    columns["score"][3] = ""
    found = judged(write(tmp_path / "t.csv", columns), thresholds=0.5)
    assert found.document.n == 39
    assert [one.id for one in found.document.left_out] == ["i3.png"]


def test_ids_match_by_as_many_folders_as_possible() -> None:
    given = [
        f"/archive/set/{split}/{n % 2}/p{n}.png" for split in ("train", "test") for n in range(3)
    ]
    targets = [f"{split}/{n % 2}/p{n}.png" for split in ("test", "train") for n in range(3)]
    assert match_ids(given, targets) == [3, 4, 5, 0, 1, 2]
    assert match_ids(["a/p1.png", "p2.png", "b\\p3.jpg"], ["x/p1.png", "p2.png", "p3.png"]) == [
        0,
        1,
        2,
    ]
    assert match_ids(["a/p1.png", "b/p1.png"], ["c/p1.png", "b/p1.png"]) == [None, 1]


def test_a_row_of_another_split_or_file_is_not_taken(tmp_path: Path) -> None:
    given = [f"/absent/set/train/{n}.png" for n in range(3)]
    assert match_ids(given, [f"test/{n}.png" for n in range(3)]) == [None] * 3
    assert match_ids(given, [f"train/{n}.png" for n in range(3)]) == [0, 1, 2]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.png").write_bytes(b"not empty")
    here, there = (str(tmp_path / folder / "0.png") for folder in ("one", "two"))
    assert match_ids([here], ["0.png"], [there]) == [None]
    assert match_ids([there, here], ["0.png"], [here]) == [1]
    assert match_ids(["/absent/0.png"], ["0.png"], [here]) == [0]


def test_no_other_row_is_taken_for_an_image_without_a_score(tmp_path: Path) -> None:
    columns = drawn(40)
    names = [f"{n % 2}/p{n // 2}.png" for n in range(40)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"not empty")
    table = {"image": [f"/archive/{name}" for name in names], "score": columns["score"]}
    table["score"][7] = ""
    truth = {"image": names, "label": columns["label"]}
    found = judged(
        write(tmp_path / "t.csv", table), write(tmp_path / "truth.csv", truth), thresholds=0.5
    )
    assert found.document.n == 39
    assert [(one.id, one.reason) for one in found.document.left_out] == [("1/p3.png", "no-score")]


def test_rows_with_the_paths_of_the_images_are_theirs(tmp_path: Path) -> None:
    names = [f"{n % 2}/p{n // 2}.png" for n in range(40)]
    given = []
    for root in ("h2", "h1"):
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(b"not empty")
            given.append(str(path))
    scores = [*([0.5] * 40), *(0.1 + 0.8 * (n % 2) for n in range(40))]
    table = write(tmp_path / "t.csv", {"image": given, "score": scores})
    found = judged(table, tmp_path / "h1", thresholds=0.5, positive="1")
    assert found.document.n == 40 and found.metrics["auroc"].value == 1


def test_no_row_of_another_split_with_an_equal_name_is_taken(tmp_path: Path) -> None:
    columns = drawn(40)
    names = [f"{split}/{n % 2}/p{n // 2}.png" for split in ("train", "test") for n in range(40)]
    for name in names:
        path = tmp_path / "set" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"not empty")
    scores = [*columns["score"], *columns["score"]]
    scores[3] = scores[43] = ""
    both = {"image": [f"/archive/{name}" for name in names], "score": scores}
    found = judged(write(tmp_path / "both.csv", both), tmp_path / "set", thresholds=0.5)
    assert found.document.n == 39
    left_out = [(one.id, one.reason) for one in found.document.left_out]
    assert left_out == [("test/1/p1.png", "no-score")]  # and not the row of the training image
    train = {name: cells[:40] for name, cells in both.items()}
    with pytest.raises(SourceError, match="no row of"):
        judged(write(tmp_path / "train.csv", train), tmp_path / "set", thresholds=0.5)


def test_an_image_without_a_score_has_its_reason_and_is_no_missing_row(tmp_path: Path) -> None:
    columns = drawn(40)
    columns["reason"] = [""] * 40
    columns["score"][3], columns["reason"][3] = "", "truncated"
    truth = {name: columns[name] for name in ("image", "label", "patient")}
    table = {name: columns[name] for name in ("image", "score", "reason")}
    path, data = write(tmp_path / "t.csv", table), write(tmp_path / "truth.csv", truth)
    for name in columns["image"]:
        (tmp_path / name).write_bytes(b"not empty")
    found = judged(path, data, thresholds=0.5)
    assert [(one.id, one.reason) for one in found.document.left_out] == [("i3.png", "truncated")]
    assert "predictions-missing" not in checks(found)


def test_predicted_classes_are_not_taken_for_probabilities(tmp_path: Path) -> None:
    columns = drawn()
    _, y_score = arrays(columns)
    columns["score"] = [int(one > 0.5) for one in y_score]
    found = judged(write(tmp_path / "t.csv", columns))
    assert found.document.model.scores == "predicted classes (0 and 1), no probabilities"
    called = np.array(columns["score"])
    y_true, _ = arrays(columns)
    recall = reference.recall_score(y_true, called)
    assert found.metrics["sensitivity"].value == pytest.approx(recall)


@pytest.fixture
def folder(tmp_path: Path, draw_grey: Draw) -> Path:
    for name, level in (("NORMAL", 0.2), ("PNEUMONIA", 0.8)):
        for k in range(4):
            place = tmp_path / "data" / name / f"{name.lower()}{k}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            draw_grey(place, level)
    return tmp_path / "data"


def test_a_data_set_has_the_ground_truth(folder: Path, tmp_path: Path) -> None:
    data = load_dataset(folder)
    given = ["other/normal0.jpg", "other/pneumonia0.jpg"]
    few = write(tmp_path / "few.csv", {"file": given, "p": [0.1, 0.9]})
    assert judged(few, folder, thresholds=0.5).document.n == 2, "a path works like a manifest"
    names = [f"other/{kind}{k}.jpg" for kind in ("normal", "pneumonia") for k in range(3)]
    scores = [0.1, 0.6, 0.2, 0.9, 0.8, 0.4]
    table = write(tmp_path / "t.csv", {"file": [*names, "other.jpg"], "p": [*scores, 0.5]})
    found = judged(table, data, thresholds=0.5)
    assert found.document.n == 6
    assert found.metrics["auroc"].value == pytest.approx(
        reference.roc_auc_score([0, 0, 0, 1, 1, 1], scores)
    )
    assert {one.id for one in found.document.left_out} == {
        "NORMAL/normal3.png",
        "PNEUMONIA/pneumonia3.png",
    }
    assert {"predictions-missing", "rows-unused"} <= checks(found)
    others = write(tmp_path / "s.csv", {"file": ["x1", "x2"], "p": [0.1, 0.2]})
    with pytest.raises(SourceError, match=r"no row of s\.csv is for an image of data"):
        judged(others, data)


def test_a_table_is_compared_with_another_one(tmp_path: Path) -> None:
    columns = drawn()
    judged(write(tmp_path / "a.csv", columns), thresholds=0.5)
    rng = np.random.default_rng(3)
    columns["score"] = [float(expit(logit(one) + rng.normal())) for one in columns["score"]]
    judged(write(tmp_path / "b.csv", columns), thresholds=0.5)
    found = compare(tmp_path / "a.out", tmp_path / "b.out", n_bootstrap=20)
    assert [one.name for one in found.document.models] == ["a.out", "b.out"]


CASES: dict[str, tuple[Callable[[dict[str, list[Any]]], None], dict[str, Any], str]] = {
    "an image twice": (lambda c: c["image"].__setitem__(1, "i0.png"), {}, "several rows for one"),
    "percentages": (
        lambda c: c.__setitem__("score", [round(100 * one) for one in c["score"]]),
        {},
        "neither probabilities nor logits",
    ),
    "percentages with decimals": (
        lambda c: c.__setitem__("score", [100 * one for one in c["score"]]),
        {},
        "neither probabilities nor logits",
    ),
    "text as score": (lambda c: c["score"].__setitem__(7, "high"), {}, "must be numbers"),
    "two truths": (lambda c: c.__setitem__("truth", c["label"]), {}, "ground truth"),
    "no score": (lambda c: c.__setitem__("x", c.pop("score")), {}, "could be the score"),
    "column": (lambda _: None, {"scores": "absent"}, "does not exist"),
    "truth": (lambda _: None, {"labels": "absent"}, "does not exist"),
    "threshold": (lambda _: None, {"thresholds": 1.5}, "between 0 and 1"),
    "label": (lambda _: None, {"thresholds": {"Mass": 0.5}}, "a label that the task"),
    "prevalence": (lambda _: None, {"prevalence": 0.1}, "which prevalence"),
}


@pytest.mark.parametrize(("change", "more", "words"), CASES.values(), ids=CASES.keys())
def test_what_cannot_be_read_is_refused(
    change: Callable[[dict[str, list[Any]]], None], more: dict[str, Any], words: str, tmp_path: Path
) -> None:
    columns = drawn(60)
    change(columns)
    with pytest.raises(PlainfilmError, match=words) as caught:
        judged(write(tmp_path / "t.csv", columns), **more)
    assert isinstance(caught.value, SourceError | LabelError | UsageError)
    assert caught.value.received


def test_a_rounded_probability_above_1_does_not_make_logits_of_all(tmp_path: Path) -> None:
    columns = drawn(60)
    columns["score"][0] = 1.0000002
    found = judged(write(tmp_path / "t.csv", columns), thresholds=0.5)
    assert found.document.model.scores == "probabilities"
    assert found.probabilities.max() == 1.0


def test_large_logits_keep_their_order(tmp_path: Path) -> None:
    columns = drawn(200)
    y_true, y_score = arrays(columns)
    columns["score"] = [float(one) for one in 20 + 8 * logit(y_score)]
    columns["score"][0] = -3.0
    found = judged(write(tmp_path / "t.csv", columns), thresholds=0.5)
    area = reference.roc_auc_score(y_true, np.clip(columns["score"], None, 36))
    assert found.metrics["auroc"].value == pytest.approx(area, abs=1e-3)
    held = drawn(60, 1, start=1000)
    with pytest.raises(LabelError, match="different scales"):
        judged(tmp_path / "t.csv", validation=write(tmp_path / "v.csv", held), out=tmp_path / "o")


@pytest.mark.parametrize("name", ["t.xlsx", "utf16.csv"])
def test_tables_of_office_programs(tmp_path: Path, name: str) -> None:
    columns = drawn(60)
    path = write(tmp_path / "t.csv", columns)
    expected = judged(path, thresholds=0.5).metrics["auroc"].value
    if name.endswith("xlsx"):
        book = pytest.importorskip("openpyxl").Workbook()
        for row in csv.reader(path.read_text("utf-8").splitlines()):
            book.active.append([float(one) if one[:2] in ("0.", "1.") else one for one in row])
        book.save(tmp_path / name)
    else:
        (tmp_path / name).write_text(path.read_text("utf-8"), encoding="utf-16")
    found = judged(tmp_path / name, thresholds=0.5, out=tmp_path / "office")
    assert found.metrics["auroc"].value == pytest.approx(expected, abs=1e-9)


def test_rows_without_a_patient_are_reported(tmp_path: Path) -> None:
    columns = drawn(60)
    columns["patient"][:6] = [""] * 6
    found = judged(write(tmp_path / "t.csv", columns), thresholds=0.5)
    assert found.document.patients == 27 + 6
    [blank] = [one for one in found.document.findings if one.check == "patients-blank"]
    assert blank.count == 6


def test_validation_images_are_not_judged(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", drawn())
    with pytest.raises(UsageError, match="images are in both tables"):
        judged(path, validation=write(tmp_path / "v.csv", drawn(60)))
    held = drawn(60, 1, start=1000)
    held["patient"] = [f"P{k}" for k in range(60)]
    found = judged(path, validation=write(tmp_path / "w.csv", held))
    [shared] = [one for one in found.document.findings if one.check == "patients-shared"]
    assert shared.severity == "serious" and shared.count == 60
    other = {**held, "label": ["NORMAL"] * 60, "image": [f"o{k}" for k in range(60)]}
    with pytest.raises(LabelError, match="other labels"):
        judged(path, validation=write(tmp_path / "o.csv", other))


def test_names_of_patients_are_not_kept(tmp_path: Path) -> None:
    columns = drawn(60)
    columns["patient name"] = [f"Doe^{k}" for k in range(60)]
    found = judged(write(tmp_path / "t.csv", columns), thresholds=0.5)
    assert "identity-columns" in checks(found)
    stored = b"".join(one.read_bytes() for one in (tmp_path / "t.out").iterdir())
    assert b"Doe^" not in stored
    assert not {*columns["patient"]} & {*found.predictions.patients}


def test_file_names_of_a_known_convention_show_the_patients(tmp_path: Path) -> None:
    columns = drawn(60)
    columns["image"] = [f"person{k // 3}_virus_{k}.jpeg" for k in range(60)]
    del columns["patient"]
    found = judged(write(tmp_path / "t.csv", columns), thresholds=0.5)
    assert found.document.patients == 20
    columns["image"] = [f"scan {k}" for k in range(60)]
    found = judged(write(tmp_path / "u.csv", columns), thresholds=0.5)
    assert found.document.patients == 60 and "patients-unknown" in checks(found)


def test_other_spellings_of_columns() -> None:
    assert find_truths(["gt", "yhat"]) == {"gt": "gt"}
    assert find_truths(["y_true", "y_score", "predicted"]) == {"y_true": "y_true"}
    assert find_truths(["id", "a", "b"]) == {}
    assert [scored_label(name) for name in ("y_prob", "p_Mass", "Mass prob")] == [
        "",
        "Mass",
        "Mass",
    ]
    assert find_scores("PNEUMONIA", ["prob_NORMAL", "prob_PNEUMONIA"], alone=True) == [
        "prob_PNEUMONIA"
    ]


def test_the_command_prints_results_and_writes_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", drawn())
    write(tmp_path / "v.csv", drawn(120, 1, start=1000))
    assert main(["evaluate", "--predictions", "t.csv", "--validation", "v.csv"]) == 0
    shown = capsys.readouterr()
    assert "200 images of 100 patients" in shown.out and "locked on validation" in shown.out
    page = (tmp_path / "evaluation-t" / "report.html").read_text("utf-8")
    assert "PNEUMONIA" in page and "sealed bundle" not in page
    assert "predictions in the table t" in page and "Only the predictions are known" in page
    assert "Thresholds not locked" not in page and "trained once" not in page
    assert "receives the image only" not in page
    assert main(["report", "evaluation-t"]) == 0
    assert (tmp_path / "evaluation-t" / "report.html").read_text("utf-8") == page
    assert main(["evaluate", "--predictions", "t.csv", "--threshold", "x"]) == 2
    assert "LABEL=NUMBER" in capsys.readouterr().err
    assert main(["evaluate"]) == 2
    assert "nothing to evaluate" in capsys.readouterr().err
    assert main(["evaluate", "--predictions", "none.csv"]) in (1, 2)
    assert "does not exist" in capsys.readouterr().err
