"""The page of ``plainfilm serve`` in a real browser, with a real service."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import itertools
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_driver import IDLE, WIDTHS, Files, Page, browsing, serving

from plainfilm._csv import neutral
from plainfilm.bundle import Bundle, IndeterminateRange, Rejection, read_bundle, write_bundle
from plainfilm.evaluation import evaluate
from plainfilm.evaluation.document import EvaluationDocument
from plainfilm.metrics import predictive_values, shift_prevalence
from plainfilm.phantom import draw, sample_patient
from plainfilm.phantom.encode import encode
from plainfilm.records import Task, ValidationRates
from plainfilm.report import write_report
from plainfilm.report.pdf import find_browser
from plainfilm.runtime import Predictor

for needed, extra in (("starlette", "serve"), ("h11", "serve"), ("selenium", "test")):
    pytest.importorskip(needed, reason=f"{needed} is not installed (extra {extra})")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_browser() is None or shutil.which("chromedriver") is None,
        reason="Chromium and its driver are not installed (Debian: chromium, chromium-driver)",
    ),
]

TOKEN = "a-token-for-tests-only-42"
OPTIONS = "return [...document.getElementById(arguments[0]).options].map(one => one.value)"
SAME = "the same threshold as balanced: validation separates the classes too well to set another"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Start a browser."""
    with browsing() as driver:
        yield driver


