"""The report beyond the curves: sections, checklists, flow, model card, tables as files."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm.bundle import Bundle, BundleMetadata, Provenance
from plainfilm.bundle.card import front_matter, model_card
from plainfilm.data import LeftOut, Manifest
from plainfilm.errors import MissingExtraError, UsageError
from plainfilm.evaluation import evaluate
from plainfilm.records import LockedPoint, OperatingPoint, PixelSpec, Record, Task
from plainfilm.report import ReportContent, build_report, print_pdf
from plainfilm.report.figures.flow import flow_figure
from plainfilm.report.file_counts import list_flow, tell_flow
from plainfilm.report.html.csv_tables import read_tables
from plainfilm.report.model_card import write_model_card
from plainfilm.report.sections.caveats import write_caveats
from plainfilm.report.sections.checklist import CHECKLISTS, collect_evidence, read_checklist
from plainfilm.report.wording import METRICS

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]


@pytest.fixture
def scored(make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path) -> Any:
    """Evaluate a model of brightness on images of two sites, at one of which it fails."""
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
    return evaluate(make_bundle(), manifest, out=tmp_path / "e", replicates=300, workers=0)


def content_of(scored: Any, **more: Any) -> ReportContent:
    listed = list_flow(scored.manifest, scored.values, whole=False)
    return ReportContent(evaluation=scored.values, listed=listed, **more)


def external(low: float, high: float) -> dict[str, Any]:
    def metric(value: float) -> dict[str, Any]:
        return {"value": value, "low": value - 0.02, "high": value + 0.02, "method": "x, 95 %"}

    names = ("auroc", "sensitivity", "specificity", "brier")
    base = {"n": 100, "patients": 90, "positives": 50, "prevalence": 0.5}
    first = {"name": "home", "role": "internal validation", "drop": None, **base}
    other = {"name": "away", "role": "external", **base}
    gap = {"value": (low + high) / 2, "low": low, "high": high, "method": "y"}
    return {
        "rows": [
            {**first, **{name: metric(0.95) for name in names}},
            {**other, **{n: metric(0.6) for n in names}, "drop": dict.fromkeys(names, gap)},
        ],
        "note": "A drop is the row minus the first one.",
    }


def test_each_section_is_there_and_numbers_agree(scored: Any, tmp_path: Path) -> None:
    page = build_report(content_of(scored, external=external(-0.4, -0.3)), tmp_path / "r.html")
    text = page.read_text(encoding="utf-8")
    for title in ("Elsewhere", "Subgroups", "When images get worse", "Checklists", "Data"):
        assert f">{title}</h2>" in text
    tables = dict(read_tables(text))
    [subgroups] = [rows for caption, rows in tables.items() if "by subgroup" in caption]
    far = next(row for row in subgroups if row[0].startswith("site: far"))
    cells = {
        cell["value"]: cell
        for column in scored.values["subgroups"]["labels"]["bright"]
        for cell in column["cells"]
        if column["column"] == "site"
    }
    assert far[2].startswith(f"{cells['far']['auroc']['value']:.3f}")
    assert f"{cells['far']['n']}" in far[1]
    [disturbed] = [rows for caption, rows in tables.items() if "each disturbance" in caption]
    steps = sum(len(kind["steps"]) for kind in scored.values["robustness"]["disturbances"])
    assert len(disturbed) == steps + 1
    names = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert {"decision", "prevalence", "subgroups", "robustness", "external", "flow"} <= names
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} >= names


def test_every_table_is_a_file_that_says_the_same(scored: Any, tmp_path: Path) -> None:
    page = build_report(content_of(scored), tmp_path / "r.html")
    tables = read_tables(page.read_text(encoding="utf-8"))
    files = sorted((tmp_path / "tables").glob("*.csv"))
    assert len(files) == len(tables) > 8
    for path, (_, rows) in zip(files, tables, strict=True):
        with open(path, newline="", encoding="utf-8") as file:
            read = list(csv.reader(file))
        assert [len(row) for row in read] == [len(row) for row in rows]
        assert all("\u202f" not in cell for row in read for cell in row)
    # Those of an earlier page do not stay behind.
    build_report(ReportContent(evaluation=scored.values), tmp_path / "r.html")
    assert len(list((tmp_path / "tables").glob("*.csv"))) < len(files) + 1


def test_sections_without_content_are_not_there(scored: Any, tmp_path: Path) -> None:
    bare = {k: v for k, v in scored.values.items() if k not in ("subgroups", "robustness")}
    text = build_report(ReportContent(evaluation=bare), tmp_path / "r.html").read_text("utf-8")
    for title in ("Elsewhere", "Subgroups", "When images get worse", "What it declines"):
        assert f">{title}</h2>" not in text


def caveats(content: ReportContent) -> dict[str, str]:
    return {caveat.title: caveat.text for caveat in write_caveats(content)}


def test_what_is_worse_elsewhere_or_for_some_is_said_first(scored: Any) -> None:
    found = caveats(content_of(scored, external=external(-0.4, -0.3)))
    assert "away" in found["It does not travel"]
    assert "0.600" in found["It does not travel"]
    assert "far" in found["Not equally good for all"]
    assert "One place, one training" not in found
    calm = caveats(content_of(scored, external=external(-0.1, 0.1)))
    assert "It does not travel" not in calm
    assert "One place, one training" in caveats(content_of(scored))


def test_rejected_and_easily_disturbed_are_said(scored: Any) -> None:
    values = json.loads(json.dumps(scored.values))
    values["rejection"] = {"rejected": 30, "threshold": 1.0, "rule": "x"}
    gap = {"value": -0.05, "low": -0.08, "high": -0.02}
    values["robustness"]["first"] = {"name": "border", "step": 1, "strength": 3, "drop": gap}
    found = caveats(ReportContent(evaluation=values))
    assert "30 of 160" in found["Unlike the training images"]
    assert "what surrounds the chest" in found["Easily disturbed"]
    values["rejection"]["rejected"] = 2
    values["robustness"]["first"]["step"] = 4
    found = caveats(ReportContent(evaluation=values))
    assert not {"Unlike the training images", "Easily disturbed"} & set(found)


def test_checklists_are_whole() -> None:
    sizes = {"claim": 44, "tripod_ai": 52, "stard_ai": 51}
    for name in CHECKLISTS:
        read = read_checklist(name)
        assert len(read["items"]) == sizes[name]
        assert "doi" in read["source"]
    numbers = [item["n"] for item in read_checklist("claim")["items"]]
    assert numbers == [str(n) for n in range(1, 45)]
    whole = {int(re.sub(r"\D", "", i["n"])) for i in read_checklist("tripod_ai")["items"]}
    assert whole == set(range(1, 28))
    stard = [i["n"] for i in read_checklist("stard_ai")["items"] if i["n"] != "AI"]
    assert {int(re.sub(r"\D", "", n)) for n in stard} == set(range(1, 31))
    assert [n for n in stard if n.endswith("a")] == ["10a", "12a", "13a", "21a"]


def test_every_metric_of_an_evaluation_has_a_name_and_a_meaning(scored: Any) -> None:
    # Those under their own name, such as "lr positive", are nobody's language.
    for name in scored.values["metrics"]:
        assert METRICS[name].meaning


def test_what_is_filled_in_is_there_and_goes_with_its_datum(scored: Any, tmp_path: Path) -> None:
    def links(content: ReportContent, out: Path) -> tuple[str, list[tuple[str, str]]]:
        text = build_report(content, out).read_text("utf-8")
        body = text[text.index(">Checklists</h2>") :].partition("</section>")[0]
        return text, re.findall(r'<a href="#([\w-]+)">([^<]+)</a>', body)

    full = content_of(scored, external=external(-0.4, -0.3))
    text, found = links(full, tmp_path / "a" / "r.html")
    assert len(found) > 20
    for place, title in found:
        where = text.index(f'id="{place}"')
        assert title in text[where : where + 300]
    assert "for the authors to state" in text
    values = {k: v for k, v in scored.values.items() if k != "robustness"}
    _, fewer = links(replace(full, evaluation=values, external=None), tmp_path / "b" / "r.html")
    assert "Elsewhere" in {title for _, title in found}
    assert not {"Elsewhere", "When images get worse"} & {title for _, title in fewer}
    names = {i.get("fill") for c in CHECKLISTS for i in read_checklist(c)["items"]} - {None}
    told = collect_evidence(full)
    assert {"performance", "rates", "subgroups", "robustness", "external", "sizes"} <= set(told)
    assert set(told) <= names | {"internal"}


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
    return Manifest("m", Task("binary", ("ill",), ("well", "ill")), records, gone)


def test_the_flow_adds_up() -> None:
    manifest = flowing({"train": 20, "validation": 6, "test": 10}, ("corrupt", "corrupt", "empty"))
    late = [{"id": "test9", "reason": "truncated", "problem": "w"}]
    before = [{"id": row.id, "reason": row.reason, "problem": "w"} for row in manifest.left_out]
    evaluation = {
        "n": 9,
        "left_out": [*before, *late],
        "rejection": {"threshold": 1.0, "rejected": 2, "indeterminate": {"ill": 3}},
    }
    listed = list_flow(manifest, evaluation)
    assert listed["found"] == 39
    assert listed["left_out"] == {"corrupt": 2, "empty": 1}
    assert listed["splits"]["train"] == {"images": 20, "patients": 10, "positives": 10}
    assert listed["unreadable"] == {"truncated": 1}
    sizes = sum(part["images"] for part in listed["splits"].values())
    assert listed["found"] == sizes + sum(listed["left_out"].values())
    assert listed["splits"]["test"]["images"] == listed["scored"] + 1
    words = tell_flow(listed)
    for text in ("39 files found", "2 corrupt", "1 truncated", "2 rejected", "3 indeterminate"):
        assert text in words
    drawn = flow_figure(listed)
    assert "Not scored" in drawn
    assert "3 indeterminate" in drawn


def test_a_bundle_elsewhere_has_a_flow_of_that_set_alone() -> None:
    manifest = flowing({"test": 10}, ("empty",))
    evaluation = {"n": 10, "left_out": [{"id": "l0", "reason": "empty", "problem": "w"}]}
    listed = list_flow(manifest, evaluation, whole=False)
    assert listed["found"] == 11
    assert listed["splits"] == {}
    assert listed["left_out"] == {"empty": 1}
    assert listed["rejected"] is None
    assert "rejected" not in tell_flow(listed)


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
    scored: Any, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "again")
    path = write_model_card(bundle, content_of(scored), tmp_path)
    card = path.read_text(encoding="utf-8")
    header = read_header(card)
    [entry] = header["model-index"][0]["results"]
    metrics = {metric["type"]: metric for metric in entry["metrics"]}
    for kind, name in (("roc_auc", "auroc"), ("recall", "sensitivity")):
        wanted = scored.values["metrics"][name]
        assert metrics[kind]["value"] == pytest.approx(wanted["value"], abs=5e-5)
        assert metrics[kind]["confidence_interval"][0] == pytest.approx(wanted["low"], abs=5e-5)
    assert card.count("\n# ") == 1
    assert "What to distrust" in card


def test_names_cannot_break_the_card() -> None:
    label = 'a"b|c\n---'
    point = OperatingPoint("balanced", "balanced", label, 0.5, "by hand")
    metadata = BundleMetadata(
        task=Task("binary", (label,), ("x", label)),
        pixels=PixelSpec(32),
        temperature=1.0,
        points=(LockedPoint(point, 0.4, 0.6, 0.9, math.nan, True, "n"),),
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
