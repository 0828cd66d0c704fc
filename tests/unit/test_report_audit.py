"""Tests the page of an audit, its section in a report, and its lines of text."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plainfilm.audit.document import Baseline, FeatureSet, Histograms, SingleFeature
from plainfilm.audit.pipeline import Audit, audit_dataset
from plainfilm.audit.shortcuts import check_shift, check_shortcuts, judge
from plainfilm.data import LeftOut, Manifest
from plainfilm.errors import ImageError
from plainfilm.evaluation.pipeline import evaluate
from plainfilm.metrics.intervals import Interval, undefined
from plainfilm.records import Finding, Record, Severity, Split, Task
from plainfilm.report import (
    ReportContent,
    audit_lines,
    build_report,
    write_audit_page,
    write_report,
)
from plainfilm.report.audit import pictures
from plainfilm.report.audit.baselines import forest
from plainfilm.report.audit.findings import AuditContent, read_audit
from plainfilm.report.audit.pictures import Thumbnails, mean_pictures
from plainfilm.report.audit.wording import baseline_sentence, verdict
from plainfilm.report.figures import shares_figure
from plainfilm.report.sections.caveats import write_caveats
from plainfilm.training import Run
from report_content import draw_evaluation

HOSTILE = '<script>alert("1")</script>\u202egpj.\x1b[31m\x07&amp;.png'
VOID = {"br", "hr", "img", "meta", "link", "input"}
COUNT = 8
EVALUATION = draw_evaluation()


class Page(HTMLParser):
    """Content of a page: unclosed elements, images, tags and external resources."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []
        self.tags: set[str] = set()
        self.outside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for key, value in attrs:
            if tag == "img" and key == "src":
                self.images.append(value or "")
            local = (value or "").startswith(("#", "data:"))
            if key in ("src", "href", "srcset", "xlink:href") and not local:
                self.outside.append(value or "")
            assert not key.startswith("on")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _decode(source: str) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def _interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, "DeLong, clustered")


def _baseline(
    features: FeatureSet,
    auroc: Interval,
    *,
    kind: Literal["shortcut", "shift"] = "shortcut",
    target: str = "PNEUMONIA",
    groups: tuple[str, str] = ("PNEUMONIA", "NORMAL"),
) -> Baseline:
    baseline = Baseline(
        kind=kind, features=features, target=target, groups=groups, counts=(20, 30), auroc=auroc
    )
    if features == "file metadata":
        edges = tuple(np.geomspace(100, 10_000, 41).tolist())
        first, second = np.random.default_rng(1).integers(0, 9, (2, 40)).tolist()
        return replace(
            baseline,
            strongest=(SingleFeature("bytes", 0.9, (1200.0, 900.0)),),
            histograms=Histograms("bytes", edges, (tuple(first), tuple(second))),
        )
    if features == "histogram":
        edges = tuple(8.0 * n for n in range(33))
        shares = ((1 / 32,) * 32, (0.5, 0.5, *(0.0,) * 30))
        return replace(baseline, histograms=Histograms("grey level", edges, shares))
    side = 32 if features == "border" else 8
    row = (40.0,) * (side // 2)
    return replace(
        baseline,
        means=(((*row, math.nan, *row[1:]),) * side, ((50.0,) * side,) * side),
    )


@pytest.fixture
def shades(tmp_path: Path) -> Manifest:
    """List eight images of different grey levels; the last is missing, one name is hostile."""
    records = []
    places: Sequence[Split] = ("train", "test")
    for number in range(COUNT):
        path = tmp_path / f"{number}.png"
        shade = 20 + 25 * number
        if number < COUNT - 1:
            Image.fromarray(np.full((40, 60), shade, np.uint8)).save(path)
        records.append(
            Record(
                id=HOSTILE if number == 0 else f"folder/{number}.png",
                path=str(path),
                labels=(float(number % 2),),
                patient=f"p{number // 2}",
                split=places[number % 2],
            )
        )
    task = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))
    return Manifest(f"drawn {HOSTILE}", task, tuple(records))


def _finding(check: str, severity: Severity, **more: Any) -> Finding:
    texts = {
        "problem": f"the problem of {check}",
        "consequence": "it matters",
        "remedy": "do something",
        "count": 1,
    }
    return Finding(check=check, severity=severity, **{**texts, **more})


