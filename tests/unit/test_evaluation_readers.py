"""Human readers: their tables, their results, the model against them, and what is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference
from statsmodels.stats import inter_rater
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from plainfilm import add_readers, metrics
from plainfilm._json import from_json, to_json
from plainfilm.cli.main import main
from plainfilm.cli.readers import describe_readers as text_of
from plainfilm.errors import MetricError, SourceError, UsageError
from plainfilm.evaluation import Evaluation, EvaluationDocument
from plainfilm.evaluation.document.readers import LabelReaders, Readers
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.readers import describe_readers
from plainfilm.evaluation.reads import Reads, load_reads
from plainfilm.records import Task
from plainfilm.report.html.page import Plot
from plainfilm.report.html.table import Table as HtmlTable
from plainfilm.report.sections.readers import readers_section

TASK = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))
THREE = Task("multiclass", ("a", "b", "c"), ("a", "b", "c"))
BOTH = Task("multilabel", ("Effusion", "Mass"), ("Effusion", "Mass"))
IDS = tuple(f"set/{folder}/x{n}.png" for n, folder in enumerate(["ill", "well"] * 3))
Table = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def write(text: str, name: str = "readers.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def values_of(reads: Reads, reader: str, modality: str = "") -> list[float | None]:
    own = reads.values[reads.modalities.index(modality), reads.readers.index(reader)]
    return [None if math.isnan(value) else float(value) for value in own]


def test_a_column_for_each_reader_with_calls_as_classes_words_and_numbers(table: Table) -> None:
    text = "file,reader_1,reader_2,row,rx\nx0.png,PNEUMONIA,1,5,0\nx1,normal,no,6,0\nx3,,yes,7,1\n"
    found, unmatched = load_reads([table(text)], IDS, TASK)
    reads = found["PNEUMONIA"]
    assert (reads.kind, reads.readers, unmatched) == ("calls", ("reader_1", "reader_2"), 0)
    assert values_of(reads, "reader_1") == [1, 0, None, None, None, None]
    assert values_of(reads, "reader_2") == [1, 0, None, 1, None, None]


def test_ratings_are_numbers_of_which_some_are_not_calls(table: Table) -> None:
    text = "id;A;B\nset/ill/x0.png;4;100\nset/well/x1.png;1,5;0\nelsewhere.png;2;3\n"
    found, unmatched = load_reads([table(text)], IDS, TASK, columns=["A", "B"])
    assert found["PNEUMONIA"].kind == "ratings"
    assert values_of(found["PNEUMONIA"], "A")[:2] == [4, 1.5]
    assert unmatched == 2


def test_a_row_for_each_read_with_a_modality(table: Table) -> None:
    rows = ["image,reader,modality,call"]
    rows += [f"x{n},{who},{how},{n % 2}" for n in range(4) for who in "PQ" for how in ("off", "on")]
    found, _ = load_reads([table("\n".join(rows))], IDS, TASK)
    reads = found["PNEUMONIA"]
    assert (reads.readers, reads.modalities) == (("P", "Q"), ("off", "on"))
    assert values_of(reads, "Q", "on") == [0, 1, 0, 1, None, None]
    chosen, _ = load_reads([table("\n".join(rows))], IDS, TASK, columns=["Q"])
    assert chosen["PNEUMONIA"].readers == ("Q",)


def test_a_modality_of_the_images_is_not_a_way_of_reading(table: Table) -> None:
    text = "image,reader,modality,call\nx0,P,CR,1\nx1,P,DX,0\nx0,Q,CR,1\nx1,Q,DX,0\n"
    found, _ = load_reads([table(text)], IDS, TASK)
    assert found["PNEUMONIA"].modalities == ("",)


def test_two_tables_are_two_modalities(table: Table) -> None:
    text = "id,R1,R2\nx0,1,0\nx1,0,0\n"
    paths = [table(text, "alone.csv"), table(text, "with_model.csv")]
    found, _ = load_reads(paths, IDS, TASK)
    assert found["PNEUMONIA"].modalities == ("alone", "with_model")
    both = table("id,reader,modality,call\nx0,R1,a,1\nx0,R1,b,1\n", "both.csv")
    with pytest.raises(UsageError, match="two tables and by a column"):
        load_reads([both, paths[0]], IDS, TASK)


def test_several_labels(table: Table) -> None:
    text = "id,reader,effusion,mass\nx0,R1,1,0\nx0,R2,1,\nx1,R1,0,5\nx1,R2,0,2\n"
    found, _ = load_reads([table(text)], IDS, BOTH)
    assert {label: reads.kind for label, reads in found.items()} == {
        "Effusion": "calls", "Mass": "ratings",
    }  # fmt: skip
    assert values_of(found["Mass"], "R2")[:2] == [None, 2]
    classes = "id,R1\nx0,a\nx1,b\nx2,c\nx3,\n"
    found, _ = load_reads([table(classes)], IDS, THREE)
    assert [*found] == ["a", "b", "c"]
    assert values_of(found["b"], "R1")[:4] == [0, 1, 0, None]


@pytest.mark.parametrize(
    ("text", "task", "error", "words"),
    [
        ("id,R1\nx0,maybe so\n", TASK, SourceError, "neither positive nor negative"),
        ("id,R1\nx0,d\n", THREE, SourceError, "not a class of the task"),
        ("id,R1\ny0,1\n", TASK, SourceError, "no column with the images"),
        ("id,Anna,Bela\nx0,1,1\n", TASK, UsageError, "are not named"),
        ("id,R1\nx0,1\n", BOTH, UsageError, "the calls of one label"),
        ("id,reader,call\nx0,P,1\nx0,P,0\n", TASK, SourceError, "read an image twice"),
        ("id,reader,age\nx0,P,1\nx0,Q,0\n", TASK, UsageError, "no column of the calls"),
    ],
)
def test_tables_that_cannot_be_used(
    table: Table, text: str, task: Task, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        load_reads([table(text)], IDS, task)


def test_names_of_readers_must_exist(table: Table) -> None:
    with pytest.raises(UsageError, match="no column of the reader 'Z'"):
        load_reads([table("id,R1\nx0,1\n")], IDS, TASK, columns=["Z"])
    long = "id,reader,call\nx0,P,1\nx0,Q,0\n"
    with pytest.raises(UsageError, match="no reader 'Z'"):
        load_reads([table(long)], IDS, TASK, columns=["Z"])


def columns_of(**readers: list[object]) -> str:
    """Return a table with a column for each reader."""
    rows = zip(*readers.values(), strict=True)
    lines = [",".join([f"x{n}", *map(str, row)]) for n, row in enumerate(rows)]
    return "\n".join([",".join(["id", *readers]), *lines])


def test_readers_who_call_and_readers_who_rate_are_not_mixed(table: Table) -> None:
    calls, ratings = [0, 1, 1, 0, 1], [1, 5, 4, 2, 3]
    ids = [f"x{n}" for n in range(5)]
    path = table(columns_of(R1=calls, R2=ratings, R3=calls))
    with pytest.raises(SourceError, match="some readers of PNEUMONIA give calls") as caught:
        load_reads([path], ids, TASK)
    assert "only 1 and 0: R1, R3; other numbers: R2" in str(caught.value)
    found, _ = load_reads([path], ids, TASK, columns=["R1", "R3"])
    assert found["PNEUMONIA"].kind == "calls"
    # A reader who gave one rating only does not show which kind it is.
    path = table(columns_of(R1=[1, 1, "", "", ""], R2=ratings))
    assert load_reads([path], ids, TASK)[0]["PNEUMONIA"].kind == "ratings"


def test_a_single_wrong_cell_among_calls_is_named(table: Table) -> None:
    ids, calls = [f"x{n}" for n in range(40)], [0, 1] * 20
    wrong: list[object] = [*calls[:7], 2, *calls[8:]]
    with pytest.raises(SourceError, match="nearly all reads of PNEUMONIA are calls") as caught:
        load_reads([table(columns_of(R1=calls, R2=wrong))], ids, TASK)
    assert "2 of R2 for x7; 1 of 40 cells" in str(caught.value)
    # Rare high ratings are ratings where another reader shows that the scale is longer.
    longer = [n % 5 for n in range(40)]
    found, _ = load_reads([table(columns_of(R1=longer, R2=wrong))], ids, TASK)
    assert found["PNEUMONIA"].kind == "ratings"


def test_repeated_reads_are_counted_by_image(table: Table) -> None:
    text = columns_of(R1=[0, 1, 1], R2=[1, 1, 0]) + "\nx0,0,1\nx1,1,1\n"
    with pytest.raises(SourceError, match=r"2 images such as x0, 2 readers: R1, R2"):
        load_reads([table(text)], ["x0", "x1", "x2"], TASK)
    path = table(columns_of(R1=[0, 1, 1]))
    with pytest.raises(UsageError, match="two tables of readers have the same name"):
        load_reads([path, path], ["x0", "x1", "x2"], TASK)


def study(
    *, readers: int = 4, patients: int = 80, each: int = 1, modalities: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Draw labels, scores of a model, and calls of readers of the same images."""
    rng = np.random.default_rng(seed)
    n = patients * each
    own = np.repeat(rng.normal(size=patients), each)
    y_true = (own + rng.normal(size=n) > 0.3).astype(float)
    signal = 1.5 * y_true + 0.5 * own
    score = 1 / (1 + np.exp(-(signal - 1 + 0.8 * rng.normal(size=n))))
    ratings = np.stack([
        signal + 0.4 * m + 0.2 * rng.normal(size=(readers, 1)) + rng.normal(size=(readers, n))
        for m in range(modalities)
    ])  # fmt: skip
    return {
        "y_true": y_true,
        "score": score,
        "ratings": np.clip(np.round(2 * ratings + 2), 0, 8),
        "patients": np.repeat([f"p{k}" for k in range(patients)], each),
    }


