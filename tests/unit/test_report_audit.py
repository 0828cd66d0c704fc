"""The audit's page, its section in the report, and its lines on a terminal."""

from __future__ import annotations

import base64
import io
import json
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

from plainfilm.audit.baselines import Cheat, Probe, Telling
from plainfilm.audit.run import Audit, audit_dataset
from plainfilm.audit.shortcuts import check_shift, check_shortcuts
from plainfilm.data import LeftOut, Manifest
from plainfilm.errors import ImageError
from plainfilm.evaluation.run import evaluate
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
from plainfilm.report.audit.content import AuditContent, read_audit
from plainfilm.report.audit.forest import forest
from plainfilm.report.audit.pictures import Thumbnails, mean_pictures
from plainfilm.report.audit.wording import judge, probe_sentence, verdict
from plainfilm.report.figures import shares_figure
from plainfilm.report.sections.caveats import write_caveats
from plainfilm.training import Run

HOSTILE = '<script>alert("1")</script>\u202egpj.\x1b[31m\x07&amp;.png'
VOID = {"br", "hr", "img", "meta", "link", "input"}
COUNT = 8
EVALUATION = {
    "schema": 1,
    "task": {"kind": "binary", "labels": ["PNEUMONIA"], "classes": ["NORMAL", "PNEUMONIA"]},
    "dataset": {"name": "drawn", "split": "test"},
    "n": 624,
    "patients": 428,
}


class Page(HTMLParser):
    """What a page holds: elements still open, images, classes with their text, resources."""

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


