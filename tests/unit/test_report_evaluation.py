"""Sections, checklists, flow diagram, model card and CSV tables of the report."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locked_points import evidence
from plainfilm.bundle import Bundle, BundleMetadata, Provenance
from plainfilm.bundle.card import front_matter, model_card
from plainfilm.data import LeftOut, Manifest
from plainfilm.data.counts import Counts
from plainfilm.errors import MissingExtraError, UsageError
from plainfilm.evaluation import Evaluation, EvaluationDocument, evaluate
from plainfilm.evaluation.document import ExternalDocument
from plainfilm.evaluation.document.analyses import FirstDrop, Rejection
from plainfilm.evaluation.document.evaluation import LeftOutImage
from plainfilm.evaluation.document.several import ExternalRow
from plainfilm.metrics import Interval
from plainfilm.records import LockedPoint, OperatingPoint, PixelSpec, Record, Task
from plainfilm.report import ReportContent, build_report, print_pdf
from plainfilm.report.figures.flow import flow_figure
from plainfilm.report.file_counts import count_files, describe_counts
from plainfilm.report.html.table import Row, Table, number_cell, write_tables
from plainfilm.report.model_card import write_model_card
from plainfilm.report.sections.analyses import rejection_section
from plainfilm.report.sections.caveats import write_caveats
from plainfilm.report.sections.checklist import CHECKLISTS, collect_evidence, read_checklist
from plainfilm.report.wording import METRICS

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
TASK = Task("binary", ("ill",), ("well", "ill"))
REJECTION = Rejection(
    threshold=1.0,
    rule="x",
    rejected=2,
    rejected_ids=(),
    indeterminate={"ill": 3},
    indeterminate_ranges={},
    all={},
    accepted={},
    decided={},
    novelty=None,
)


@pytest.fixture
def scored(make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path) -> Evaluation:
    """Evaluate a model of brightness on images of two sites; it fails at one site."""
    rng = np.random.default_rng(3)
    rows = ["path,label,site,age"]
    for n in range(160):
        bright, far = n % 2, (n // 2) % 2
        grey = 128 + (40 if bright else -40) * (-1 if far else 1) * (0.3 if far else 1)
        draw_grey(tmp_path / "i" / f"{n}.png", float(np.clip(grey + rng.normal(0, 20), 2, 250)))
        rows.append(f"i/{n}.png,{'bright' if bright else 'dark'},{'far' if far else 'near'},{n}")
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    from plainfilm.data import load_dataset

    manifest = load_dataset(tmp_path / "t.csv", labels="label", positive="bright")
    return evaluate(make_bundle(), manifest, out=tmp_path / "e", n_bootstrap=300, workers=0)


def content_of(scored: Evaluation, **more: Any) -> ReportContent:
    files = count_files(scored.manifest, scored.document, whole=False)
    return ReportContent(evaluation=scored.document, files=files, **more)


def external(scored: Evaluation, low: float, high: float) -> ExternalDocument:
    names = ("auroc", "sensitivity", "specificity", "brier")

    def metrics(value: float) -> dict[str, Interval]:
        return {name: Interval(value, value - 0.02, value + 0.02, "x, 95 %") for name in names}

    gap = Interval((low + high) / 2, low, high, "y")
    sizes = (100, 90, 50, 0.5)
    rest = (None, None, None, None)
    return ExternalDocument(
        version="0.1.0",
        model=scored.document.model,
        label="bright",
        rows=(
            ExternalRow("home", "internal validation", "h", *sizes, metrics(0.95), *rest),
            ExternalRow(
                "away", "external", "a", *sizes, metrics(0.6), *rest, dict.fromkeys(names, gap)
            ),
        ),
        note="A difference is the row minus the first one.",
    )


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_section_is_there_and_numbers_agree(scored: Evaluation, tmp_path: Path) -> None:
    content = content_of(scored, external=external(scored, -0.4, -0.3))
    text = build_report(content, tmp_path / "r.html").read_text(encoding="utf-8")
    for title in ("External validation", "Subgroups", "Robustness", "Reporting checklists", "Data"):
        assert f">{title}</h2>" in text
    (site,) = [
        column for column in scored.document.subgroups.labels["bright"] if column.column == "site"
    ]
    (own,) = [subgroup for subgroup in site.subgroups if subgroup.value == "far"]
    rows = read_csv(tmp_path / "tables" / "subgroups.csv")
    (far,) = [row for row in rows if (row["column"], row["subgroup"]) == ("site", "far")]
    assert float(far["auroc"]) == own.metrics["auroc"].value
    assert float(far["auroc_difference_low"]) == own.difference["auroc"].low
    assert float(far["auroc_p_adjusted"]) == own.p_adjusted["auroc"]
    assert int(far["images"]) == own.n
    assert f"<p>{own.metrics['auroc'].value:.3f} (" in text
    assert scored.document.robustness
    steps = sum(len(kind.steps) for kind in scored.document.robustness.disturbances)
    assert len(read_csv(tmp_path / "tables" / "robustness.csv")) == steps
    names = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert {"decision", "prevalence", "subgroups", "robustness", "external", "flow"} <= names
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} >= names


TEXTS = {
    *("metric", "method", "label", "operating_point", "purpose", "rule", "column", "subgroup"),
    *("compared_with", "disturbance", "unit", "included", "data_set", "role", "property"),
    *("value", "item", "topic", "answer", "section", "reason"),
    "status",
}


def test_every_table_is_a_csv_file_of_numbers(scored: Evaluation, tmp_path: Path) -> None:
    text = build_report(content_of(scored), tmp_path / "r.html").read_text(encoding="utf-8")
    files = {path.stem: path for path in (tmp_path / "tables").iterdir()}
    assert len(files) > 8
    assert len(files) == text.count("<table")
    assert {"metrics", "operating_points", "sample_sizes", "robustness", "checklist_claim"} <= {
        *files
    }
    for name, path in files.items():
        rows = read_csv(path)
        assert rows
        for row in rows:
            for key, value in row.items():
                if value and (key not in TEXTS or (key == "value" and name == "metrics")):
                    float(value)
    metrics = {row["metric"]: row for row in read_csv(files["metrics"])}
    auroc = scored.document.metrics["auroc"]
    numbers = [float(metrics["auroc"][key]) for key in ("value", "low", "high")]
    assert numbers == [auroc.value, auroc.low, auroc.high]
    (point,) = read_csv(files["operating_points"])[:1]
    confusion = scored.document.labels["bright"].operating_points["balanced"].confusion
    assert [int(point[key]) for key in ("true_positives", "false_negatives")] == [
        confusion.tp,
        confusion.fn,
    ]
    known = scored.document.labels["bright"].operating_points["balanced"].validation
    assert known is not None
    assert point["status"] == known.status
    assert [float(point[f"threshold_p{end}"]) for end in (5, 95)] == [known.low, known.high]
    assert "threshold_low" not in point, "a percentile range is no confidence interval"
    assert "5th to 95th percentile" in text
    # Tables of an earlier page are removed.
    without = replace(scored.document, robustness=None)
    build_report(ReportContent(evaluation=without), tmp_path / "r.html")
    assert not files["robustness"].exists()
    assert files["metrics"].exists()


def test_a_cell_that_looks_like_a_formula_is_neutralised(tmp_path: Path) -> None:
    formulas = ("=1+1", "+1+cmd", "-1+1", "-a.png", "@sum", "\tx", "'=1")
    others = ("+1", "-1", "-0.5 to 0.3", "a=1")  # numbers are not changed
    texts = (*formulas, *others)
    rows: list[Row] = [
        {"File": text, "Change in AUROC": number_cell("change", -0.5)} for text in texts
    ]
    write_tables([Table("left_out", "x", rows)], tmp_path)
    read = read_csv(tmp_path / "left_out.csv")
    assert [row["file"] for row in read] == [*(f"'{text}" for text in formulas), *others]
    assert {row["change"] for row in read} == {"-0.5"}


def test_sections_without_content_are_not_there(scored: Evaluation, tmp_path: Path) -> None:
    empty = replace(scored.document.subgroups, labels={})
    bare = replace(scored.document, subgroups=empty, robustness=None, rejection=None)
    text = build_report(ReportContent(evaluation=bare), tmp_path / "r.html").read_text("utf-8")
    for title in ("External validation", "Subgroups", "Robustness", "Rejected images"):
        assert f">{title}</h2>" not in text


def caveats(content: ReportContent) -> dict[str, str]:
    return {caveat.title: caveat.text for caveat in write_caveats(content)}


def test_worse_external_data_and_subgroups_are_caveats(scored: Evaluation) -> None:
    found = caveats(content_of(scored, external=external(scored, -0.4, -0.3)))
    assert "away" in found["External data performs worse"]
    assert "0.600" in found["External data performs worse"]
    assert "far" in found["Unequal performance in subgroups"]
    assert "One source, one training" not in found
    calm = caveats(content_of(scored, external=external(scored, -0.1, 0.1)))
    assert "External data performs worse" not in calm
    assert "One source, one training" in caveats(content_of(scored))


def test_rejected_images_and_sensitivity_to_disturbance_are_caveats(scored: Evaluation) -> None:
    document = scored.document
    assert document.robustness
    change = Interval(-0.05, -0.08, -0.02, "x")

    def found(rejected: int, step: int) -> dict[str, str]:
        assert document.robustness
        changed = replace(
            document,
            rejection=replace(REJECTION, rejected=rejected),
            robustness=replace(
                document.robustness, first_drop=FirstDrop("border", step, 3, change)
            ),
        )
        return caveats(ReportContent(evaluation=changed))

    many = found(30, 1)
    assert "30 images of 160" in many["Unlike the training images"]
    masked = many["Sensitive to mild disturbance"]
    assert "lowers the AUROC by 0.050" in masked
    assert "relies on" not in masked, "masking alone does not show what the model uses"
    assert "may use what surrounds the chest, or the mask itself" in masked
    titles = {"Unlike the training images", "Sensitive to mild disturbance", "Doubtful images"}
    assert not titles & set(found(2, 4))
    doubtful = replace(REJECTION, rejected=12, reasons={"blank": 9, "other-modality": 1})
    words = caveats(ReportContent(evaluation=replace(document, rejection=doubtful)))
    assert "10 images (9 blank, 1 other-modality)" in words["Doubtful images"]
    assert "Unlike the training images" not in words, "only 2 of 160 are"
    page = "".join(map(str, rejection_section(doubtful).parts))
    assert "9 further images are rejected" in page and "1 further image is rejected" in page


def test_checklists_are_complete() -> None:
    sizes = {"claim": 44, "tripod_ai": 52, "stard_ai": 51}
    for name in CHECKLISTS:
        read = read_checklist(name)
        assert len(read.items) == sizes[name]
        assert "doi" in read.source
    numbers = [item.number for item in read_checklist("claim").items]
    assert numbers == [str(n) for n in range(1, 45)]
    whole = {int(re.sub(r"\D", "", i.number)) for i in read_checklist("tripod_ai").items}
    assert whole == set(range(1, 28))
    stard = [i.number for i in read_checklist("stard_ai").items if i.number != "AI"]
    assert {int(re.sub(r"\D", "", n)) for n in stard} == set(range(1, 31))
    assert [n for n in stard if n.endswith("a")] == ["10a", "12a", "13a", "21a"]


def test_every_metric_of_an_evaluation_has_a_name_and_a_meaning(scored: Evaluation) -> None:
    for name in scored.document.metrics:
        assert METRICS[name].meaning


def test_answers_of_a_checklist_link_to_sections_that_exist(
    scored: Evaluation, tmp_path: Path
) -> None:
    def links(content: ReportContent, out: Path) -> tuple[str, list[tuple[str, str]]]:
        text = build_report(content, out).read_text("utf-8")
        body = text[text.index(">Reporting checklists</h2>") :].partition("</section>")[0]
        return text, re.findall(r'<a href="#([\w-]+)">([^<]+)</a>', body)

    full = content_of(scored, external=external(scored, -0.4, -0.3))
    text, found = links(full, tmp_path / "a" / "r.html")
    assert len(found) > 20
    for place, title in found:
        where = text.index(f'id="{place}"')
        assert title in text[where : where + 300]
    assert "to be stated by the authors" in text
    less = replace(scored.document, robustness=None)
    _, fewer = links(replace(full, evaluation=less, external=None), tmp_path / "b" / "r.html")
    assert "External validation" in {title for _, title in found}
    assert not {"External validation", "Robustness"} & {title for _, title in fewer}
    names = {i.evidence for c in CHECKLISTS for i in read_checklist(c).items} - {None}
    given = {name for texts in collect_evidence(full).values() for name in texts}
    assert {"performance", "rates", "subgroups", "robustness", "external", "sizes"} <= given
    assert given <= names


def flowing(splits: Mapping[str, int], left_out: tuple[str, ...] = ()) -> Manifest:
    records = tuple(
        Record(
            id=f"{name}{n}",
            path="x",
            labels=(float(n % 2),),
            patient=f"{name}{n // 2}",
            split=name,  # type: ignore[arg-type]
        )
        for name, size in splits.items()
        for n in range(size)
    )
    gone = tuple(LeftOut(f"l{n}", "x", reason, "w") for n, reason in enumerate(left_out))
    return Manifest("m", TASK, records, gone)


def test_the_flow_adds_up(make_document: Callable[..., EvaluationDocument]) -> None:
    manifest = flowing({"train": 20, "validation": 6, "test": 10}, ("corrupt", "corrupt", "empty"))
    late = LeftOutImage("test9", "truncated", "w")
    before = [LeftOutImage(row.id, row.reason, "w") for row in manifest.left_out]
    evaluation = make_document(TASK, n=9, left_out=(*before, late), rejection=REJECTION)
    files = count_files(manifest, evaluation)
    assert files.found == 39
    assert files.left_out == {"corrupt": 2, "empty": 1}
    assert files.splits["train"] == Counts(20, 10, {"well": 10, "ill": 10})
    assert files.unreadable == {"truncated": 1}
    sizes = sum(split.images for split in files.splits.values())
    assert files.found == sizes + sum(files.left_out.values())
    assert files.splits["test"].images == files.scored + 1
    words = describe_counts(files)
    for text in ("39 files found", "2 corrupt", "1 truncated", "2 rejected", "3 indeterminate"):
        assert text in words
    assert "training: 20 images, 10 patients, 10 positive" in words
    drawn = flow_figure(files)
    assert "Not scored" in drawn
    assert "3 indeterminate" in drawn


def test_a_data_set_without_splits_has_its_own_flow(
    make_document: Callable[..., EvaluationDocument],
) -> None:
    manifest = flowing({"test": 10}, ("empty",))
    evaluation = make_document(TASK, n=10, left_out=(LeftOutImage("l0", "empty", "w"),))
    files = count_files(manifest, evaluation, whole=False)
    assert files.found == 11
    assert files.splits == {}
    assert files.left_out == {"empty": 1}
    assert files.rejected is None
    assert "rejected" not in describe_counts(files)


def read_header(card: str) -> dict[str, Any]:
    """Read the header without a YAML library: a key a line, values plain or JSON."""
    lines = card.splitlines()
    assert lines[0] == "---"
    end = lines.index("---", 1)
    found = {}
    for line in lines[1:end]:
        key, _, value = line.partition(": ")
        found[key] = json.loads(value) if value[:1] in "[{" else value
    return found


def test_the_sealed_card_holds_no_test_result(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    card = (bundle.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    header = read_header(card)
    assert header["pipeline_tag"] == "image-classification"
    assert header["library_name"] == "plainfilm"
    assert "model-index" not in header
    assert "not a medical device" in card
    assert "before any test image was opened" in card
    for locked in bundle.points:
        assert f"{locked.point.threshold:.3f}" in card


def test_the_card_of_an_evaluation_has_the_results_in_its_header(
    scored: Evaluation, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "again")
    path = write_model_card(bundle, content_of(scored), tmp_path)
    card = path.read_text(encoding="utf-8")
    header = read_header(card)
    [entry] = header["model-index"][0]["results"]
    metrics = {metric["type"]: metric for metric in entry["metrics"]}
    for kind, name in (("roc_auc", "auroc"), ("recall", "sensitivity")):
        expected = scored.document.metrics[name]
        assert metrics[kind]["value"] == pytest.approx(expected.value, abs=5e-5)
        assert metrics[kind]["confidence_interval"][0] == pytest.approx(expected.low, abs=5e-5)
    assert card.count("\n# ") == 1
    assert "## Caveats" in card
    assert "metrics that require a threshold are at the operating point balanced." in card


def test_names_cannot_break_the_card() -> None:
    label = 'a"b|c ---'
    point = OperatingPoint("balanced", "balanced", label, 0.5, "by hand")
    metadata = BundleMetadata(
        task=Task("binary", (label,), ("x", label)),
        pixels=PixelSpec(32),
        temperature=1.0,
        points=(LockedPoint(point, evidence(0.4, 0.6, "n")),),
        has_activation_map=False,
        provenance=Provenance(dataset='d"\n---\nevil: yes'),
    )
    header = read_header(model_card(metadata))
    assert label in header["tags"]
    assert header["datasets"] == ['d"\n---\nevil: yes']
    assert "evil" not in header
    assert front_matter(metadata).count("\n---") == 1


def test_a_pdf_needs_a_browser_and_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no page"):
        print_pdf(tmp_path / "none.html", tmp_path / "r.pdf")
    (tmp_path / "r.html").write_text("<p>x</p>", encoding="utf-8")
    monkeypatch.setenv("PLAINFILM_CHROMIUM", str(tmp_path / "nothing"))
    with pytest.raises(MissingExtraError, match="Chromium") as caught:
        print_pdf(tmp_path / "r.html", tmp_path / "r.pdf")
    assert "PLAINFILM_CHROMIUM" in str(caught.value)
    assert not (tmp_path / "r.pdf").exists()