def describe_drawn(
    drawn: dict[str, Any], *, ratings: bool = False, threshold: float | None = None, **more: Any
) -> LabelReaders:
    values = drawn["ratings"]
    if not ratings:
        values = np.where(np.isnan(values), np.nan, values >= 4)
    modalities = tuple("ab"[: len(values)]) if len(values) > 1 else ("",)
    names = tuple(f"R{k + 1}" for k in range(values.shape[1]))
    kind: Any = "ratings" if ratings else "calls"
    found = describe_readers(
        TASK,
        drawn["y_true"][:, None],
        drawn["score"][:, None],
        [*drawn["patients"]],
        {"PNEUMONIA": 0.5},
        {"PNEUMONIA": Reads(kind, modalities, names, values)},
        source=["readers"],
        reader_threshold=threshold,
        n_bootstrap=more.pop("n_bootstrap", 60),
    )
    return found.labels["PNEUMONIA"]


def test_numbers_of_calls_are_those_of_other_libraries() -> None:
    drawn = study()
    found = describe_drawn(drawn)
    y, calls, model = drawn["y_true"], drawn["ratings"][0] >= 4, drawn["score"] >= 0.5
    for own, row in zip(found.readers, calls, strict=True):
        assert own.metrics["sensitivity"].value == pytest.approx(reference.recall_score(y, row))
        assert own.metrics["specificity"].value == pytest.approx(
            reference.recall_score(1 - y, 1 - row.astype(int))
        )
        assert own.kappa is not None and own.ac1 is not None
        assert own.kappa.value == pytest.approx(reference.cohen_kappa_score(row, model))
        test = own.against["sensitivity"]
        ill = y == 1
        assert test.difference.value == pytest.approx(model[ill].mean() - row[ill].mean())
        counts = [
            [int((row[ill] & model[ill]).sum()), int((row[ill] & ~model[ill]).sum())],
            [int((~row[ill] & model[ill]).sum()), int((~row[ill] & ~model[ill]).sum())],
        ]
        exact = mcnemar(counts, exact=True).pvalue
        b, c = counts[0][1], counts[1][0]
        mid = exact - stats.binom.pmf(min(b, c), b + c, 0.5) if b != c else test.p
        assert test.p == pytest.approx(mid)
    tests = [test for own in found.readers for test in own.against.values()]
    assert found.tests == 8
    assert [test.p_adjusted for test in tests] == pytest.approx(
        list(multipletests([test.p for test in tests], method="holm")[1])
    )
    [modality] = found.modalities
    assert modality.agreement is not None
    fleiss = inter_rater.fleiss_kappa(inter_rater.aggregate_raters(calls.T)[0])
    assert modality.agreement.kappa.value == pytest.approx(fleiss)
    mean = modality.mean["sensitivity"]
    assert mean.mean.value == pytest.approx(
        np.mean([own.metrics["sensitivity"].value for own in found.readers])
    )
    assert mean.difference.value == pytest.approx(model[y == 1].mean() - mean.mean.value)
    assert mean.model == pytest.approx(model[y == 1].mean())
    assert found.auroc.value == pytest.approx(reference.roc_auc_score(y, drawn["score"]))