def _probe(
    cheat: Cheat,
    interval: Interval,
    *,
    about: Literal["shortcut", "shift"] = "shortcut",
    target: str = "PNEUMONIA",
    sides: tuple[str, str] = ("PNEUMONIA", "NORMAL"),
) -> Probe:
    view: dict[str, Any]
    if cheat == "file metadata":
        edges = np.geomspace(100, 10_000, 41)
        counts = np.random.default_rng(1).integers(0, 9, (2, 40))
        view = {"fact": "bytes", "edges": edges.tolist(), "counts": counts.tolist()}
    elif cheat == "histogram":
        view = {"shares": [[1 / 32] * 32, [0.5, 0.5, *[0.0] * 30]]}
    else:
        side = 32 if cheat == "border" else 8
        mean: list[list[float | None]] = [[40.0] * side for _ in range(side)]
        mean[side // 2][side // 2] = None
        view = {"means": [mean, [[50.0] * side for _ in range(side)]]}
    metadata = (Telling("bytes", 0.9, (1200.0, 900.0)),) if cheat == "file metadata" else ()
    return Probe(about, cheat, target, sides, (20, 30), interval, metadata, view)


@pytest.fixture
def shades(tmp_path: Path) -> Manifest:
    """List eight images whose shades tell them apart; the last one is gone, one name is hostile."""
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
    words = {
        "problem": f"what {check} is",
        "consequence": "it matters",
        "remedy": "do something",
        "count": 1,
    }
    return Finding(check=check, severity=severity, **{**words, **more})


@pytest.fixture
def audited(shades: Manifest) -> Audit:
    """Return an audit of them that has one of everything."""
    ids = tuple(record.id for record in shades.records)
    probes = (
        _probe("file metadata", _interval(0.8, 0.9)),
        _probe("border", _interval(0.66, 0.7)),
        _probe("thumbnail", _interval(0.4, 0.9)),
        _probe("histogram", undefined("none", "too few patients")),
        _probe("border", _interval(0.56, 0.6), about="shift", target="NORMAL", sides=("test", "a")),
    )
    findings = (
        _finding("exact-leak-across-splits", "serious", files=ids[:2], groups=(ids[:2],)),
        _finding("rotated", "warning", files=ids[1:], count=900),
        _finding("patient-keys", "note", problem=f"read from {HOSTILE}"),
    )
    return Audit(shades, findings, probes, COUNT)


def test_page_is_closed_and_safe(audited: Audit, tmp_path: Path) -> None:
    """Nothing is loaded or run, all tags are closed, and a name stays text."""
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


def test_page_says_what_matters_first(audited: Audit, tmp_path: Path) -> None:
    """The verdict comes first, findings by severity with all their words, then the cheats."""
    text = write_audit_page(audited, tmp_path / "audit.html").read_text("utf-8")
    order = [
        "1 serious, 1 warning, 1 note",
        "What would fool an evaluation",
        'id="finding-0"',
        "What exact-leak-across-splits is.",
        "It matters.",
        "Do something.",
        'id="finding-1"',
        "How far does a cheat get?</h2>",
        "Can the splits be told apart?</h2>",
    ]
    place = 0
    for words in order:
        place = text.index(words, place)
    assert "The first 7 of 900 files" in text
    assert "hold together with 95 %" in text


def test_counts_are_those_of_the_records(audited: Audit, tmp_path: Path) -> None:
    """Splits as they are; eight images of four patients, half of each class."""
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
    """A tile shows the record's own pixels, padded to a square, with split and label."""
    thumbnails = Thumbnails(shades)
    for number in (0, 3, 6):
        source = thumbnails.source(shades.records[number].id)
        assert source is not None
        pixels = _decode(source)
        assert pixels.shape == (96, 96)
        assert abs(float(pixels[48, 48]) - (20 + 25 * number)) <= 2
        assert pixels[2, 48] <= 4  # padded, not squashed
    tile = thumbnails.tile("folder/3.png")
    assert "<span>test</span>" in tile and "<span>PNEUMONIA</span>" in tile
    assert ">3.png</code>" in tile


def test_what_cannot_be_read_gets_a_placeholder(
    shades: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone, unknown or known to be bad leaves its name, and is not tried twice."""
    tried: list[str] = []
    real = pictures.read_image

    def read(source: Any, *rest: Any) -> Any:
        tried.append(Path(source).name)
        return real(source, *rest)

    monkeypatch.setattr(pictures, "read_image", read)
    left = replace(
        shades, left_out=(LeftOut("folder/x.png", "nowhere.png", "truncated", "ends early"),)
    )
    thumbnails = Thumbnails(left, {"folder/2.png"})
    for identity in ("folder/7.png", "folder/7.png", "folder/2.png", "folder/x.png", "nobody"):
        tile = thumbnails.tile(identity)
        assert "no picture" in tile and "<img" not in tile
        assert Path(identity).name in tile
    assert tried == ["7.png"]
    with pytest.raises(ImageError):
        real(shades.records[7].path, pictures.PixelSpec(96, "pad"))


def test_groups_stand_side_by_side(shades: Manifest) -> None:
    """Each group has its own frame, of which there are six at most; the rest is counted."""
    pair = ("folder/1.png", "folder/2.png")
    shown = Thumbnails(shades).tiles(_finding("near-duplicate", "warning", groups=(pair,) * 9))
    assert shown.count('class="group"') == 6
    assert shown.count("<img") == 12
    assert "and 3 more groups" in shown
    crowd = tuple(f"folder/{number}.png" for number in range(1, 7))
    shown = Thumbnails(shades).tiles(_finding("near-duplicate", "warning", groups=(crowd,)))
    assert shown.count("<img") == 4 and "and 2 more like them" in shown
    loose = Thumbnails(shades).tiles(_finding("blank", "warning", files=crowd * 2))
    assert loose.count("<img") == 8


def test_a_leaking_patient_is_one_group(shades: Manifest) -> None:
    """Both splits of each patient are shown together."""
    files = tuple(record.id for record in shades.records[2:6])
    shown = Thumbnails(shades).tiles(_finding("patient-leak", "serious", files=files))
    groups = shown.split('class="group"')[1:]
    assert len(groups) == 2
    assert all("<span>train</span>" in g and "<span>test</span>" in g for g in groups)


@pytest.mark.parametrize("cheat", ["file metadata", "border", "thumbnail", "histogram"])
def test_judgement_agrees_with_the_findings(cheat: Cheat) -> None:
    """What the figure colours is what the checks report, over the whole range of intervals."""
    severities: dict[str, str] = {}
    for low in np.arange(0.4, 0.97, 0.01):
        for width in (0.02, 0.25, 0.31):
            high = min(float(low) + width, 1.0)
            probe = _probe(cheat, _interval(float(low), high))
            found = list(check_shortcuts(cast(Any, [0] * 9), [probe]))
            expected = "harmless"
            if found:
                told = found[0].check.startswith("shortcut-")
                expected = found[0].severity if told else "cannot tell"
            assert judge(probe.to_json()) == expected, (low, high)
            severities[expected] = "seen"
    assert {"harmless", "warning", "cannot tell"} <= set(severities)


def test_judgement_of_a_shift_agrees_with_the_findings() -> None:
    """A shift is a note, then a warning."""
    evidence = cast(Any, SimpleNamespace(splits=np.array(["test", "train"])))
    seen = set()
    for low in np.arange(0.4, 0.9, 0.01):
        probe = _probe(
            "border",
            _interval(float(low), float(low) + 0.1),
            about="shift",
            target="NORMAL",
            sides=("test", "train"),
        )
        found = list(check_shift(evidence, [probe]))
        expected = found[0].severity if found else "harmless"
        assert judge(probe.to_json()) == expected
        seen.add(expected)
    assert seen == {"harmless", "note", "warning"}


def test_forest_places_what_it_shows() -> None:
    """The axis runs from 0.5 to 1: 0.75 is half way, and what is below guessing is cut off."""
    probes = [
        _probe("border", _interval(0.7, 0.8)).to_json(),
        _probe("thumbnail", _interval(0.38, 0.6)).to_json(),
        _probe("histogram", undefined("none", "too few patients")).to_json(),
    ]
    drawn = forest(probes)
    rows = drawn.split('<li class="probe')[1:]
    assert 'style="left:50.00%" class="dot"' in rows[0]
    assert 'style="left:40.00%;width:20.00%" class="range"' in rows[0]
    assert "<b>0.750</b> 0.700–0.800 <em>warning</em>" in rows[0]
    assert 'style="left:0.00%;width:20.00%" class="range cut"' in rows[1]
    assert 'style="left:0.00%" class="dot"' in rows[1]
    assert "<b>0.490</b>" in rows[1]
    assert 'class="dot"' not in rows[2] and "<b>cannot tell</b>" in rows[2]


def test_sentences_are_plain_and_right() -> None:
    """A cheat's success is retold as pairs; an interval that is too wide is not a result."""
    strong = probe_sentence(_probe("border", _interval(0.86, 0.9)).to_json())
    assert "AUROC 0.880 (0.860–0.900)" in strong and "88 times in 100" in strong
    wide = probe_sentence(_probe("border", _interval(0.5, 0.9)).to_json())
    assert wide.startswith("Cannot tell") and "0.500–0.900" in wide
    nothing = probe_sentence(_probe("border", undefined("none", "too few patients")).to_json())
    assert nothing.startswith("Cannot tell") and nothing.endswith("too few patients.")
    guess = probe_sentence(_probe("border", _interval(0.45, 0.55)).to_json())
    assert "guessing" in guess


@pytest.mark.parametrize(
    ("severities", "probes", "expected"),
    [
        (("serious", "note"), 4, "serious"),
        (("warning",), 4, "warning"),
        (("note",), 4, "clean"),
        ((), 0, "note"),
    ],
)
def test_verdict(severities: Sequence[Severity], probes: int, expected: str) -> None:
    """The gravest finding decides; where nothing could be asked, the set is not called clean."""
    findings = [_finding("some", severity) for severity in severities]
    grave, told, words = verdict(findings, images=12, probes=probes)
    assert grave == expected
    assert ("nothing serious" in told) == ("serious" not in severities)
    assert words.endswith(".")
    unsure = [*findings, _finding("cannot-tell-poses", "note")]
    assert verdict(unsure, images=12, probes=probes)[0] == (
        expected if expected in ("serious", "warning") else "note"
    )


def test_means_and_their_difference() -> None:
    """Orange where the first group is brighter, blue where darker, clear where nothing is."""
    one: list[list[float | None]] = [[10.0, 200.0], [90.0, None]]
    other: list[list[float | None]] = [[90.0, 120.0], [90.0, None]]
    page = Page(mean_pictures([one, other], ("A", "B"), (3, 4)))
    first, second, gap = (_decode(source) for source in page.images)
    assert first[..., 0].tolist() == [[10, 200], [90, 0]] and first[1, 1, 3] == 0
    assert second[0, 0].tolist() == [90, 90, 90, 255]
    assert gap[0, 0].tolist() == [10, 106, 168, 255]  # the blue of the report
    assert gap[0, 1].tolist() == [194, 80, 15, 255]  # its orange
    assert gap[1, 0, :3].min() > 235 and gap[1, 1, 3] == 0
    blank = Page(mean_pictures([[[None]], [[None]]], ("A", "B"), (1, 1)))
    assert all(_decode(source)[0, 0, 3] == 0 for source in blank.images)


@pytest.mark.parametrize("log", [False, True])
def test_shares_figure(log: bool) -> None:
    """It is sound SVG, the same every time, with both groups' names and the axis' words."""
    edges = np.geomspace(1, 1000, 11).tolist()
    counts = {"<b>A": [1.0] * 10, "B": [0.0] * 10}
    drawn = shares_figure(edges, counts, words="Size & more", of="Share", log=log, name="s")
    assert drawn == shares_figure(edges, counts, words="Size & more", of="Share", log=log, name="s")
    texts = "".join(ElementTree.fromstring(drawn).itertext())
    assert "<b>A" in texts and "Size & more" in texts and "10%" in texts
    assert ("500" in texts and "200" in texts) or not log


def test_lines_are_narrow_and_harmless(audited: Audit) -> None:
    """No line is longer than asked, nothing commands the terminal, each finding says what to do."""
    lines = audit_lines(audited, width=72)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 72 or max(lines, key=len).startswith("How far")
    assert "\x1b" not in text and "\u202e" not in text and "\\u001b" in text
    assert text.count("remedy: do something") == 3
    assert any(line.startswith("serious  exact-leak-across-splits  what") for line in lines)
    table = [line.split() for line in lines if line.startswith("  PNEUMONIA")]
    assert [row[-1] for row in table] == ["serious", "warning", "tell", "tell"]
    assert table[0][-5:-1] == ["0.850", "0.800", "to", "0.900"]
    none = audit_lines(replace(audited, probes=()))
    assert "cannot tell" in none[-1]


def test_audit_is_read_back(audited: Audit, tmp_path: Path) -> None:
    """What a training leaves is what its report shows; a bad file is told, not fatal."""
    path = tmp_path / "audit.json"
    assert read_audit(path, audited.manifest) is None
    audited.write(path)
    content = read_audit(path, audited.manifest)
    assert content is not None
    assert content.findings == tuple(replace(f, exclude=()) for f in audited.findings)
    assert [judge(probe) for probe in content.probes[:3]] == ["serious", "warning", "cannot tell"]
    assert not content.quick and not content.problem
    for damage in ('{"schema": 99}', "{", '{"schema": 1, "findings": [{}]}', "[]"):
        path.write_text(damage, "utf-8")
        bad = read_audit(path, audited.manifest)
        assert bad is not None and "plainfilm audit" in bad.problem
        assert not bad.findings


def _report(content: ReportContent, folder: Path) -> str:
    return build_report(content, folder / "report.html").read_text("utf-8")


def test_report_shows_the_audit(audited: Audit, tmp_path: Path) -> None:
    """Serious findings and warnings with pictures, no notes; and the serious one up front, once."""
    content = AuditContent(
        findings=audited.findings,
        probes=tuple(probe.to_json() for probe in audited.probes),
        quick=True,
        thumbnails=Thumbnails(audited.manifest),
    )
    plain = ReportContent(evaluation=EVALUATION)
    assert "What the data holds" not in _report(plain, tmp_path)
    text = _report(replace(plain, audit=content), tmp_path)
    page = Page(text)
    assert not page.open and not page.outside and "script" not in page.tags
    section = text[text.index("What the data holds</h2>") :]
    assert "What rotated is." in section and "read from" not in section
    assert section.count("<img") == 2 + 4  # the pair, and four of the seven turned ones
    assert "plainfilm audit DATA" in section
    first = text[: text.index("<nav")]
    assert first.count("What exact-leak-across-splits is") == 1
    slow = _report(replace(plain, audit=replace(content, quick=False)), tmp_path)
    assert "plainfilm audit DATA" not in slow


def test_a_finding_is_a_caveat_once(audited: Audit) -> None:
    """What listing found already is not said again because the audit repeats it."""
    audit_content = AuditContent(findings=audited.findings)
    both = ReportContent(evaluation=EVALUATION, findings=audited.findings[:1], audit=audit_content)
    told = [caveat for caveat in write_caveats(both) if "exact-leak" in caveat.text]
    assert len(told) == 1


def test_report_tells_of_a_damaged_audit(tmp_path: Path) -> None:
    """The report is written all the same."""
    content = ReportContent(
        evaluation=EVALUATION, audit=AuditContent(problem="audit.json is damaged")
    )
    assert "Audit.json is damaged" in _report(content, tmp_path)


def test_page_of_a_real_audit(phantoms: Path, tmp_path: Path) -> None:
    """What the audit itself makes can be shown: every view of every probe is drawn."""
    found = audit_dataset(phantoms)
    text = write_audit_page(found, tmp_path / "audit.html").read_text("utf-8")
    page = Page(text)
    assert not page.open and not page.outside
    shortcuts = [probe for probe in found.probes if probe.about == "shortcut"]
    assert {probe.cheat for probe in shortcuts} == {
        "file metadata",
        "border",
        "thumbnail",
        "histogram",
    }
    assert text.count('class="means"') == sum(
        probe.cheat in ("border", "thumbnail") for probe in found.probes
    )
    assert text.count("<svg") == sum(
        probe.cheat in ("file metadata", "histogram") for probe in found.probes
    )
    quick = write_audit_page(audit_dataset(phantoms, quick=True), tmp_path / "quick.html")
    assert "none of them opened" in quick.read_text("utf-8")


def test_many_serious_findings_leave_room_for_other_doubts() -> None:
    """Two are told, the others counted: the first screen has more to say."""
    many = tuple(_finding(f"check-{n}", "serious") for n in range(7))
    told = [
        caveat.text
        for caveat in write_caveats(
            ReportContent(evaluation=EVALUATION, audit=AuditContent(findings=many))
        )
        if caveat.title == "The audit found"
    ]
    assert told[:2] == ["What check-0 is.", "What check-1 is."]
    assert len(told) == 3 and told[2].startswith("5 more serious findings")


@pytest.mark.slow
def test_report_of_a_run_shows_its_audit(tiny_run: Run, tmp_path: Path) -> None:
    """What the training left beside its plan is in the report, and what it left is readable."""
    values = json.loads((tiny_run.folder / "audit.json").read_text("utf-8"))
    evaluation = evaluate(tiny_run.folder, out=tmp_path / "new", replicates=40, workers=0)
    text = write_report(evaluation, model=tiny_run.folder, run=tiny_run).read_text("utf-8")
    section = text[text.index("What the data holds</h2>") :]
    grave = [row for row in values["findings"] if row["severity"] != "note"]
    for row in grave:
        assert f"<code>{row['check']}</code>" in section
    assert ("plainfilm audit DATA" in section) == values["quick"]
