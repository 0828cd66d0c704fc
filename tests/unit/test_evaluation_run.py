"""An evaluation scores exactly what is shipped, and writes what it found."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    roc_auc_score,
)

from locked_points import evidence
from plainfilm.bundle import Bundle
from plainfilm.data import Manifest, load_dataset, relocate
from plainfilm.errors import (
    BundleError,
    LabelError,
    RunError,
    SourceError,
    StorageError,
    UsageError,
)
from plainfilm.evaluation import Evaluation, EvaluationDocument, evaluate
from plainfilm.evaluation.result import rank_mistakes
from plainfilm.evaluation.scoring import align, official_test
from plainfilm.metrics import Confusion
from plainfilm.records import Task
from plainfilm.runtime import Predictor
from plainfilm.training import Run

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
Draws = Callable[..., Path]

N = 40


def believed(greys: Any, gain: float = 1.0) -> Any:
    return 1 / (1 + np.exp(-gain * (np.asarray(greys) - 128) / 32))


@pytest.fixture
def folder(tmp_path: Path, draw_grey: Draw) -> Path:
    """Draw dark and bright images, about every fifth in the wrong folder."""
    rng = np.random.default_rng(4)
    root = tmp_path / "hospital"
    for n in range(N):
        bright = n % 2 == 1
        grey = 128 + (1 if bright else -1) * rng.normal(20, 25)
        # Two images of each patient.
        draw_grey(root / ("bright" if bright else "dark") / f"p{n // 4}-{n}.png", round(grey))
    return root


@pytest.fixture
def scored(make_bundle: MakeBundle, folder: Path, tmp_path: Path) -> tuple[Any, Manifest]:
    manifest = load_dataset(folder, positive="bright", patient=r"^(p\d+)-")
    return evaluate(make_bundle(), manifest, out=tmp_path / "out", n_bootstrap=60), manifest


def greys_of(manifest: Manifest) -> np.ndarray[Any, Any]:
    from PIL import Image

    return np.array([np.asarray(Image.open(r.path)).mean() for r in manifest.records])


def test_numbers_are_those_of_scikit_learn(scored: tuple[Any, Manifest]) -> None:
    evaluation, manifest = scored
    document = evaluation.document
    truth = manifest.label_array()[:, 0]
    chances = believed(greys_of(manifest))
    np.testing.assert_allclose(evaluation.probabilities[:, 0], chances, atol=1e-5)
    metrics = evaluation.metrics
    assert metrics["auroc"].value == pytest.approx(roc_auc_score(truth, chances))
    assert metrics["average_precision"].value == pytest.approx(
        average_precision_score(truth, chances)
    )
    assert metrics["brier"].value == pytest.approx(brier_score_loss(truth, chances), abs=1e-6)
    assert document.n == N
    assert document.patients == 10
    results = document.binary
    assert results is not None
    assert results.prevalence == pytest.approx(truth.mean())
    for name, threshold in (("balanced", 0.5), ("rule-out", 0.2), ("rule-in", 0.8)):
        point = results.operating_points[name]
        (tn, fp), (fn, tp) = confusion_matrix(truth, chances >= threshold)
        assert point.confusion == Confusion(tp=tp, fp=fp, tn=tn, fn=fn)
        assert point.threshold == threshold
        assert point.validation == evidence(threshold - 0.1, threshold + 0.1)
    for metric in metrics.values():
        if math.isfinite(metric.value) and math.isfinite(metric.low):
            assert metric.low <= metric.value <= metric.high


def test_what_is_written_is_what_is_returned(scored: tuple[Any, Manifest]) -> None:
    evaluation, manifest = scored
    text = (evaluation.folder / "evaluation.json").read_text(encoding="utf-8")
    values = json.loads(text)
    assert values == evaluation.document.to_json()
    assert "NaN" not in text
    assert values["schema"] == EvaluationDocument.SCHEMA
    assert values["dataset"] == {
        "name": "hospital",
        "split": "all",
        "hash": manifest.hash,
        "requested_hash": manifest.hash,
    }
    assert values["task"] == {"kind": "binary", "labels": ["bright"], "classes": ["dark", "bright"]}
    assert values["model"]["recipe"] == "brightness"
    assert values["left_out"] == []
    again = Evaluation.read(evaluation.folder)
    assert again.document.to_json() == values
    assert again.manifest.records == evaluation.manifest.records
    np.testing.assert_array_equal(again.probabilities, evaluation.probabilities)


def test_a_document_of_another_schema_is_refused(scored: tuple[Any, Manifest]) -> None:
    evaluation, _ = scored
    path = evaluation.folder / "evaluation.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for schema, remedy in ((1, "write it again"), (99, "upgrade plainfilm"), (None, "write it")):
        path.write_text(json.dumps({**values, "schema": schema}), encoding="utf-8")
        with pytest.raises(RunError, match="cannot read") as caught:
            Evaluation.read(evaluation.folder)
        assert remedy in str(caught.value.remedy)


def test_the_worst_are_wrong_at_the_locked_threshold(
    make_bundle: MakeBundle, folder: Path, tmp_path: Path
) -> None:
    manifest = load_dataset(folder, positive="bright")
    bundle = make_bundle(gains=(-1.0,), thresholds={"balanced": 0.684, "rule-in": 0.9})
    found = evaluate(bundle, manifest, out=tmp_path / "o", n_bootstrap=20)
    # `plainfilm predict` gives the predicted class; the distance is computed image by image.
    calls = [
        one.predicted["balanced"]
        for one in Predictor(bundle).predict([r.path for r in manifest.records])
    ]
    wrong = []
    for call, record, given in zip(calls, manifest.records, found.probabilities[:, 0], strict=True):
        p = float(given)
        if call != manifest.task.class_of(record.labels):
            wrong.append(((p - 0.684) / 0.316 if p >= 0.684 else (0.684 - p) / 0.684, record.id))
    wrong.sort(key=lambda pair: -pair[0])
    every = found.worst(1000)
    assert len(every) > 4
    assert [one.id for one in every] == [name for _, name in wrong]
    # Some probabilities above a half are no mistakes, and some below a half are none either.
    assert found.document.binary is not None
    point = found.document.binary.operating_points["balanced"].confusion
    assert len(every) == point.fp + point.fn
    assert [one.id for one in found.worst(3)] == [one.id for one in every[:3]]
    assert {(one.label, one.threshold) for one in every} == {("bright", 0.684)}
    assert found.worst(0) == ()


def test_correct_predictions_are_no_mistakes(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    for n in range(6):
        draw_grey(tmp_path / "d" / ("bright" if n % 2 else "dark") / f"{n}.png", 140 + 40 * (n % 2))
    manifest = load_dataset(tmp_path / "d", positive="bright")
    found = evaluate(
        make_bundle(thresholds={"balanced": 0.8}), manifest, out=tmp_path / "o", n_bootstrap=20
    )
    assert (found.probabilities > 0.5).all()
    assert found.worst() == ()


def test_mistakes_of_several_labels() -> None:
    task = Task("multilabel", ("a", "b"), ("a", "b"))
    nan = math.nan
    truth = np.array([[0, 1], [1, 0], [nan, nan], [0, 0], [nan, 1], [1, 1]], float)
    given = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.7, 0.1], [0.9, 0.3], [0.9, 0.5]])
    # b of row 0: (0.5 - 0.1) / 0.5 = 0.8; a of row 0: (0.9 - 0.8) / 0.2 = 0.5.
    both = rank_mistakes(truth, given, task, {"a": 0.8, "b": 0.5})
    assert both == [(1, 0), (0, 1), (4, 1)]  # 0.875, 0.8, 0.4; on the threshold is called
    assert rank_mistakes(truth, given, task, {"a": 0.8}) == [(1, 0), (0, 0)]
    assert rank_mistakes(truth, given, task, {}) == []
    assert rank_mistakes(
        np.array([[0.0]]), np.array([[1.0]]), Task("binary", ("a",), ("n", "a")), {"a": 1.0}
    ) == [(0, 0)]


def test_mistakes_of_several_classes() -> None:
    task = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [math.nan] * 3])
    given = np.array([[0.4, 0.35, 0.25], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [1, 0, 0]])
    # The first is right, although the true class got less than a half.
    assert rank_mistakes(truth, given, task, {"a": 0.1}) == [(2, 0), (1, 1)]


def test_predictions_have_one_row_per_image(scored: tuple[Any, Manifest]) -> None:
    evaluation, manifest = scored
    table = parquet.read_table(evaluation.folder / "predictions.parquet")
    rows = {row["id"]: row for row in table.to_pylist()}
    assert set(rows) == {r.id for r in manifest.records}
    for record, chance in zip(manifest.records, believed(greys_of(manifest)), strict=True):
        row = rows[record.id]
        assert row["probability_bright"] == pytest.approx(chance, abs=1e-5)
        assert row["label_bright"] == record.labels[0]
        assert row["patient"] == record.patient
    metadata = json.loads(table.schema.metadata[b"plainfilm"])
    assert metadata == {"schema": 2, "model": evaluation.document.model.id}


def test_the_histogram_holds_every_image(scored: tuple[Any, Manifest]) -> None:
    evaluation, manifest = scored
    shown = evaluation.document.labels["bright"].curves.scores
    truth = manifest.label_array()[:, 0]
    assert sum(shown.counts["bright"]) == truth.sum()
    assert sum(shown.counts["dark"]) == (1 - truth).sum()
    assert (shown.edges[0], shown.edges[-1]) == (0.0, 1.0)


def test_a_second_evaluation_is_equal(
    scored: tuple[Any, Manifest], make_bundle: MakeBundle, tmp_path: Path
) -> None:
    evaluation, manifest = scored
    again = evaluate(make_bundle(), manifest, out=tmp_path / "again", n_bootstrap=60)
    assert again.document.to_json() | {"created": ""} == evaluation.document.to_json() | {
        "created": ""
    }


def test_bad_files_are_left_out_and_listed(
    make_bundle: MakeBundle, folder: Path, tmp_path: Path
) -> None:
    files = sorted((folder / "bright").iterdir())
    files[0].write_bytes(files[0].read_bytes()[:50])
    files[1].write_text("no image", encoding="utf-8")
    evaluation = evaluate(
        make_bundle(), load_dataset(folder, positive="bright"), out=tmp_path / "o", n_bootstrap=20
    )
    assert evaluation.document.n == N - 2
    left_out = {row.id: row for row in evaluation.document.left_out}
    assert set(left_out) == {f"bright/{files[0].name}", f"bright/{files[1].name}"}
    assert all(row.reason and row.problem for row in left_out.values())
    assert len(evaluation.manifest) == len(evaluation.probabilities) == N - 2
    table = parquet.read_table(tmp_path / "o" / "predictions.parquet")
    assert table.num_rows == N - 2


def test_unreadable_files_only(make_bundle: MakeBundle, folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(SourceError, match="could be read"):
        evaluate(make_bundle(), load_dataset(folder, positive="bright"), out=tmp_path / "o")


def official(manifest: Manifest, splits: dict[int, str | None]) -> Manifest:
    records = tuple(
        replace(record, official=splits.get(n, "train"))
        for n, record in enumerate(manifest.records)
    )
    return replace(manifest, records=records)


def test_an_official_test_split_is_all_that_is_scored(folder: Path) -> None:
    manifest = load_dataset(folder, positive="bright")
    assert official_test(manifest) == manifest
    tested = official_test(official(manifest, {3: "test", 9: "test", 30: "test", 4: None}))
    assert [r.id for r in tested.records] == [manifest.records[i].id for i in (3, 9, 30)]


def test_a_folder_with_a_test_split(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    for n in range(16):
        place = root / ("train" if n < 8 else "test") / ("bright" if n % 2 else "dark")
        draw_grey(place / f"{n}.png", 60 + 10 * n)
    evaluation = evaluate(make_bundle(), root, out=tmp_path / "o", n_bootstrap=20)
    assert evaluation.document.n == 8
    assert evaluation.document.dataset.split == "test"
    assert all(record.official == "test" for record in evaluation.manifest.records)


def many(tmp_path: Path, draw_grey: Draw, names: tuple[str, ...]) -> Manifest:
    rng = np.random.default_rng(6)
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *names, "patient", "site"])
        for n in range(30):
            grey = int(rng.integers(40, 216))
            draw_grey(tmp_path / "i" / f"{n}.png", grey)
            cells = [int(grey + rng.normal(0, 30) > 128), int(grey + rng.normal(0, 30) < 128), ""]
            cells = [
                "" if rng.random() < 0.2 else cells[0],
                "" if rng.random() < 0.2 else cells[1],
            ]
            writer.writerow([f"i/{n}.png", *cells, f"p{n}", "north" if n % 2 else "south"])
    return load_dataset(tmp_path / "table.csv", labels=list(names))


def test_several_labels_with_unknown_ones(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    manifest = many(tmp_path, draw_grey, ("light", "shade"))
    task = Task("multilabel", ("light", "shade"), ("light", "shade"))
    bundle = make_bundle(task=task, gains=(1.0, -2.0))
    evaluation = evaluate(bundle, manifest, out=tmp_path / "o", n_bootstrap=30)
    truth = manifest.label_array()
    assert np.isnan(truth).any()
    greys = greys_of(manifest)
    areas = []
    for column, (name, gain) in enumerate((("light", 1.0), ("shade", -2.0))):
        known = ~np.isnan(truth[:, column])
        chances = believed(greys, gain)
        section = evaluation.document.labels[name]
        areas.append(roc_auc_score(truth[known, column], chances[known]))
        assert section.metrics["auroc"].value == pytest.approx(areas[-1])
        assert section.n + section.unknown == 30
        assert section.unknown == (~known).sum()
        assert section.operating_points["balanced"].validation == evidence(0.4, 0.6)
        shown = section.curves.scores.counts
        assert sum(map(sum, shown.values())) == known.sum()
    assert evaluation.metrics["auroc"].value == pytest.approx(np.mean(areas))
    table = parquet.read_table(tmp_path / "o" / "predictions.parquet").to_pylist()
    for row, record in zip(table, manifest.records, strict=True):
        assert row["site"] == record.columns["site"]
        for name, value in zip(("light", "shade"), record.labels, strict=True):
            kept = row[f"label_{name}"]
            assert kept == value or (math.isnan(kept) and math.isnan(value))


def test_labels_are_matched_by_name_and_not_by_position(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    manifest = many(tmp_path, draw_grey, ("Shade", "LIGHT"))
    task = Task("multilabel", ("light", "shade"), ("light", "shade"))
    aligned = align(manifest, task)
    assert aligned.task == task
    np.testing.assert_array_equal(aligned.label_array(), manifest.label_array()[:, ::-1])
    assert [r.id for r in aligned.records] == [r.id for r in manifest.records]


def test_another_task_is_refused(make_bundle: MakeBundle, folder: Path, tmp_path: Path) -> None:
    manifest = load_dataset(folder, positive="bright")
    task = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))
    with pytest.raises(LabelError, match="are not those of the bundle") as caught:
        evaluate(make_bundle(task=task), manifest, out=tmp_path / "o")
    assert "PNEUMONIA" in str(caught.value)
    assert "dark" in str(caught.value)
    assert not (tmp_path / "o").exists()


def test_the_bundle_says_which_class_is_the_positive_one(folder: Path) -> None:
    task = Task("binary", ("bright",), ("dark", "bright"))
    expected = load_dataset(folder, positive="bright")
    other = load_dataset(folder, positive="dark")
    assert other.task.labels == ("dark",)
    turned = align(other, task)
    assert turned.task == task
    np.testing.assert_array_equal(turned.label_array(), expected.label_array())
    assert align(expected, task) == expected
    unknown = replace(other, records=(replace(other.records[0], labels=(math.nan,)),))
    assert np.isnan(align(unknown, task).label_array()).all()


def test_a_bundle_alone_needs_data_and_a_place(make_bundle: MakeBundle, folder: Path) -> None:
    bundle = make_bundle()
    with pytest.raises(UsageError, match="no images to be evaluated on"):
        evaluate(bundle)
    with pytest.raises(UsageError, match="no folder"):
        evaluate(bundle.folder, load_dataset(folder, positive="bright"))


def test_another_evaluation_is_not_overwritten(
    make_bundle: MakeBundle, folder: Path, tmp_path: Path
) -> None:
    bundle, out = make_bundle(), tmp_path / "o"
    bad = sorted((folder / "bright").iterdir())[0]
    bad.write_bytes(b"no image")  # what is asked for counts, not what could be read
    manifest = load_dataset(folder, positive="bright")
    first = evaluate(bundle, manifest, out=out, n_bootstrap=20)
    assert first.document.left_out
    assert evaluate(bundle, manifest, out=out, n_bootstrap=20).document.n == first.document.n

    before = (out / "evaluation.json").read_bytes()
    fewer = replace(manifest, records=manifest.records[1:])
    with pytest.raises(UsageError, match="would be lost") as caught:
        evaluate(bundle, fewer, out=out)
    assert "other images" in str(caught.value.received)
    with pytest.raises(UsageError, match="would be lost") as caught:
        evaluate(make_bundle(gains=(2.0,)), manifest, out=out)
    assert "another model" in str(caught.value.received)
    assert (out / "evaluation.json").read_bytes() == before
    (out / "evaluation.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="would be lost"):
        evaluate(bundle, manifest, out=out)


def test_other_files_are_not_overwritten(
    make_bundle: MakeBundle, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").touch()
    with pytest.raises(UsageError, match="holds other files") as caught:
        evaluate(make_bundle(), folder, out=tmp_path / "run")
    assert caught.value.received == "plan.json"


def test_a_file_in_the_way_is_noticed_before_scoring(
    make_bundle: MakeBundle, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "o").write_bytes(b"")

    def forbidden(stage: str, done: int, total: int, note: str = "") -> None:
        raise AssertionError(stage)

    with pytest.raises(StorageError, match="in the way"):
        evaluate(
            make_bundle(),
            load_dataset(folder, positive="bright"),
            out=tmp_path / "o",
            progress=forbidden,
        )


def test_a_changed_bundle_is_not_evaluated(
    make_bundle: MakeBundle, folder: Path, tmp_path: Path
) -> None:
    bundle = make_bundle()
    bundle.weights.write_bytes(b"other")
    with pytest.raises(BundleError, match="changed"):
        evaluate(bundle.folder, folder, out=tmp_path / "o")


def test_images_that_were_trained_on_are_a_finding(
    tiny_run: Run, phantoms: Path, tmp_path: Path
) -> None:
    seen = evaluate(tiny_run.folder, phantoms / "train", out=tmp_path / "train", n_bootstrap=20)
    found = [f for f in seen.manifest.findings if f.check == "training-overlap"]
    assert [f.severity for f in found] == ["serious"]
    made_from = sum(r.split != "test" for r in tiny_run.manifest.records)
    overlap = seen.document.overlap
    assert overlap is not None and overlap.identical == made_from
    assert found[0].count == overlap.images  # with further images of the same patients
    fresh = evaluate(tiny_run.folder, out=tmp_path / "test", n_bootstrap=20)
    assert "training-overlap" not in {f.check for f in fresh.manifest.findings}


def test_moved_images_of_a_run_are_found(
    scored: tuple[Any, Manifest], folder: Path, tmp_path: Path
) -> None:
    manifest = load_dataset(folder)
    moved = folder.rename(tmp_path / "moved")
    found = relocate(manifest, moved)
    assert [Path(record.path) for record in found.records] == [
        moved / record.id for record in manifest.records
    ]
    assert found.hash == manifest.hash
    prefixed = replace(
        manifest, records=tuple(replace(r, id=f"a/{r.id}") for r in manifest.records)
    )
    assert [r.path for r in relocate(prefixed, moved).records] == [r.path for r in found.records]
    with pytest.raises(SourceError, match="none of the images"):
        relocate(manifest, tmp_path)


def test_images_that_are_gone(make_bundle: MakeBundle, folder: Path, tmp_path: Path) -> None:
    manifest = load_dataset(folder, positive="bright")
    folder.rename(tmp_path / "moved")
    with pytest.raises(SourceError, match="not where they were") as caught:
        evaluate(make_bundle(), manifest, out=tmp_path / "o")
    assert "images=" in str(caught.value.remedy)
    with pytest.raises(UsageError, match="images of the run"):
        evaluate(make_bundle(), manifest, images=tmp_path / "moved", out=tmp_path / "o")