@pytest.fixture
def audited(shades: Manifest) -> Audit:
    """Return an audit of these images with one finding and baseline model of each kind."""
    ids = tuple(record.id for record in shades.records)
    baselines = (
        _baseline("file metadata", _interval(0.8, 0.9)),
        _baseline("border", _interval(0.66, 0.7)),
        _baseline("thumbnail", _interval(0.4, 0.9)),
        _baseline("histogram", undefined("none", "too few patients")),
        _baseline(
            "border",
            _interval(0.56, 0.6),
            kind="shift",
            target="NORMAL",
            groups=("test", "a"),
        ),
    )
    findings = (
        _finding("exact-duplicate-across-splits", "serious", files=ids[:2], groups=(ids[:2],)),
        _finding("rotated", "warning", files=ids[1:], count=900),
        _finding("patient-keys", "note", problem=f"read from {HOSTILE}"),
    )
    return Audit(shades, findings, baselines, COUNT)


def test_page_is_closed_and_safe(audited: Audit, tmp_path: Path) -> None:
    """Nothing is loaded or run, all tags are closed, and names are escaped."""
    path = write_audit_page(audited, tmp_path / "new" / "audit.html")
    text = path.read_text("utf-8")
    page = Page(text)
    assert not page.open
    assert not page.outside
    assert "script" not in page.tags
    assert page.images and all(source.startswith("data:image/") for source in page.images)
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text and "\u202e" not in text
    assert "url(http" not in text and "@import" not in text
    assert "default-src 'none'" in text
    assert "$" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_page_shows_the_most_important_first(audited: Audit, tmp_path: Path) -> None:
    """The verdict comes first, then the findings by severity, then the baseline models."""
    text = write_audit_page(audited, tmp_path / "audit.html").read_text("utf-8")
    order = [
        "1 serious finding, 1 warning, 1 note",
        "Serious findings and warnings",
        'id="finding-0"',
        "The problem of exact-duplicate-across-splits.",
        "It matters.",
        "Do something.",
        'id="finding-1"',
        "Shortcuts</h2>",
        "Differences between splits</h2>",
    ]
    place = 0
    for part in order:
        place = text.index(part, place)
    assert "The first 7 of 900 files" in text
    assert "hold simultaneously with 95 %" in text


def test_counts_are_those_of_the_records(audited: Audit, tmp_path: Path) -> None:
    """There are eight images of four patients, half of each class."""
    text = write_audit_page(audited, tmp_path / "audit.html").read_text("utf-8")
    rows = re.findall(r'<tr><th scope="row">(\w+)</th>(.*?)</tr>', text)
    cells = {name: re.findall(r"<td>(\d+)</td>", row) for name, row in rows}
    assert cells["train"] == ["4", "4", "4", "0"]
    assert cells["test"] == ["4", "4", "0", "4"]
    assert cells["all"] == ["8", "4", "4", "4"]


def test_counts_fit_or_scroll_on_a_phone(audited: Audit, tmp_path: Path) -> None:
    text = write_audit_page(audited, tmp_path / "audit.html").read_text(encoding="utf-8")
    assert re.search(r'<h2 id="holds">[^<]*</h2>\s*<div class="scroll"', text)
    narrow = text[text.index("#holds ~ .scroll") :]
    assert text.index("#holds ~ .scroll") > text.index("@media (max-width: 46rem)")
    assert re.search(r"#holds ~ \.scroll table \{ font-size: \.8rem; \}", narrow)


def test_thumbnails_are_the_images(shades: Manifest) -> None:
    """A tile shows the pixels of the record, padded to a square, with split and class."""
    thumbnails = Thumbnails(shades)
    for number in (0, 3, 6):
        source = thumbnails.source(shades.records[number].id)
        assert source is not None
        pixels = _decode(source)
        assert pixels.shape == (96, 96)
        assert abs(float(pixels[48, 48]) - (20 + 25 * number)) <= 2
        assert pixels[2, 48] <= 4  # padding
    tile = thumbnails.tile("folder/3.png")
    assert "<span>test</span>" in tile and "<span>PNEUMONIA</span>" in tile
    assert ">3.png</code>" in tile