def test_sensitivity_at_the_specificity_of_a_reader_is_read_from_the_roc_curve() -> None:
    drawn = study(seed=3)
    found = describe_drawn(drawn)
    y = drawn["y_true"]
    fpr, tpr, _ = reference.roc_curve(y, drawn["score"], drop_intermediate=False)
    for own, row in zip(found.readers, drawn["ratings"][0] >= 4, strict=True):
        at = 1 - reference.recall_score(1 - y, 1 - row.astype(int))
        right = np.searchsorted(fpr, at + 1e-9, side="right")
        expected = tpr[right - 1]
        if right < len(fpr) and fpr[right - 1] < at - 1e-9:
            share = (at - fpr[right - 1]) / (fpr[right] - fpr[right - 1])
            expected += share * (tpr[right] - tpr[right - 1])
        assert own.at_specificity is not None
        assert own.at_specificity.value == pytest.approx(
            expected - reference.recall_score(y, row), abs=1e-9
        )
        assert own.at_specificity.low <= own.at_specificity.value <= own.at_specificity.high


@pytest.mark.parametrize("each", [1, 2])
def test_ratings_have_areas_and_the_published_test_of_their_mean(each: int) -> None:
    drawn = study(each=each, patients=60, seed=1)
    found = describe_drawn(drawn, ratings=True)
    y, rows = drawn["y_true"], drawn["ratings"][0]
    patients = drawn["patients"] if each > 1 else None
    values, covariance = metrics.reader_covariance(
        "auroc", y, np.vstack([rows, drawn["score"]]), patients
    )
    expected = metrics.compare_with_model(values[:4], values[4], covariance, median_unbiased=True)
    mean = found.modalities[0].mean["auroc"]
    assert mean.difference.low == pytest.approx(expected.difference.low)
    assert mean.p == pytest.approx(expected.p)
    assert mean.freedom == pytest.approx(expected.freedom)
    for own, row in zip(found.readers, rows, strict=True):
        assert own.metrics["auroc"].value == pytest.approx(reference.roc_auc_score(y, row))
        test = metrics.delong_test(y, row, drawn["score"], patients)
        assert own.against["auroc"].p == pytest.approx(test.p)
        assert own.kappa is None and own.at_specificity is None
    assert found.modalities[0].agreement is None
    assert any("without a threshold" in note for note in found.notes)
    both = describe_drawn(drawn, ratings=True, threshold=4)
    assert set(both.readers[0].metrics) == {"auroc", "sensitivity", "specificity"}
    calls = describe_drawn(drawn)
    assert both.readers[0].metrics["sensitivity"] == calls.readers[0].metrics["sensitivity"]