@pytest.fixture(scope="module")
def run_folder(tiny_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained run with its evaluation and report."""
    folder = Path(shutil.copytree(tiny_run.folder, tmp_path_factory.mktemp("page") / "drawn"))
    evaluation = evaluate(folder, robustness=False, n_bootstrap=60, workers=0)
    write_report(evaluation, model=folder)
    return folder


@pytest.fixture(scope="module")
def rejecting(run_folder: Path) -> Path:
    """Return the same bundle with settings that reject every image."""
    bundle = read_bundle(run_folder)
    [label] = bundle.task.labels
    assert bundle.rejection is not None
    return reseal(
        bundle,
        run_folder.parent / "rejecting",
        rejection=dataclasses.replace(bundle.rejection, threshold=0.0),
        indeterminate={label: IndeterminateRange(0.0, 1.0, "everything")},
    )


def reseal(bundle: Bundle, folder: Path, **changes: Any) -> Path:
    """Write a bundle again with changes."""
    graph, weights = bundle.graph.read_bytes(), bundle.weights.read_bytes()
    metadata = dataclasses.replace(bundle, **changes)
    return write_bundle(folder, metadata, graph=graph, weights=weights).folder


@pytest.fixture(scope="module")
def page(driver: Any, run_folder: Path, rejecting: Path) -> Iterator[Page]:
    """Serve the trained and the rejecting bundle, and return a page of the service."""
    with serving(run_folder.parent, run_folder, rejecting) as address:
        yield Page(driver, address)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Draw radiographs as JPEG and DICOM, a broken file, and a text file."""
    rng = np.random.default_rng(5)

    def draw_film(kind: Any, ill: str | None) -> bytes:
        patient = sample_patient(rng)
        picture = draw(rng, size=(180, 220), patient=patient, pneumonia=ill, subtlety=0.0) / 255.0
        return encode(rng, picture, kind, patient=patient, key="secret", image=1)

    whole = draw_film("jpeg", None)
    return {
        "well.jpeg": whole,
        "ill.jpeg": draw_film("jpeg", "lobar"),
        "film.dcm": draw_film("dicom", "patchy"),
        "broken.jpeg": whole[: len(whole) // 3],
        "letter <b>.txt": b"not an image",
    }


@pytest.fixture(scope="module")
def predictions(run_folder: Path, files: Files) -> dict[str, Any]:
    """Return the predictor's predictions on those files."""
    predicted = Predictor(run_folder).predict(files.values(), workers=1)
    return dict(zip(files, predicted, strict=True))


def percent(share: float) -> str:
    if share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if share > 0.999 else f"{share * 100:.1f} %"


def test_dropped_files_are_predicted(page: Page, files: Files, predictions: dict[str, Any]) -> None:
    page.open().drop(files)
    rows = page.rows()
    assert list(rows) == list(files)
    for name, (probability, predicted, remark) in rows.items():
        answer = predictions[name]
        if answer.rejected:
            assert (probability, predicted, remark) == ("", "rejected", answer.problem)
        elif answer.reason is None:
            assert probability == percent(answer.probabilities["PNEUMONIA"])
            assert predicted == answer.predicted["balanced"]
        else:
            assert (probability, predicted) == ("", "")
            assert len(remark) > 10
    assert page.text("#progress-text") == "5 of 5 done, 2 failed"
    assert page.text("#result-title") == "well.jpeg"
    assert "220 × 180 pixels" in page.text("#metadata")
    assert page.pixel()[3] == 255
    page.choose("filter", "failed")
    assert list(page.rows()) == ["broken.jpeg", "letter <b>.txt"]
    assert page.console_errors() == []


def test_requests_go_to_the_service_only_and_contain_no_file_name(page: Page, files: Files) -> None:
    page.open().drop(files)
    requests = page.requests()
    addresses = {one["request"]["url"] for one in requests}
    assert len([url for url in addresses if "/v1/predictions" in url]) >= 1
    outside = {
        url for url in addresses if not url.startswith((page.address, "data:", "blob:", "about:"))
    }
    assert outside == set()
    posts = [one for one in requests if one["request"]["method"] == "POST"]
    assert len(posts) >= len(files)
    for one in posts:
        body = page.driver.execute_cdp_cmd(
            "Network.getRequestPostData", {"requestId": one["requestId"]}
        )
        sent = body["postData"].encode()
        if not sent.startswith(b"--"):  # binary content is encoded
            sent = base64.b64decode(sent)
        assert b'filename="image"' in sent
        assert not any(name.encode() in sent for name in files)
    # The answer contains no identity from the header.
    page.run("[...document.querySelectorAll('#rows tr button')][2].click()")
    page.wait(IDLE)
    assert "DX" in page.text("#metadata")
    html = page.run("return document.documentElement.outerHTML")
    assert "SYNTHETIC" not in html
    assert "secret" not in html


def test_the_policy_forbids_inline_scripts(page: Page) -> None:
    page.open().wait("return document.body.dataset.ready === 'true'")
    ran = page.run(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        "document.body.append(s); const i = new Image(); i.src = 'http://127.0.0.2:1/x.png';"
        "return window.ran ?? null"
    )
    assert ran is None
    messages = " ".join(page.console_errors())
    assert "script-src" in messages
    page.wait("return performance.getEntriesByType('resource').length >= 0")


def test_the_radiograph_can_be_zoomed_panned_and_windowed(page: Page, files: Files) -> None:
    page.open().drop({"ill.jpeg": files["ill.jpeg"]})
    assert page.run("return getComputedStyle(document.getElementById('list')).display") == "none"
    grey = page.pixel()
    assert grey[0] == grey[1] == grey[2]

    page.click("invert")
    assert page.pixel()[0] == 255 - grey[0]
    page.click("invert")

    # The right button sets window and level in every mode.
    page.mouse(
        ("mousePressed", 0, 0),
        ("mouseMoved", -90, -60),
        ("mouseReleased", -90, -60),
        button="right",
    )
    assert int(page.text("#window-value")) == 165
    assert int(page.text("#level-value")) == 98
    assert page.pixel() != grey
    page.click("reset")
    assert page.pixel() == grey

    page.mouse(("mouseWheel", 0, 0))
    page.wait("return parseInt(document.getElementById('zoom').textContent) > 120")
    before = page.pixel(60)
    page.mouse(("mousePressed", 0, 0), ("mouseMoved", -60, 0), ("mouseReleased", -60, 0))
    assert page.pixel(0) == pytest.approx(before, abs=12)
    page.click("reset")
    assert page.text("#zoom") == "100 %"

    page.run("document.querySelector('[name=show][value=seen]').click()")
    assert page.pixel() != []
    assert page.run("return document.querySelector('[name=show]:checked').value") == "seen"


def test_the_heat_map_is_shown_with_a_caution(page: Page, files: Files) -> None:
    page.open().drop({"ill.jpeg": files["ill.jpeg"]})
    coloured = (
        "const c = document.getElementById('canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
        "for (let i = 0; i < d.length; i += 4) n += Math.abs(d[i] - d[i + 2]); return n"
    )
    page.pixel()
    assert page.run(coloured) == 0
    assert not page.find("heat-note").is_displayed()
    page.click("heat")
    page.pixel()
    strong = page.run(coloured)
    assert strong > 0
    assert "A heat map is not an explanation." in page.text("#heat-note")
    page.run(
        "const o = document.getElementById('opacity'); o.value = 0.1;"
        "o.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    page.pixel()
    assert 0 < page.run(coloured) < strong / 2
    page.click("heat")
    page.pixel()
    assert page.run(coloured) == 0


def test_a_probability_is_adjusted_to_a_prevalence(
    page: Page, files: Files, predictions: dict[str, Any], run_folder: Path
) -> None:
    page.open().drop({"ill.jpeg": files["ill.jpeg"]})
    raw = predictions["ill.jpeg"].probabilities["PNEUMONIA"]
    assert page.text("#prediction .value") == percent(raw)
    assert "Assumes a prevalence of 50 %" in page.text("#prediction")
    page.find("prevalence").send_keys("5")
    assert page.text("#prediction .value") == percent(
        float(shift_prevalence(raw, from_=0.5, to=0.05))
    )
    tested = EvaluationDocument.read(run_folder / "evaluation/evaluation.json")
    points = tested.labels["PNEUMONIA"].operating_points
    offered = page.run(OPTIONS, "point")
    assert {points[name].threshold for name in offered} == {
        point.threshold for point in points.values()
    }
    for name in offered:
        point = points[name]
        page.choose("point", name)
        predicted = predictions["ill.jpeg"].predicted[name]
        text = page.text("#reliability")
        if point.predictive_values is None:
            assert "Unknown: Only" in text and "require 20" in text
        else:
            ppv, npv = point.predictive_values.at(0.05)
            ends = [ppv.value, ppv.low, ppv.high]
            if predicted != "PNEUMONIA":
                ends = [1 - npv.value, 1 - npv.high, 1 - npv.low]
            share, low, high = ends
            number = page.module("interpret", "return m.ofHundred(given[0])", share)
            assert (
                f"If 5 % of all images are PNEUMONIA, {number} of 100 images predicted as "
                f"{predicted} are PNEUMONIA (95 % confidence interval {math.floor(100 * low)} to "
                f"{math.ceil(100 * high)})." in text
            )
        assert f"Predicted as {predicted}" in page.text("#prediction")
        assert f"(operating point {name})" in page.text("#prediction")
    page.find("prevalence").send_keys("000")
    assert "above 0 and below 100" in page.text("#prevalence-error")
    assert page.find("prevalence").get_attribute("aria-invalid") == "true"


def lock_again(bundle: Bundle, folder: Path, thresholds: dict[str, float]) -> Path:
    """Write a bundle with other thresholds; some are equal to that of the balanced point."""
    points = []
    for one in bundle.points:
        name, threshold = one.point.name, thresholds[one.point.name]
        same = name != "balanced" and threshold == thresholds["balanced"]
        rule = SAME if same else f"the rule of {name}"
        known = dataclasses.replace(
            one.validation,
            status="not determined" if same else "determined",
            note=SAME if same else "",
            same_as_balanced=same,
            unchanged=ValidationRates(0.9, 0.7),
            all_copies=ValidationRates(0.8, 0.7),
        )
        point = dataclasses.replace(one.point, threshold=threshold, rule=rule)
        points.append(dataclasses.replace(one, point=point, validation=known))
    return reseal(bundle, folder, points=tuple(points), indeterminate={})


def test_points_without_a_threshold_of_their_own_are_not_offered(
    driver: Any, run_folder: Path, files: Files, tmp_path: Path
) -> None:
    bundle = read_bundle(run_folder)
    one = {"balanced": 0.4, "rule-out": 0.4, "rule-in": 0.4}
    cases = {"one": one, "two": {**one, "rule-in": 0.8}, "three": {**one, "rule-out": 0.2}}
    cases["three"]["rule-in"] = 0.8
    folders = [lock_again(bundle, tmp_path / name, own) for name, own in cases.items()]
    shown = {"one": ["balanced"], "two": ["balanced", "rule-in"], "three": [*one]}
    with serving(tmp_path, *folders) as address:
        page = Page(driver, address).open().drop({"ill.jpeg": files["ill.jpeg"]})
        for name, names in shown.items():
            page.choose("bundle", name)
            # The page may still be idle: the new bundle has arrived when its points are offered.
            page.wait(f"{OPTIONS}.join() === arguments[1]", "point", ",".join(names))
            page.wait(IDLE)
            assert page.run(OPTIONS, "point") == names
            assert page.find("point-choice").is_displayed() == (len(names) > 1)
            equal = [other for other in one if other not in names]
            words = f"{' and '.join(equal)}: {SAME}."
            rules = page.text("#point-rule")
            assert rules.startswith("Balanced: the rule of balanced.")
            assert (words[0].upper() + words[1:] in rules) == bool(equal)
            assert (SAME in page.text("#about")) == bool(equal)
            assert "at least" not in page.text("body")
            assert "selected it: sensitivity 90.0 % (80.0 % with disturbed copies), spec" in rules
            assert "specificity 70.0 %." in rules
            assert not page.console_errors()
            assert not page.violations()


def test_warnings_come_before_the_probability(page: Page, files: Files) -> None:
    page.open().drop({name: files[name] for name in ("well.jpeg", "ill.jpeg")})
    page.choose("bundle", "rejecting")
    page.wait("return document.querySelectorAll('#warnings .flag').length === 1")
    page.wait(IDLE)
    text = page.text("#result")
    words = ("Rejected", "is unlike the training images", "No predicted class", "unlike-training")
    places = [text.index(part) for part in words]
    assert places == sorted(places)
    assert "Probability" not in text and "Indeterminate" not in text
    assert "of 100 images" not in text, "test results do not apply to a rejected image"
    row = ("", "rejected", "the image is unlike the training images")
    assert [tuple(found) for found in page.rows().values()] == [row] * 2
    page.choose("filter", "rejected")
    assert len(page.rows()) == 2


def test_the_worklist_is_sorted_and_exported(
    page: Page, files: Files, predictions: dict[str, Any], tmp_path: Path
) -> None:
    formula = '=HYPERLINK("x"),y.jpeg'
    page.open().drop({**files, formula: files["well.jpeg"]})
    button = page.driver.find_element("css selector", "[data-column=probability]")
    head = "return document.querySelector('[data-column=probability]').closest('th').ariaSort"
    for order, reverse in (("descending", True), ("ascending", False)):
        button.click()
        assert page.run(head) == order
        names = list(page.rows())
        read = [n for n in names if n == formula or predictions[n].reason is None]
        assert names[: len(read)] == read
        values = [
            predictions["well.jpeg" if n == formula else n].probabilities["PNEUMONIA"] for n in read
        ]
        assert values == sorted(values, reverse=reverse)
    page.find("prevalence").send_keys("20")
    data = export(page, tmp_path)
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\r\n") == data.count(b"\n") == len(files) + 2
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig")))}
    assert list(rows) == [*files, f"'{formula}"]
    for name in files:
        answer, row = predictions[name], rows[name]
        assert row["reason"] == (answer.reason or "")
        if answer.reason is not None:
            assert row["predicted"] == row["probability_PNEUMONIA"] == ""
            continue
        printed = answer.to_json()["probabilities"]
        assert float(row["probability_PNEUMONIA"]) == printed["PNEUMONIA"]
        at = float(shift_prevalence(printed["PNEUMONIA"], from_=0.5, to=0.2))
        assert float(row["probability_PNEUMONIA_at_prevalence"]) == pytest.approx(at, rel=1e-12)
        assert row["predicted"] == answer.predicted["balanced"]
        assert row["rejected"] == str(answer.rejected).lower()
        assert float(row["novelty"]) == answer.to_json()["novelty"]


def export(page: Page, folder: Path) -> bytes:
    """Export the worklist, and return the CSV."""
    behaviour = {"behavior": "allow", "downloadPath": str(folder)}
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    page.click("export")
    end = time.monotonic() + 20
    while not (folder / "plainfilm.csv").is_file() and time.monotonic() < end:
        time.sleep(0.05)
    return (folder / "plainfilm.csv").read_bytes()


LABELS = ("EFFUSION", "EDEMA", "MASS")


@pytest.mark.parametrize(
    ("task", "gains"),
    [
        (Task("binary", ("bright",), ("dark", "bright")), (1.0,)),
        (Task("multilabel", LABELS, LABELS), (1.0, -1.0, 3.0)),
        (Task("multiclass", LABELS, LABELS), (0.2, -1.0, 0.6)),
    ],
)
def test_doubtful_images_have_the_fields_of_the_command(
    driver: Any,
    make_bundle: Callable[..., Any],
    doubtful_files: Files,
    tmp_path: Path,
    run_plainfilm: Callable[..., Any],
    task: Task,
    gains: Sequence[float],
) -> None:
    bundle = make_bundle(task=task, gains=gains, rejection=Rejection(1.0, "by hand", 0.0))
    paths = {name: tmp_path / name for name in doubtful_files}
    for name, data in doubtful_files.items():
        paths[name].write_bytes(data)
    printed = run_plainfilm("predict", bundle.folder, *paths.values(), "--format", "csv").stdout
    expected = dict(zip(paths, csv.DictReader(io.StringIO(printed)), strict=True))
    with serving(tmp_path, f"bright={bundle.folder}") as address:
        page = Page(driver, address).open().drop(doubtful_files)
        exported = csv.DictReader(io.StringIO(export(page, tmp_path).decode("utf-8-sig")))
        for found in exported:
            row = expected[found["file"]]
            for column in row.keys() - {"file", "problem"}:
                assert found[column] == row[column], (found["file"], column)
            if row["reason"] == "truncated":
                assert found["problem"] == "the file ends too early"
            else:
                assert found["problem"] == row["problem"]
        listed = page.rows()
        assert list(listed) == list(doubtful_files)
        for name, (probability, predicted, remark) in listed.items():
            if expected[name]["rejected"] == "true":
                assert (probability, predicted) == ("", "rejected")
                assert remark == expected[name]["problem"]
            else:
                assert bool(probability) == name.startswith("ordinary")
        page.choose("filter", "positive")
        assert all(name.startswith("ordinary") for name in page.rows())
        page.choose("filter", "rejected")
        assert len(page.rows()) == 5
        for name in page.rows():
            page.run(f"document.querySelector('#rows button[title=\"{name}\"]').click()")
            page.wait(IDLE)
            assert page.text("#result-title") == name
            # The rates of the operating point are not of the image.
            text = page.text("#result").replace(page.text("#point-rule"), "")
            assert "No predicted class" in text and name in text and " %" not in text
        page.wait("return !document.getElementById('radiograph-status').textContent")
        assert page.pixel()[3] == 255, "the image is shown"
        assert page.console_errors() == [] and page.violations() == []


def test_the_page_works_with_the_keyboard_alone(page: Page, files: Files) -> None:
    page.open().drop(files)
    page.run("document.querySelector('.skip').focus()")
    seen = []
    for _ in range(40):
        page.keys("\ue004")
        seen.append(page.focused())
        if seen[-1] == "well.jpeg":
            break
    assert seen[:1] != ["BODY"]
    assert seen[-1] == "well.jpeg"
    width = page.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert width != "none"
    page.keys("\ue015", "\ue015")  # arrow down, twice
    assert page.focused() == "film.dcm"
    page.wait(IDLE)
    assert page.text("#result-title") == "film.dcm"
    assert page.run("return document.querySelectorAll('#rows [tabindex=\"0\"]').length") == 1
    page.keys("i", "h")
    for id in ("invert", "heat"):
        assert page.find(id).get_attribute("aria-pressed") == "true"
    page.keys("p")
    assert page.text("#result-title") == "ill.jpeg"
    page.keys("?")
    assert page.find("help").is_displayed()
    page.keys("i")  # ignored while a dialog is open
    page.run("document.getElementById('keys-on').click()")
    page.keys("\ue00c")  # escape
    assert not page.find("help").is_displayed()
    page.keys("n")  # disabled
    assert page.text("#result-title") == "ill.jpeg"
    page.run("document.getElementById('canvas').focus()")
    page.run("document.getElementById('zoom-in').click()")
    before = page.pixel(40)
    page.keys("\ue014")  # arrow right: the image moves by 40 pixels
    assert page.pixel() == pytest.approx(before, abs=12)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [*WIDTHS])
def test_the_page_fits_the_screen_and_is_accessible(
    page: Page, files: Files, width: str, scheme: str
) -> None:
    page.open(width, scheme).wait("return document.body.dataset.ready === 'true'")
    back = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back)[:3])) > 380) == (scheme == "light")
    for stage in ("start", "many"):
        if stage == "many":
            page.drop(files).click("heat")
            page.choose("bundle", "rejecting")
            page.wait("return document.querySelectorAll('#warnings .flag').length === 1")
        across, inner = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert across <= inner, stage
        assert page.violations() == [], stage
    page.run("document.getElementById('help-open').click()")
    assert page.violations() == []