def test_unreadable_files_get_a_placeholder(
    shades: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing, unknown or unreadable file is shown by its name, and is not read twice."""
    tried: list[str] = []
    real = pictures.read_image

    def read(source: Any, *rest: Any) -> Any:
        tried.append(Path(source).name)
        return real(source, *rest)

    monkeypatch.setattr(pictures, "read_image", read)
    left = replace(
        shades, left_out=(LeftOut("folder/x.png", "nowhere.png", "truncated", "ends early"),)
    )
    thumbnails = Thumbnails(left, [_finding("truncated", "warning", files=("folder/2.png",))])
    for identity in ("folder/7.png", "folder/7.png", "folder/2.png", "folder/x.png", "unknown"):
        tile = thumbnails.tile(identity)
        assert "no picture" in tile and "<img" not in tile
        assert Path(identity).name in tile
    assert tried == ["7.png"]
    with pytest.raises(ImageError):
        real(shades.records[7].path, pictures.PixelSpec(96, "pad"))


def test_groups_stand_side_by_side(shades: Manifest) -> None:
    """Each group has its own frame. At most six are shown; the others are counted."""
    pair = ("folder/1.png", "folder/2.png")
    shown = Thumbnails(shades).tiles(_finding("near-duplicate", "warning", groups=(pair,) * 9))
    assert shown.count('class="group"') == 6
    assert shown.count("<img") == 12
    assert "and 3 more groups" in shown
    many = tuple(f"folder/{number}.png" for number in range(1, 7))
    shown = Thumbnails(shades).tiles(_finding("near-duplicate", "warning", groups=(many,)))
    assert shown.count("<img") == 4 and "and 2 more" in shown
    loose = Thumbnails(shades).tiles(_finding("blank-image", "warning", files=many * 2))
    assert loose.count("<img") == 8


def test_a_patient_in_several_splits_is_one_group(shades: Manifest) -> None:
    """Both splits of each patient are shown together."""
    files = tuple(record.id for record in shades.records[2:6])
    shown = Thumbnails(shades).tiles(_finding("patient-in-several-splits", "serious", files=files))
    groups = shown.split('class="group"')[1:]
    assert len(groups) == 2
    assert all("<span>train</span>" in g and "<span>test</span>" in g for g in groups)


@pytest.mark.parametrize("features", ["file metadata", "border", "thumbnail", "histogram"])
def test_judgement_agrees_with_the_findings(features: FeatureSet) -> None:
    """Figures and findings agree over the whole range of intervals."""
    severities: dict[str, str] = {}
    for low in np.arange(0.4, 0.97, 0.01):
        for width in (0.02, 0.25, 0.31):
            high = min(float(low) + width, 1.0)
            baseline = _baseline(features, _interval(float(low), high))
            found = list(check_shortcuts(cast(Any, [0] * 9), [baseline]))
            expected = "no finding"
            if found:
                reported = found[0].check.startswith("shortcut-")
                expected = found[0].severity if reported else "inconclusive"
            assert judge(baseline) == expected, (low, high)
            severities[expected] = "seen"
    assert {"no finding", "warning", "inconclusive"} <= set(severities)


def test_judgement_of_a_shift_agrees_with_the_findings() -> None:
    """A small shift is a note, a larger one a warning."""
    evidence = cast(Any, SimpleNamespace(splits=np.array(["test", "train"])))
    seen = set()
    for low in np.arange(0.4, 0.9, 0.01):
        baseline = _baseline(
            "border",
            _interval(float(low), float(low) + 0.1),
            kind="shift",
            target="NORMAL",
            groups=("test", "train"),
        )
        found = list(check_shift(evidence, [baseline]))
        expected = found[0].severity if found else "no finding"
        assert judge(baseline) == expected
        seen.add(expected)
    assert seen == {"no finding", "note", "warning"}


def test_forest_plot_has_the_right_positions() -> None:
    """The axis runs from 0.5 to 1, and what is below chance is cut off."""
    baselines = [
        _baseline("border", _interval(0.7, 0.8)),
        _baseline("thumbnail", _interval(0.38, 0.6)),
        _baseline("histogram", undefined("none", "too few patients")),
    ]
    drawn = forest(baselines)
    rows = drawn.split('<li class="baseline')[1:]
    assert 'style="left:50.00%" class="dot"' in rows[0]
    assert 'style="left:40.00%;width:20.00%" class="range"' in rows[0]
    assert "<b>0.750</b> 0.700–0.800 <em>warning</em>" in rows[0]
    assert 'style="left:0.00%;width:20.00%" class="range cut"' in rows[1]
    assert 'style="left:0.00%" class="dot"' in rows[1]
    assert "<b>0.490</b>" in rows[1]
    assert 'class="dot"' not in rows[2] and "<em>inconclusive</em>" in rows[2]


def test_sentences_explain_the_auroc() -> None:
    """An AUROC is explained by pairs of images; too wide an interval is inconclusive."""
    strong = baseline_sentence(_baseline("border", _interval(0.86, 0.9)))
    assert "AUROC 0.880 (0.860–0.900)" in strong and "88 of 100 pairs" in strong
    wide = baseline_sentence(_baseline("border", _interval(0.5, 0.9)))
    assert wide.startswith("Inconclusive") and "0.500–0.900" in wide
    undefined_ = baseline_sentence(_baseline("border", undefined("none", "too few patients")))
    assert undefined_.startswith("Inconclusive") and undefined_.endswith("too few patients.")
    chance = baseline_sentence(_baseline("border", _interval(0.45, 0.55)))
    assert "close to chance" in chance


@pytest.mark.parametrize(
    ("severities", "baselines", "expected"),
    [
        (("serious", "note"), 4, "serious"),
        (("warning",), 4, "warning"),
        (("note",), 4, "clean"),
        ((), 0, "note"),
    ],
)
def test_verdict(severities: Sequence[Severity], baselines: int, expected: str) -> None:
    """The most severe finding decides; a set with inconclusive checks is not clean."""
    findings = [_finding("some", severity) for severity in severities]
    severity, headline, text = verdict(findings, baselines=baselines)
    assert severity == expected
    assert ("no serious finding" in headline) == ("serious" not in severities)
    assert text.endswith(".")
    unsure = [*findings, _finding("orientation-inconclusive", "note")]
    assert verdict(unsure, baselines=baselines)[0] == (
        expected if expected in ("serious", "warning") else "note"
    )


def test_means_and_their_difference() -> None:
    """The difference is orange where the first group is brighter, blue where it is darker."""
    one = ((10.0, 200.0), (90.0, math.nan))
    other = ((90.0, 120.0), (90.0, math.nan))
    page = Page(mean_pictures((one, other), ("A", "B"), (3, 4)))
    first, second, gap = (_decode(source) for source in page.images)
    assert first[..., 0].tolist() == [[10, 200], [90, 0]] and first[1, 1, 3] == 0
    assert second[0, 0].tolist() == [90, 90, 90, 255]
    assert gap[0, 0].tolist() == [10, 106, 168, 255]  # the blue of the report
    assert gap[0, 1].tolist() == [194, 80, 15, 255]  # its orange
    assert gap[1, 0, :3].min() > 235 and gap[1, 1, 3] == 0
    blank = Page(mean_pictures((((math.nan,),), ((math.nan,),)), ("A", "B"), (1, 1)))
    assert all(_decode(source)[0, 0, 3] == 0 for source in blank.images)


@pytest.mark.parametrize("log", [False, True])
def test_shares_figure(log: bool) -> None:
    """It is valid and reproducible SVG with the names of both groups and of the axis."""
    edges = np.geomspace(1, 1000, 11).tolist()
    counts = {"<b>A": [1.0] * 10, "B": [0.0] * 10}
    drawn = shares_figure(edges, counts, words="Size & more", of="Share", log=log, name="s")
    assert drawn == shares_figure(edges, counts, words="Size & more", of="Share", log=log, name="s")
    texts = "".join(ElementTree.fromstring(drawn).itertext())
    assert "<b>A" in texts and "Size & more" in texts and "10%" in texts
    assert ("500" in texts and "200" in texts) or not log


def test_lines_are_narrow_and_escaped(audited: Audit) -> None:
    """No line exceeds the width, control characters are escaped, each finding has its remedy."""
    lines = audit_lines(audited, width=72)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 72 or max(lines, key=len).startswith("Baseline models")
    assert "\x1b" not in text and "\u202e" not in text and "\\u001b" in text
    assert text.count("remedy: do something") == 3
    assert any(line.startswith("serious  exact-duplicate-across-splits  the") for line in lines)
    table = [line.split() for line in lines if line.startswith("  PNEUMONIA")]
    assert [row[-1] for row in table] == ["serious", "warning", "inconclusive", "inconclusive"]
    assert table[0][-5:-1] == ["0.850", "0.800", "to", "0.900"]
    none = audit_lines(replace(audited, baselines=()))
    assert "not checked" in none[-1]


def test_audit_is_read_back(audited: Audit, tmp_path: Path) -> None:
    """A report shows the audit of the training; a damaged file is reported and not fatal."""
    path = tmp_path / "audit.json"
    assert read_audit(path, audited.manifest) is None
    audited.write(path)
    content = read_audit(path, audited.manifest)
    assert content is not None
    assert content.findings == tuple(replace(f, exclude=()) for f in audited.findings)
    assert [*map(judge, content.baselines[:3])] == ["serious", "warning", "inconclusive"]
    assert not content.quick and not content.problem
    for damage in ('{"schema": 99}', "{", '{"schema": 2, "findings": [{}]}', "[]"):
        path.write_text(damage, "utf-8")
        bad = read_audit(path, audited.manifest)
        assert bad is not None and "plainfilm audit" in bad.problem
        assert not bad.findings


def _report(content: ReportContent, folder: Path) -> str:
    return build_report(content, folder / "report.html").read_text("utf-8")


def test_report_shows_the_audit(audited: Audit, tmp_path: Path) -> None:
    """Serious findings and warnings have pictures, notes are omitted."""
    content = AuditContent(
        findings=audited.findings,
        baselines=audited.baselines,
        quick=True,
        thumbnails=Thumbnails(audited.manifest),
    )
    plain = ReportContent(evaluation=EVALUATION)
    assert "Data audit" not in _report(plain, tmp_path)
    text = _report(replace(plain, audit=content), tmp_path)
    page = Page(text)
    assert not page.open and not page.outside and "script" not in page.tags
    section = text[text.index("Data audit</h2>") :]
    assert "The problem of rotated." in section and "read from" not in section
    assert section.count("<img") == 2 + 4  # the pair, and four of the seven turned ones
    assert "plainfilm audit DATA" in section
    first = text[: text.index("<nav")]
    assert first.count("The problem of exact-duplicate-across-splits") == 1
    slow = _report(replace(plain, audit=replace(content, quick=False)), tmp_path)
    assert "plainfilm audit DATA" not in slow


def test_a_finding_is_a_caveat_once(audited: Audit) -> None:
    """A finding of the listing that the audit repeats is shown once."""
    audit_content = AuditContent(findings=audited.findings)
    both = ReportContent(evaluation=EVALUATION, findings=audited.findings[:1], audit=audit_content)
    caveats = [caveat for caveat in write_caveats(both) if "exact-duplicate" in caveat.text]
    assert len(caveats) == 1


def test_report_mentions_a_damaged_audit(tmp_path: Path) -> None:
    """The report is still written."""
    content = ReportContent(
        evaluation=EVALUATION, audit=AuditContent(problem="audit.json is damaged")
    )
    assert "Audit.json is damaged" in _report(content, tmp_path)


def test_page_of_a_real_audit(phantoms: Path, tmp_path: Path) -> None:
    """The page draws the features of every baseline model."""
    found = audit_dataset(phantoms)
    text = write_audit_page(found, tmp_path / "audit.html").read_text("utf-8")
    page = Page(text)
    assert not page.open and not page.outside
    assert {one.features for one in found.baselines if one.kind == "shortcut"} == {
        "file metadata",
        "border",
        "thumbnail",
        "histogram",
    }
    assert text.count('class="means"') == sum(
        one.features in ("border", "thumbnail") for one in found.baselines
    )
    assert text.count("<svg") == sum(
        one.features in ("file metadata", "histogram") for one in found.baselines
    )
    quick = write_audit_page(audit_dataset(phantoms, quick=True), tmp_path / "quick.html")
    assert "not decoded" in quick.read_text("utf-8")


def test_many_serious_findings_are_summarised() -> None:
    """Two are shown and the others counted, to leave space for other caveats."""
    many = tuple(_finding(f"check-{n}", "serious") for n in range(7))
    texts = [
        caveat.text
        for caveat in write_caveats(
            ReportContent(evaluation=EVALUATION, audit=AuditContent(findings=many))
        )
        if caveat.title == "Audit finding"
    ]
    assert texts[:2] == ["The problem of check-0.", "The problem of check-1."]
    assert len(texts) == 3 and texts[2].startswith("5 more serious findings")


@pytest.mark.slow
def test_report_of_a_run_shows_its_audit(tiny_run: Run, tmp_path: Path) -> None:
    """The audit of a training is in its report."""
    values = json.loads((tiny_run.folder / "audit.json").read_text("utf-8"))
    evaluation = evaluate(tiny_run.folder, out=tmp_path / "new", n_bootstrap=40, workers=0)
    text = write_report(evaluation, model=tiny_run.folder, run=tiny_run).read_text("utf-8")
    section = text[text.index("Data audit</h2>") :]
    grave = [row for row in values["findings"] if row["severity"] != "note"]
    for row in grave:
        assert f"<code>{row['check']}</code>" in section
    assert ("plainfilm audit DATA" in section) == values["quick"]