def test_two_modalities_give_the_difference_of_the_published_test() -> None:
    drawn = study(modalities=2, readers=3, seed=2)
    found = describe_drawn(drawn, ratings=True)
    values, covariance = metrics.reader_covariance(
        "auroc", drawn["y_true"], drawn["ratings"].reshape(6, -1)
    )
    [expected] = metrics.compare_modalities(
        values.reshape(2, 3), covariance, median_unbiased=True
    ).differences
    [own] = found.differences
    assert (own.first, own.second, own.metric) == ("a", "b", "auroc")
    assert own.difference.low == pytest.approx(expected.difference.low)
    assert own.p == pytest.approx(expected.p)
    assert [(one.reader, one.modality) for one in found.readers][:2] == [("R1", "a"), ("R2", "a")]


def test_missing_reads_compare_the_model_on_the_same_images() -> None:
    drawn = study(readers=3, seed=4)
    holes = np.random.default_rng(8).random(drawn["ratings"].shape) < 0.3
    drawn["ratings"][holes] = math.nan
    drawn["y_true"][:3] = math.nan
    found = describe_drawn(drawn)
    y, model = drawn["y_true"], drawn["score"] >= 0.5
    shares = []
    for own, row in zip(found.readers, drawn["ratings"][0], strict=True):
        ill = (y == 1) & ~np.isnan(row)
        assert own.positives == ill.sum()
        assert own.images == (~np.isnan(y) & ~np.isnan(row)).sum()
        shares.append(model[ill].mean())
        assert own.against["sensitivity"].model.value == pytest.approx(shares[-1])
    mean = found.modalities[0].mean["sensitivity"]
    assert mean.model == pytest.approx(np.mean(shares))
    gaps = [own.against["sensitivity"].difference.value for own in found.readers]
    assert mean.difference.value == pytest.approx(np.mean(gaps))


def test_one_reader_and_one_class_leave_out_what_needs_more() -> None:
    drawn = study(readers=1)
    alone = describe_drawn(drawn)
    assert alone.modalities[0].mean == {} and alone.modalities[0].agreement is None
    assert any("two readers" in note for note in alone.notes)
    drawn = study(readers=2)
    drawn["y_true"][:] = 1
    found = describe_drawn(drawn)
    assert math.isnan(found.readers[0].metrics["specificity"].value)
    assert found.readers[0].against["specificity"].p is None
    assert "specificity" not in found.modalities[0].mean