def test_clearing_removes_all_images(page: Page, files: Files) -> None:
    page.open().drop(files).click("clear")
    assert page.run("return document.body.dataset.stage") == "start"
    assert page.pixel() == [0, 0, 0, 0]
    assert page.focused() == "pick"
    text = page.run("return document.body.textContent")
    assert not any(name in text for name in files)
    kept = page.driver.execute_async_script(
        "const done = arguments[0]; Promise.all([caches.keys(), indexedDB.databases()])"
        ".then(([c, d]) => done([localStorage.length, sessionStorage.length, c.length, d.length,"
        " document.cookie.length]))"
    )
    assert kept == [0, 0, 0, 0, 0]


def test_interpretation_agrees_with_the_metrics(page: Page) -> None:
    page.open().wait("return document.body.dataset.ready === 'true'")
    grid = [0.0, 1e-6, 0.03, 0.5, 0.8, 0.999999, 1.0]
    shares = [0.001, 0.05, 0.5, 0.62, 0.97]
    cases = list(itertools.product(grid, shares, shares))
    found = page.module("interpret", "return given[0].map(c => m.shiftPrevalence(...c))", cases)
    expected = [float(shift_prevalence(p, from_=a, to=b)) for p, a, b in cases]
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-300)
    rates = list(itertools.product([0.1, 0.4, 0.974, 1.0], [0.1, 0.752, 1.0]))
    cases = []
    for (sensitivity, specificity), share in itertools.product(rates, shares):
        half = predictive_values(sensitivity, specificity, [0.5])
        one = {"prevalence": 0.5}
        one["ppv"], one["npv"] = (
            {"value": float(side[0]), "low": None, "high": 1} for side in (half.ppv, half.npv)
        )
        cases.append((one, share))
    found = page.module("interpret", "return given[0].map(c => m.predictiveValues(...c))", cases)
    for ((sensitivity, specificity), share), shown in zip(
        itertools.product(rates, shares), found, strict=True
    ):
        values = predictive_values(sensitivity, specificity, [share])
        for name, expected in (("ppv", values.ppv[0]), ("npv", values.npv[0])):
            assert shown[name]["value"] == pytest.approx(float(expected), rel=1e-9)
            assert (shown[name]["low"], shown[name]["high"]) == (None, 1)
    texts = {"5": 0.05, "0,5": 0.005, " 12 % ": 0.12, "0": None, "100": None, "x": None, "": None}
    found = page.module("interpret", "return given[0].map(m.parsePrevalence)", [*texts])
    assert found == [value if value is None else pytest.approx(value) for value in texts.values()]


