"""Tests the sections of an audit page on burnt-in text and acquisition styles."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from plainfilm.audit import AuditDocument, audit_dataset
from plainfilm.audit.document import MarkedImage
from plainfilm.data import Manifest
from plainfilm.records import Record, Task
from plainfilm.report import write_audit_page
from plainfilm.report.audit.pictures import Thumbnails

ORANGE = (194, 80, 15)


def decoded(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2]))).convert("RGB")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, chests: np.ndarray) -> Path:
    """Write 240 images of two classes; 30 of one class have text, 60 have wide margins."""
    root = tmp_path_factory.mktemp("traces")
    rng, font = np.random.default_rng(0), ImageFont.load_default(10)
    for number in range(240):
        ill = number % 2
        pixels = chests[number % len(chests)] * rng.uniform(0.7, 1.0)
        if ill and number < 120:
            pixels[:, :14] = pixels[:, -14:] = 0
        picture = Image.fromarray(np.uint8(pixels)).resize((200, 160))
        if ill and number % 4 == 1:
            ImageDraw.Draw(picture).rectangle((0, 0, 60, 16), fill=5)
            ImageDraw.Draw(picture).text((4, 2), "KV59 AP", fill=230, font=font)
        path = root / ("PNEUMONIA" if ill else "NORMAL") / f"p{number}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
    return root


def test_page_shows_text_and_styles(folder: Path, tmp_path: Path) -> None:
    audit = audit_dataset(folder, cache=tmp_path / "cache", workers=0)
    checks = {finding.check for finding in audit.findings}
    assert {"text-tied-to-class", "style-tied-to-class"} <= checks
    page = write_audit_page(audit, tmp_path / "audit.html").read_text("utf-8")
    assert "Similar text at the upper left" in page
    assert "Acquisition styles" in page and "Style 1:" in page
    assert "distinguishes PNEUMONIA from NORMAL" in page
    sections = page.split("<h2")
    text, styles = (
        next(part for part in sections if f">{title}<" in part[:120])
        for title in ("Burnt-in text", "Acquisition styles")
    )
    assert text.count("<img") >= 8
    assert styles.count("Mean image") == len(audit.traces.styles)
    assert not re.search(r"<(script|link)", page)
    audit.write(tmp_path / "audit.json")
    again = AuditDocument.read(tmp_path / "audit.json")
    assert (again.texts, again.marked) == (audit.traces.texts, audit.traces.marked)
    assert (again.styles, again.style_results) == (audit.traces.styles, audit.traces.style_results)


@pytest.mark.parametrize(
    ("size", "place"), [((400, 200), (0.7, 0.8)), ((200, 400), (0.1, 0.05)), ((300, 300), (0, 0))]
)
def test_text_is_outlined_and_enlarged(
    tmp_path: Path, size: tuple[int, int], place: tuple[float, float]
) -> None:
    left, top = place
    box = (left, top, left + 0.15, top + 0.1)
    width, height = size
    pixels = np.full((height, width), 40, np.uint8)
    pixels[round(top * height) :, round(left * width) :][: height // 10, : width * 3 // 20] = 200
    path = tmp_path / "one.png"
    Image.fromarray(pixels).save(path)
    record = Record(id="one.png", path=str(path), labels=(1.0,), patient="p")
    manifest = Manifest("one", Task("binary", ("ILL",), ("WELL", "ILL")), (record,))
    plain = Thumbnails(manifest).source("one.png")
    marked = Thumbnails(manifest, (), [MarkedImage("one.png", (box,))]).source("one.png")
    assert plain is not None and marked is not None
    assert decoded(plain).size == (96, 96)
    shown = np.asarray(decoded(marked)).astype(int)
    assert shown.shape == (192, 192, 3)
    orange = np.abs(shown - ORANGE).max(axis=2) < 60
    enlarged = slice(0, 64) if top > 0.5 else slice(128, 192)
    assert shown[enlarged][20:44, 80:112].min() > 150, "the text fills the middle"
    rest = np.ones(192, bool)
    rest[enlarged] = False
    assert orange[rest].sum() > 20
    bright = (shown.min(axis=2) > 150) & rest[:, None]
    rows, columns = np.nonzero(bright)
    framed = np.nonzero(orange & rest[:, None])
    assert framed[0].min() <= rows.min() and framed[0].max() >= rows.max()
    assert framed[1].min() <= columns.min() and framed[1].max() >= columns.max()