def test_readers_of_several_classes_are_compared_with_the_most_probable_class() -> None:
    rng = np.random.default_rng(5)
    truth, scores = rng.integers(0, 3, 60), rng.random((60, 3))
    reads = np.where(rng.random((2, 60)) < 0.3, (truth + 1) % 3, truth)
    found = describe_readers(
        THREE, np.eye(3)[truth], scores, [f"p{n}" for n in range(60)], {},
        {label: Reads("calls", ("",), ("R1", "R2"), (reads == k)[None].astype(float))
         for k, label in enumerate("abc")},
        source=["readers"], n_bootstrap=30,
    )  # fmt: skip
    top = scores.argmax(axis=1)
    recalls = reference.recall_score(truth, top, average=None)
    for k, label in enumerate("abc"):
        own = found.labels[label]
        assert own.modalities[0].mean["sensitivity"].model == pytest.approx(recalls[k])
        kappa = reference.cohen_kappa_score(reads[0] == k, top == k)
        assert own.readers[0].kappa is not None
        assert own.readers[0].kappa.value == pytest.approx(kappa)
        assert own.model_threshold is None
        assert [note for note in own.notes if "operating point" in note] == []
        assert "most probable class" in own.notes[0]


def test_a_mean_without_interval_gives_the_reason(evaluation: Evaluation) -> None:
    drawn = study(readers=2)
    drawn["ratings"][:] = np.where(drawn["y_true"] == 1, 8, 0)
    drawn["score"] = np.where(drawn["y_true"] == 1, 0.9, 0.1)
    found = Readers(("r",), 0, {"PNEUMONIA": describe_drawn(drawn)})
    why = "the readers' results do not vary"
    expected = f"model less the mean of readers, specificity: +0.000 (no limits: {why})"
    assert expected in text_of(found)
    section = readers_section(replace(evaluation.document, readers=found))
    assert section is not None
    text = "".join(part for part in section.parts if isinstance(part, str))
    assert "specificity +0.0 points (no interval: the readers" in text


def test_the_document_is_read_as_it_was_written() -> None:
    found = Readers(("readers",), 3, {"PNEUMONIA": describe_drawn(study(modalities=2))})
    assert to_json(from_json(Readers, to_json(found), "readers")) == to_json(found)


def test_calls_that_are_not_calls_are_refused() -> None:
    with pytest.raises(MetricError, match="calls must be 1 or 0"):
        metrics.difference_at_specificity([0, 1], [0.5, 1], [0.1, 0.2])
    missing = metrics.difference_at_specificity([1, 1], [0, 1], [0.1, 0.2])
    assert missing.reason == "one class is missing"


@pytest.fixture
def evaluation(make_document: Callable[..., EvaluationDocument], tmp_path: Path) -> Evaluation:
    """Return an evaluation of a table of predictions on 60 images of 30 patients."""
    drawn = study(patients=30, each=2, seed=6)
    document = make_document(TASK, n=60)
    document = replace(document, model=replace(document.model, kind="predictions"))
    columns = {"labels": drawn["y_true"], "probabilities": drawn["score"]}
    arrays = {name: own[:, None].astype(np.float32) for name, own in columns.items()}
    ids = [f"x{n}.png" for n in range(60)]
    found = Evaluation(
        tmp_path / "e", document, Predictions(TASK, ids, [*drawn["patients"]], **arrays)
    )
    found.folder.mkdir()
    found.write()
    return found


def calls_of(evaluation: Evaluation, readers: int = 3) -> str:
    """Return a table of calls of readers, 1 in 6 wrong."""
    rng = np.random.default_rng(3)
    labels = evaluation.predictions.labels[:, 0]
    calls = np.where(rng.random((readers, 60)) < 1 / 6, 1 - labels, labels).astype(int)
    head = ",".join(["id", *(f"reader_{k + 1}" for k in range(readers))])
    rows = [f"x{n},{','.join(map(str, calls[:, n]))}" for n in range(60)]
    return "\n".join([head, *rows])