def test_without_a_threshold_there_is_no_predicted_class(page: Page) -> None:
    page.open().wait("return document.body.dataset.ready === 'true'")
    result = {"probabilities": {"a": 0.9, "b": 0.2}, "predicted": {}, "rejected": False}
    for kind, expected in (("binary", ""), ("multilabel", ""), ("multiclass", "a")):
        model = {"task": {"kind": kind, "labels": ["a", "b"], "classes": ["b", "a"]}}
        code = "return m.predictedClass(given[0], given[1], 'balanced')"
        assert page.module("interpret", code, model, result) == expected


def test_csv_cells_are_quoted_and_never_formulas(page: Page) -> None:
    page.open().wait("return document.body.dataset.ready === 'true'")
    plain = ["plain", "a,b", 'say "x"', "two\r\nlines", "+1", "-1", "-0.5 to 0.3", "'tis"]
    formulas = ["=1+1", "+1+1", "-a.png", "@x", "\tx", '=","', "'=1", "-1\n", "-٣", "＝1"]
    names = plain + formulas
    text = page.module("csv", "return m.writeCsv([given[0]])", names)
    [row] = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    assert row == plain + [f"'{name}" for name in formulas]
    assert row == [neutral(name) for name in names]


def test_requests_to_a_busy_service_are_repeated(page: Page) -> None:
    page.open().wait("return document.body.dataset.ready === 'true'")
    body = """
    const {Problem, parseRetryAfter} = await import('/static/api.js');
    const steps = [], runs = {};
    const refused = {
      busy: () => new Problem(429, 'busy', 'busy', {wait: 0.05}),
      gone: () => new Problem(422, 'no-decoder', 'none'),
      bad: () => new Problem(422, 'truncated', 'the file ends too early'),
    };
    const queue = new m.Queue(async item => {
      runs[item.name] = (runs[item.name] ?? 0) + 1;
      const again = item.name !== 'bad' && runs[item.name] > 1;
      if (item.name in refused && !again) throw refused[item.name]();
      return {};
    }, item => steps.push(item));
    const items = ['good', 'busy', 'gone', 'bad'].map(name => ({name}));
    queue.add(items);
    while (items.some(i => i.state !== 'done' && i.state !== 'failed'))
      await new Promise(done => setTimeout(done, 10));
    return [runs, items.map(i => i.state), items[3].error.title,
            parseRetryAfter('7'), parseRetryAfter('Thu, 01 Jan 1970 00:00:09 GMT', 4000),
            parseRetryAfter(null)];
    """
    runs, states, title, *waits = page.module("queue", body)
    assert runs == {"good": 1, "busy": 2, "gone": 2, "bad": 1}
    assert states == ["done", "done", "done", "failed"]
    assert title == "the file ends too early"
    assert waits == [7, 5, None]


