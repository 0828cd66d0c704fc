"""The report in a real browser: phone and desktop, light and dark, and on paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plainfilm.data import load_dataset
from plainfilm.evaluation import validate
from plainfilm.report import print_pdf, write_external_page, write_report
from plainfilm.report.pdf import find_browser

selenium = pytest.importorskip("selenium", reason="selenium is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_browser() is None or shutil.which("chromedriver") is None,
        reason="Chromium and its driver are not installed (Debian: chromium, chromium-driver)",
    ),
]

WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}

# Contrast of each text with the nearest background that is not transparent.
CONTRAST = """
const lum = ([r, g, b]) => {
  const f = [r, g, b].map(v => { v /= 255; return v <= 0.03928 ? v / 12.92
    : Math.pow((v + 0.055) / 1.055, 2.4); });
  return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2];
};
const read = text => (text.match(/[\\d.]+/g) || []).map(Number);
const bad = [];
for (const node of document.querySelectorAll('body *')) {
  if (node.closest('svg')) continue;
  const own = [...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || !node.getClientRects().length) continue;
  const style = getComputedStyle(node);
  let above = node, back = null;
  while (above && back === null) {
    const c = read(getComputedStyle(above).backgroundColor);
    if (c.length === 3 || (c.length === 4 && c[3] > 0)) back = c;
    above = above.parentElement;
  }
  const [a, b] = [lum(read(style.color)), lum(back || [255, 255, 255])];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${node.tagName} ${node.textContent.slice(0, 40)}`);
}
return bad;
"""


@pytest.fixture(scope="module")
def pages(
    tiny_run: Any, manifest: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Write a report with every section of a run, and the page of an external validation."""
    out = tmp_path_factory.mktemp("pages")
    test = manifest_of(manifest)
    found = validate(
        tiny_run.folder, [test, another_set(out)], out=out / "external", n_bootstrap=100, workers=0
    )
    first = found.evaluations[0]
    report = write_report(
        first,
        model=tiny_run.folder,
        run=tiny_run,
        external=found.document,
        out=out / "r" / "r.html",
    )
    return {"report": report, "external": write_external_page(found)}


def manifest_of(manifest: Any) -> Any:
    from dataclasses import replace

    records = tuple(
        replace(record, columns={"site": "north" if number % 2 else "south", "age": number})
        for number, record in enumerate(r for r in manifest.records if r.official == "test")
    )
    return replace(manifest, name="drawn", records=records)


def another_set(out: Path) -> Any:
    """Draw another data set, with names that contain markup."""
    rng = np.random.default_rng(0)
    for name in ("NORMAL", "PNEUMONIA"):
        folder = out / "b <i>&lt;" / name
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (80, 80)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"<script>{number}.png")
    return load_dataset(out / "b <i>&lt;")


@pytest.fixture(scope="module")
def open_page() -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page at a width, in a light or dark scheme."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = find_browser() or ""
    for switch in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--hide-scrollbars", "--disable-dev-shm-usage"),
    ):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))

    def show(path: Path, width: str = "desktop", scheme: str = "light") -> Any:
        across, down = WIDTHS[width]
        metrics = {"width": across, "height": down, "deviceScaleFactor": 1}
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": width == "phone"}
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        driver.get_log("performance")
        driver.get(path.as_uri())
        return driver

    yield show
    driver.quit()


def loaded(driver: Any) -> set[str]:
    """Return the addresses that were loaded since the page was opened."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }


@pytest.mark.parametrize("name", ["report", "external"])
@pytest.mark.parametrize("width", [*WIDTHS])
def test_it_fits_the_screen_and_loads_nothing(
    open_page: Callable[..., Any], pages: dict[str, Path], name: str, width: str
) -> None:
    driver = open_page(pages[name], width)
    outside = {url for url in loaded(driver) if not url.startswith(("file:", "data:"))}
    assert outside == set()
    inside, across = driver.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert inside <= across
    assert pages[name].stat().st_size < 6_000_000
    errors = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


@pytest.mark.parametrize("name", ["report", "external"])
def test_figures_are_readable_on_a_phone(
    open_page: Callable[..., Any], pages: dict[str, Path], name: str
) -> None:
    driver = open_page(pages[name], "phone")
    heights = driver.execute_script(
        "return [...document.querySelectorAll('figure svg text')].map("
        "t => t.getBoundingClientRect().height)"
    )
    assert heights
    assert min(heights) > 7
    cut = driver.execute_script(
        "return [...document.querySelectorAll('figure.plot:not(.wide) svg')].filter("
        "s => s.getBoundingClientRect().right > innerWidth).length"
    )
    assert cut == 0, "only wide figures are panned"


@pytest.mark.parametrize("name", ["report", "external"])
def test_every_interval_of_a_forest_plot_is_visible_on_a_phone(
    open_page: Callable[..., Any], pages: dict[str, Path], name: str
) -> None:
    driver = open_page(pages[name], "phone")
    found = driver.execute_script(
        "return [...document.querySelectorAll('figure svg')].filter("
        "s => /by subgroup|on each data set/.test(s.getAttribute('aria-label'))).map("
        "s => [...s.querySelectorAll('use')].map(u => u.getBoundingClientRect()).filter("
        "r => r.left >= 0 && r.right <= innerWidth).length)"
    )
    assert found and min(found) >= 2


@pytest.mark.parametrize("name", ["report", "external"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(
    open_page: Callable[..., Any], pages: dict[str, Path], name: str, scheme: str
) -> None:
    driver = open_page(pages[name], "desktop", scheme)
    driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert driver.execute_script(CONTRAST) == []
    back = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, back[4:-1].split(","))) > 380
    assert light == (scheme == "light")


@pytest.mark.parametrize("name", ["report", "external"])
def test_screen_readers_and_keyboards_reach_everything(
    open_page: Callable[..., Any], pages: dict[str, Path], name: str
) -> None:
    driver = open_page(pages[name])
    nameless = driver.execute_script(
        "return [...document.querySelectorAll('img, svg')].filter(n => !n.closest('[aria-hidden]')"
        " && !(n.getAttribute('alt') || n.getAttribute('aria-label'))).length"
    )
    assert nameless == 0
    levels = driver.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    # Scrolling areas must be reachable by keyboard and have a name.
    hidden = driver.execute_script(
        "return [...document.querySelectorAll('.scroll, .pan')].filter("
        "n => n.tabIndex < 0 || !n.getAttribute('aria-label')).length"
    )
    assert hidden == 0
    broken = driver.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].filter("
        "a => !document.getElementById(a.getAttribute('href').slice(1))).map(a => a.href)"
    )
    assert broken == []
    twice = driver.execute_script(
        "const ids = [...document.querySelectorAll('[id]')].map(n => n.id);"
        "return ids.filter((id, i) => ids.indexOf(id) !== i)"
    )
    assert twice == []


def test_names_are_never_markup(open_page: Callable[..., Any], pages: dict[str, Path]) -> None:
    driver = open_page(pages["external"])
    assert driver.execute_script("return document.querySelectorAll('script, i').length") == 0
    assert "b <i>&lt;" in driver.execute_script("return document.body.innerText")


def test_the_report_has_every_section(
    open_page: Callable[..., Any], pages: dict[str, Path]
) -> None:
    driver = open_page(pages["report"])
    titles = driver.execute_script(
        "return [...document.querySelectorAll('main > section h2')].map(h => h.innerText)"
    )
    for title in (
        *("Performance", "External validation", "Subgroups", "Robustness", "Rejected images"),
        *("Training", "Misclassified images", "Sample images", "All metrics", "Data"),
        *("Reporting checklists", "Provenance"),
    ):
        assert title in titles
    boxes = driver.execute_script(
        "return [...document.querySelectorAll('main svg')].map("
        "s => { const r = s.getBoundingClientRect(); return [r.width, r.height]; })"
    )
    assert len(boxes) >= 10
    assert all(width > 150 and height > 60 for width, height in boxes)


def test_it_prints_to_a_pdf_with_the_numbers(pages: dict[str, Path], tmp_path: Path) -> None:
    out = print_pdf(pages["report"], tmp_path / "r.pdf")
    data = out.read_bytes()
    assert data.startswith(b"%PDF-")
    pages_of = len(re.findall(rb"/Type /Page\b", data))
    assert 3 <= pages_of <= 15
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[(.*?)\]", data)}
    # As wide as A4 (595 points) and as high as Letter (792 points): it fits both.
    assert all(abs(box[2] - 595.3) < 1 and abs(box[3] - 790.9) < 1 for box in boxes)
    assert not list(tmp_path.glob(".*"))
    reader = shutil.which("pdftotext")
    if reader is not None:
        text = subprocess.run([reader, out, "-"], capture_output=True, text=True, check=True).stdout
        assert "CAVEATS" in text.upper()
        assert "AUROC" in text
        assert text.count("\f") > 3