def test_readers_are_added_to_an_evaluation(evaluation: Evaluation, table: Table) -> None:
    found = add_readers(evaluation.folder, table(calls_of(evaluation)), n_bootstrap=30)
    assert found.document.readers is not None
    own = found.document.readers.labels["PNEUMONIA"]
    assert (own.images, own.patients, len(own.readers)) == (60, 30, 3)
    assert "patients" in own.readers[0].against["specificity"].test
    again = Evaluation.read(evaluation.folder).document.readers
    assert to_json(again) == to_json(found.document.readers)
    chosen = add_readers(
        evaluation, table(calls_of(evaluation)), reader_columns=["reader_2"], n_bootstrap=30
    )
    assert chosen.document.readers is not None
    assert [one.reader for one in chosen.document.readers.labels["PNEUMONIA"].readers] == [
        "reader_2"
    ]


@pytest.mark.parametrize("how", ["calls", "ratings", "both"])
def test_the_report_shows_each_reader_and_the_mean(evaluation: Evaluation, how: str) -> None:
    drawn = study(readers=3, modalities=2)
    own = describe_drawn(drawn, ratings=how != "calls", threshold=4 if how == "both" else None)
    found = replace(evaluation.document, readers=Readers(("r",), 1, {"PNEUMONIA": own}))
    section = readers_section(found)
    assert section is not None
    text = "".join(part for part in section.parts if isinstance(part, str))
    assert "3 readers judged 80 images of 80 patients." in text
    assert "1 read is of images that are not in this evaluation" in text
    mean = own.modalities[0].mean["auroc" if how == "ratings" else "sensitivity"]
    gap = mean.difference.value
    shown = f"{gap:+.3f} (" if how == "ratings" else f"{100 * gap:+.1f} points ("
    assert shown.replace("-", "−") in text
    assert ("kappa" in text) == (how != "ratings")
    tables = {part.name: part for part in section.parts if isinstance(part, HtmlTable)}
    assert [*tables] == ["readers", "readers_against", "readers_mean"]
    assert len(tables["readers"].rows) == len(tables["readers_against"].rows) == 6
    html = tables["readers_against"].to_html()
    assert f"adjusted for {own.tests} tests" in html
    [plot] = [part for part in section.parts if isinstance(part, Plot)]
    words = "curves of their ratings" if how == "ratings" else "95% confidence intervals"
    assert words in plot.caption and plot.drawing.png.startswith(b"\x89PNG")
    lines = text_of(Readers(("r",), 1, {"PNEUMONIA": own}))
    assert lines[0] == "3 readers of PNEUMONIA: 80 images of 80 patients"
    assert any(line.startswith("readers b less a, mean ") for line in lines)
    assert f"{mean.difference.value:+.3f}" in "\n".join(lines)


def test_the_command_takes_readers_of_one_data_set(
    make_bundle: Any, tmp_path: Path, draw_grey: Any, table: Table,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data = tmp_path / "hospital"
    for folder, levels in (("dark", range(20, 32)), ("bright", range(200, 212))):
        (data / folder).mkdir(parents=True)
        for n, level in enumerate(levels):
            draw_grey(data / folder / f"{folder}{n}.png", level)
    rows = ["file,R1,R2"]
    rows += [f"{folder}{n}.png,{folder},{'bright' if n % 3 else folder}"
             for folder in ("dark", "bright") for n in range(12)]  # fmt: skip
    asked = ["evaluate", str(make_bundle().folder), str(data), "--no-robustness"]
    scores = ["id,label,score"]
    scores += [f"{folder}{n}.png,{folder},{n / 30 + 0.4 * (folder == 'bright')}"
               for folder in ("dark", "bright") for n in range(12)]  # fmt: skip
    out = tmp_path / "evaluation"
    readers = ["--readers", str(table("\n".join(rows)))]
    assert main([*asked, "--out", str(out), *readers]) == 0
    output = capsys.readouterr().out
    assert "2 readers of bright: 24 images of 24 patients" in output
    assert "model less the mean of readers, sensitivity" in output
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Human readers" in page
    predictions = str(table("\n".join(scores), "scores.csv"))
    by_table = ["evaluate", "--predictions", predictions, "--positive", "bright"]
    assert main([*by_table, "--threshold", "0.4", "--out", str(tmp_path / "t"), *readers]) == 0
    assert "2 readers of bright: 24 images of 24 patients" in capsys.readouterr().out
    twice = [*asked[:3], *asked[2:], "--out", str(tmp_path / "two"), *readers]
    assert main(twice) == 2
    assert "for one data set" in capsys.readouterr().err
    assert main([*asked, "--out", str(out), "--reader-columns", "R1"]) == 2
    assert "needs a table of readers" in capsys.readouterr().err
