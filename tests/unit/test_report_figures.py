"""Figures are well-formed, reproducible, and correct in what they draw."""

from __future__ import annotations

import io
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from plainfilm.errors import UsageError
from plainfilm.metrics import Interval, ReliabilityBin
from plainfilm.report.figures import (
    calibration_figure,
    confusion_figure,
    history_figure,
    precision_recall_figure,
    roc_figure,
    sample_grid,
    score_figure,
)
from plainfilm.report.figures.style import FIRST, GRID, INK, QUIET, SECOND
from plainfilm.report.html.markup import element, join, visible

RATE = Interval(0.8, 0.7, 0.9, "Wilson")
STRANGE = "a<b> $x$ \x07 肺炎"
POINTS = {STRANGE: {"sensitivity": RATE, "specificity": RATE, "ppv": RATE}}
HISTORY = [{"epoch": float(i), "loss": 1 / i, "val_loss": 1.1 / i} for i in range(1, 6)]
DRAWN: dict[str, Callable[[], str]] = {
    "roc": lambda: roc_figure([0, 0.1, 1], [0, 0.8, 1], points=POINTS, note=STRANGE),
    "precision-recall": lambda: precision_recall_figure(
        [0, 0.5, 1], [1, None, 0.6], prevalence=0.6, points=POINTS
    ),
    "confusion": lambda: confusion_figure([[90, 10], [0, 0]], ("no", STRANGE)),
    "calibration": lambda: calibration_figure(
        [
            ReliabilityBin(0.0, 0.5, 12, 0.1, Interval(0.2, 0.1, 0.3, "Wilson")),
            ReliabilityBin(0.5, 1.0, 0, math.nan, Interval(math.nan, math.nan, math.nan, "none")),
        ]
    ),
    "scores": lambda: score_figure(
        [0, 0.5, 1], {"no": [0, 0], STRANGE: [1, 3]}, thresholds={STRANGE: 0.01}
    ),
    "history": lambda: history_figure(HISTORY, best_epoch=4, quantities=("loss", "accuracy")),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_well_formed_and_reproducible(name: str) -> None:
    before = dict(matplotlib.rcParams)
    text = DRAWN[name]()
    tree = ElementTree.fromstring(text)
    assert tree.tag.endswith("svg")
    assert tree.get("role") == "img"
    assert tree.get("aria-label")
    assert DRAWN[name]() == text
    assert dict(matplotlib.rcParams) == before
    ids = [part.get("id") for part in tree.iter() if part.get("id")]
    assert ids
    assert len(ids) == len(set(ids))
    assert all(str(one).startswith(f"{name}-") for one in ids)


def test_figures_do_not_import_pyplot() -> None:
    code = "import sys, plainfilm.report.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_importing_the_report_does_not_import_matplotlib() -> None:
    code = "import sys, plainfilm.report, plainfilm.explain; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_matplotlib_settings_of_the_user_change_nothing() -> None:
    text = DRAWN["roc"]()
    with matplotlib.rc_context({"lines.linewidth": 9, "text.usetex": True, "font.size": 30}):
        assert DRAWN["roc"]() == text


def test_names_are_text_and_never_formulas() -> None:
    tree = ElementTree.fromstring(DRAWN["roc"]())
    words = {part.text for part in tree.iter() if part.tag.endswith("text")}
    assert "a<b> $x$ \\u0007 肺炎" in words


def test_the_curve_passes_through_its_points() -> None:
    tree = ElementTree.fromstring(roc_figure([0, 0.25, 1], [0, 0.75, 1]))
    paths = [
        part.get("d") for part in tree.iter() if f"stroke: {FIRST[0]}" in (part.get("style") or "")
    ]
    numbers = [float(word) for word in str(paths[-1]).split() if word not in {"M", "L"}]
    start, middle, end = zip(numbers[::2], numbers[1::2], strict=True)
    assert (middle[0] - start[0]) / (end[0] - start[0]) == pytest.approx(0.25, abs=1e-4)
    assert (middle[1] - start[1]) / (end[1] - start[1]) == pytest.approx(0.75, abs=1e-4)


def test_a_confusion_matrix_has_true_classes_in_rows() -> None:
    tree = ElementTree.fromstring(confusion_figure([[81, 19], [5, 45]], ("no", "yes")))
    place = {
        part.text: (float(part.get("x", "nan")), float(part.get("y", "nan")))
        for part in tree.iter()
        if part.tag.endswith("text") and part.text
    }
    assert place["81"][0] == place["5"][0] < place["19"][0] == place["45"][0]
    assert place["81"][1] == place["19"][1] < place["5"][1] == place["45"][1]
    assert "19.0% of row" in place
    assert "10.0% of row" in place


def test_a_confusion_matrix_must_fit_its_classes() -> None:
    with pytest.raises(UsageError, match="one row"):
        confusion_figure([[1, 2], [3, 4]], ("a", "b", "c"))


def test_a_history_needs_an_epoch() -> None:
    with pytest.raises(UsageError, match="epoch"):
        history_figure([])


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("pair", [INK, QUIET, FIRST, SECOND])
def test_colours_have_enough_contrast_on_both_pages(pair: tuple[str, str]) -> None:
    assert contrast(pair[0], "#ffffff") >= 4.5
    assert contrast(pair[1], "#14181d") >= 4.5


def test_every_colour_has_a_counterpart_for_dark_pages() -> None:
    text = "".join(draw() for draw in DRAWN.values())
    known = {colour for pair in (INK, QUIET, GRID, FIRST, SECOND) for colour in pair}
    tree = ElementTree.fromstring(f"<all>{text}</all>")
    used = {
        entry.split(":")[1].strip()
        for part in tree.iter()
        for entry in (part.get("style") or "").split(";")
        if entry.split(":")[0].strip() in {"fill", "stroke"}
    }
    assert {colour for colour in used if colour.startswith("#")} <= known


def test_a_sheet_has_the_images_in_order() -> None:
    images = [np.full((20, 30), value, np.uint8) for value in (10, 80, 160, 240, 120)]
    sheet = sample_grid(images, ["x" * 200, "$", "ok", "", "5"], columns=3)
    pixels = np.asarray(Image.open(io.BytesIO(sheet)).convert("L"))
    height, width = pixels.shape
    for index, image in enumerate(images):
        row, column = int(height * (0.28 + 0.5 * (index // 3))), int(width * (index % 3 + 0.5) / 3)
        assert pixels[row, column] == image[0, 0]
    assert sheet == sample_grid(images, ["x" * 200, "$", "ok", "", "5"], columns=3)


def test_a_caption_in_a_script_that_the_font_lacks_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sample_grid([np.zeros((8, 8), np.uint8)], ["肺炎"]).startswith(b"\x89PNG")


@pytest.mark.parametrize(("images", "captions", "columns"), [(0, 0, 4), (1, 0, 4), (1, 1, 0)])
def test_a_sheet_without_images_is_an_error(images: int, captions: int, columns: int) -> None:
    with pytest.raises(UsageError, match="sheet"):
        sample_grid([np.zeros((4, 4), np.uint8)] * images, [""] * captions, columns=columns)


def test_text_that_is_not_markup_is_escaped() -> None:
    inner = element("b", "<&>")
    assert element("p", inner, '"', title='"><i>', hidden=True, lang=None) == (
        '<p title="&quot;&gt;&lt;i&gt;" hidden><b>&lt;&amp;&gt;</b>&quot;</p>'
    )
    assert join(["<", inner], "&") == "&lt;&amp;<b>&lt;&amp;&gt;</b>"
    assert element("img", alt="x") == '<img alt="x">'
    assert visible("a\u202eb\tc\nd\udc80") == "a\\u202eb\tc\nd\\udc80"


def test_thresholds_that_coincide_share_a_line_and_a_label() -> None:
    points = {"balanced": 0.323, "rule-out": 0.32, "rule-in": 0.33, "mine": 0.9}
    text = score_figure([0, 0.5, 1], {"no": [1, 2], "yes": [1, 3]}, thresholds=points)
    words = [node.text for node in ElementTree.fromstring(text).iter() if node.text]
    assert any("rule-out, balanced, rule-in" in word for word in words)
    assert not any(word.strip() == "balanced" for word in words)
    assert any(word.strip() == "mine" for word in words)