def test_several_labels_or_classes_and_a_token(
    driver: Any, run_folder: Path, make_bundle: Callable[..., Any], files: Files, tmp_path: Path
) -> None:
    labels = ("EFFUSION", "EDEMA", "MASS")
    made = make_bundle(
        tmp_path / "made", task=Task("multilabel", labels, labels), gains=(1.0, -1.0, 3.0)
    )
    balanced = dataclasses.replace(made.provenance, assumed_prevalence="balanced")
    several = reseal(made, tmp_path / "several", provenance=balanced)
    classes = make_bundle(
        tmp_path / "classes", task=Task("multiclass", labels, labels), gains=(0.2, -1.0, 0.6)
    )
    bundles = (run_folder, f"several={several}", f"classes={classes.folder}")
    with serving(tmp_path, *bundles, PLAINFILM_TOKEN=TOKEN) as address:
        page = Page(driver, address).open()
        enter_token(page)
        read_documents(page)
        page.drop({name: files[name] for name in ("well.jpeg", "ill.jpeg")})
        check_labels(page, several, labels, files["well.jpeg"])
        page.choose("bundle", "classes")
        page.wait(
            "return document.querySelector('.predicted')?.textContent.includes('most probable')"
        )
        page.wait(IDLE)
        [answer] = Predictor(classes).predict([files["well.jpeg"]], workers=1)
        likely = max(answer.probabilities, key=answer.probabilities.__getitem__)
        assert page.rows()["well.jpeg"][:2] == [percent(answer.probabilities[likely]), likely]
        assert not page.find("prevalence").is_displayed()
        assert page.violations() == []
        assert page.run("return [localStorage.length, sessionStorage.length]") == [0, 0]


def enter_token(page: Page) -> None:
    page.wait("return document.getElementById('token').open")
    assert page.violations() == []
    page.keys("\ue00c", "\ue00c")  # Escape does not close it permanently
    page.wait("return document.getElementById('token').open")
    page.find("token-text").send_keys("wrong\n")
    page.wait("return document.getElementById('token-error').textContent")
    page.find("token-text").send_keys(f"{TOKEN}\n")
    page.wait("return document.body.dataset.ready === 'true'")
    page.console_errors()  # of the refused requests


def read_documents(page: Page) -> None:
    """Open report and card, which with a token are shown in a dialog without inline styles."""
    for id, words in (("report", "Caveats"), ("card", "not a medical device")):
        page.click(id)
        body = "document.querySelector('#document iframe')?.contentDocument?.body"
        text = page.wait(f"return {body}?.innerText")
        assert words.lower() in text.lower()
        margin = page.run(
            "const f = document.querySelector('#document iframe');"
            "return f.contentWindow.getComputedStyle(f.contentDocument.body).marginTop"
        )
        assert margin is not None
        assert (
            page.run(f"return {body}.ownerDocument.querySelectorAll('script, style').length") == 0
        )
        page.run("document.querySelector('#document button').click()")
        page.wait("return !document.querySelector('#document iframe')")
    assert page.console_errors() == []


def check_labels(page: Page, bundle: Path, labels: Sequence[str], data: bytes) -> None:
    page.choose("bundle", "several")
    page.wait("return document.querySelectorAll('.labels tbody tr').length === 3")
    page.wait(IDLE)
    [answer] = Predictor(bundle).predict([data], workers=1)
    positive = [label for label in labels if answer.predicted[f"{label}/balanced"] == "positive"]
    assert page.rows()["well.jpeg"][1] == (", ".join(positive) or "none")
    for label in labels:
        page.choose("label", label)
        assert page.text("#prediction .value") == percent(answer.probabilities[label])
        assert page.rows()["well.jpeg"][0] == percent(answer.probabilities[label])
        assert f"of {label}" in page.text("#prevalence-choice")
    page.choose("label", labels[0])
    page.find("prevalence").send_keys("5")
    shifted = float(shift_prevalence(answer.probabilities[labels[0]], from_=0.5, to=0.05))
    assert page.text("#prediction .value") == percent(shifted)
    assert page.rows()["well.jpeg"][0] == percent(shifted)
    page.choose("label", labels[1])  # each label has its own prevalence
    assert page.text("#prediction .value") == percent(answer.probabilities[labels[1]])
    assert page.violations() == []
