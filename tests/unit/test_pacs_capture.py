"""Captures: their pixels, their words, and whether archives accept and show them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

pytest.importorskip("pydicom")

from pacs_files import chest, odd_chests, to_bytes
from pacs_peers import Orthanc, archive, dicom_errors, needs, network
from plainfilm.bundle import IndeterminateRange
from plainfilm.pacs.admission import refuse
from plainfilm.pacs.caption import caption, choose_label
from plainfilm.pacs.capture import draw_capture, make_capture
from plainfilm.pacs.header import HeaderError, read_header
from plainfilm.pacs.lettering import is_drawable, load_font, wrap
from plainfilm.pacs.results import AnsweredImage, Model
from plainfilm.pixels import read_image_and_whole
from plainfilm.pixels.display import encode_display, read_pgm
from plainfilm.prediction import Prediction
from plainfilm.records import OperatingPoint, PixelSpec, Task

__all__ = ["archive", "network"]

DATA = Path(
    os.environ.get("PLAINFILM_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
PRESENT = Prediction("", {"ill": 0.9}, predicted={"balanced": "ill"})
ABSENT = Prediction("", {"ill": 0.2}, predicted={"balanced": "well"})


def model(labels: Sequence[str] = ("ill",), kind: str = "binary") -> Model:
    classes = ("well", labels[0]) if kind == "binary" else tuple(labels)
    task = Task(kind, tuple(labels), classes)  # type: ignore[arg-type]
    points = {} if kind == "multiclass" else {one: point(one) for one in labels}
    origin = "Trained on S. It may fail on images of another site."
    return Model("ward", "70803e4a" * 8, "0.1.0", task, points, {}, origin)


def point(label: str) -> OperatingPoint:
    return OperatingPoint(
        name="balanced", purpose="balanced", label=label, threshold=0.61, rule="given"
    )


def several(probabilities: dict[str, float], *undetermined: str) -> Prediction:
    predicted = {
        f"{label}/balanced": "positive" if value >= 0.61 else "negative"
        for label, value in probabilities.items()
    }
    return Prediction("", probabilities, predicted=predicted, indeterminate=undetermined)


def answered(prediction: Prediction = PRESENT, data: bytes = b"", **more: Any) -> AnsweredImage:
    header = read_header(data or to_bytes(chest()))
    fields = {"picture": np.full((1024, 800), 100, np.uint8), **more}
    return AnsweredImage(header, "0" * 64, prediction, **fields)


def texts(model: Model, image: AnsweredImage) -> list[str]:
    return [line.text for line in caption(model, image)]


@needs("dciodvfy")
def test_no_capture_of_an_admitted_image_has_errors(tmp_path: Path) -> None:
    checked = 0
    for data in odd_chests().values():
        try:
            header = read_header(data)
        except HeaderError:
            continue
        if refuse(header, secondary_capture=True) is not None:
            continue
        picture = np.full((300, 200), 100, np.uint8)
        heat = np.ones((8, 8), np.float32) if checked % 2 else None  # with colours, and without
        image = AnsweredImage(header, "0" * 64, PRESENT, picture=picture, heatmap=heat)
        (tmp_path / "capture.dcm").write_bytes(make_capture(model(), image).data)
        assert dicom_errors(tmp_path / "capture.dcm") == []
        checked += 1
    assert checked >= 12


@needs("dciodvfy")
@pytest.mark.real
@pytest.mark.skipif(not (DATA / "dicom").is_dir(), reason="no real images (PLAINFILM_DATA)")
def test_no_capture_of_a_real_image_has_errors(tmp_path: Path) -> None:
    paths = sorted((DATA / "dicom" / "chest").glob("*.dcm"))
    assert len(paths) == 4
    for path in paths:
        image = answered(data=path.read_bytes())
        (tmp_path / "capture.dcm").write_bytes(make_capture(model(), image).data)
        assert dicom_errors(tmp_path / "capture.dcm") == []


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("geometry", ["squash", "pad", "crop"])
@pytest.mark.parametrize("size", [(300, 400), (400, 300)])
def test_the_colours_are_where_the_network_saw_the_evidence(
    size: tuple[int, int], geometry: str, trim: bool
) -> None:
    drawn = chest()
    pixels = np.random.default_rng(0).integers(600, 1400, size).astype(np.uint16)
    pixels[:, :50] = 0
    top, left = size[0] // 2 - 60, size[1] // 2 - 60
    pixels[top : top + 40, left : left + 40] = 4000
    drawn.Rows, drawn.Columns, drawn.PixelData = *size, pixels.tobytes()
    drawn.PhotometricInterpretation, drawn.PatientOrientation = "MONOCHROME2", ["A", "F"]
    drawn.PresentationLUTShape = "IDENTITY"
    drawn.WindowCenter, drawn.WindowWidth = 2048, 4096
    data = to_bytes(drawn)
    spec = PixelSpec(64, geometry, trim)  # type: ignore[arg-type]
    seen, whole = read_image_and_whole(data, spec)
    heat = (seen.pixels > 160).astype(np.float32)
    picture = read_pgm(encode_display(whole.picture, "pgm"))
    image = answered(data=data, picture=picture, heatmap=heat, region=whole.region)
    made = draw_capture(model(), image)[: round(1024 * size[0] / max(size))]
    grey = Pillow.fromarray(picture).resize(made.shape[1::-1], Pillow.Resampling.BILINEAR)
    changed = (made != np.asarray(grey)[..., None]).any(axis=2)
    rows, columns = (places * max(size) / 1024 for places in np.nonzero(changed))
    np.testing.assert_allclose((rows.mean(), columns.mean()), (top + 20, left + 20), atol=4)
    near = max(size) / 64  # one pixel of the network's input and the resampling
    assert top - near <= rows.min() and rows.max() <= top + 40 + near
    assert left - near <= columns.min() and columns.max() <= left + 40 + near


def test_colours_stay_in_the_part_that_the_network_saw() -> None:
    heat = np.ones((32, 32), np.float32)
    made = draw_capture(model(), answered(heatmap=heat, region=(0.25, 0.1, 0.75, 0.5)))
    rows, columns = np.nonzero(np.ptp(made[:1024], axis=2))
    assert (rows.min(), rows.max() + 1) == (102, 512)
    assert (columns.min(), columns.max() + 1) == (200, 600)
    cut = "The network saw 20% of the image; the rest was cut off."
    assert cut in texts(model(), answered(region=(0.25, 0.1, 0.75, 0.5)))
    # Padding of the input is outside of the picture.
    padded = answered(heatmap=heat, region=(-0.14, 0.0, 1.14, 1.0))
    assert (np.ptp(draw_capture(model(), padded)[:1024], axis=2) > 0).all()
    assert not any("saw" in text for text in texts(model(), padded))


def test_an_absent_label_has_no_colours() -> None:
    heat = np.ones((32, 32), np.float32)
    image = answered(ABSENT, heatmap=heat)
    assert np.ptp(draw_capture(model(), image), axis=2).max() == 0
    assert texts(model(), image) == [
        "ill: absent, probability 0.20 (threshold 0.61, balanced)",
        "Research only. Not for diagnosis.",
        "Trained on S. It may fail on images of another site.",
        "No colours: no finding is present or undetermined.",
        "Model ward, bundle 70803e4a, plainfilm 0.1.0",
    ]
    assert "No colours: this model has no heat map." in texts(model(), answered(PRESENT))


def test_the_caption_says_the_result_in_words() -> None:
    heat = np.ones((32, 32), np.float32)
    shown = texts(model(), answered(heatmap=heat))
    assert shown[0] == "ill: present, probability 0.90 (threshold 0.61, balanced)"
    assert shown[3] == "The colours show what the network used for ill, not where disease is."
    near = Prediction("", {"ill": 0.6}, predicted={"balanced": "well"}, indeterminate=("ill",))
    unsure = replace(model(), indeterminate={"ill": IndeterminateRange(0.5, 0.7, "given")})
    words = "ill: undetermined, probability 0.60 (indeterminate range 0.50 to 0.70)"
    assert texts(unsure, answered(near))[0] == words
    without = replace(model(), points={})
    sure = Prediction("", {"ill": 0.9999})
    words = "ill: undetermined, probability above 0.99 (no threshold)"
    assert texts(without, answered(sure))[0] == words
    classes = Prediction("", {"well": 0.001, "A": 0.6, "B_b": 0.399}, {"most-likely": "A"})
    assert texts(model(("well", "A", "B_b"), "multiclass"), answered(classes))[:3] == [
        "A: predicted, probability 0.60",
        "B b: probability 0.40",
        "well: probability below 0.01",
    ]


def test_positive_labels_come_first_and_the_rest_is_counted() -> None:
    values = {f"label {n}": 0.01 * n for n in range(12)} | {"one": 0.7, "two": 0.8}
    prediction = several(values, "label 3", "two")
    many = model([*values], "multilabel")
    shown = texts(many, answered(prediction))
    assert [text.partition(":")[0] for text in shown[:4]] == ["one", "two", "label 3", "label 11"]
    assert shown[8] == "and 6 more (6 absent): see the report"
    assert choose_label(many, prediction) == "one"
    assert choose_label(many, several(values, "one", "two")) == "two"
    assert (
        choose_label(model(), Prediction("", {"ill": 0.9}, reason="blank", rejected=True)) is None
    )
    normal = Prediction("", {"normal": 0.9, "ill": 0.1}, {"most-likely": "normal"})
    assert choose_label(model(("normal", "ill"), "multiclass"), normal) is None
    all_present = several(dict.fromkeys(values, 0.9), "one", "label 1")
    assert "(4 present, 2 undetermined)" in texts(many, answered(all_present))[8]


@pytest.mark.parametrize("shape", [(1024, 30), (30, 1024), (32, 32), (1024, 1024)])
def test_every_text_fits_below_every_picture(shape: tuple[int, int]) -> None:
    labels = ("W" * 200, "long words " * 18 + "x", "肺炎", "ذات الرئة", "Ödem µ Ω Ж")
    many = model(labels, "multilabel")
    image = answered(several(dict.fromkeys(labels, 0.9)), picture=np.full(shape, 77, np.uint8))
    made = draw_capture(many, image)
    assert made.shape[1] >= 640 and max(made[:1024].shape[:2]) == 1024
    height = round(1024 * shape[0] / max(shape))
    assert np.isin(made[:height], (0, 77)).all()
    assert made[height:, -20:].max() == 0 and made[-12:].max() == 0
    assert made[height:].max() == 255
    shown = texts(many, image)
    assert [text.partition(":")[0] for text in shown[2:5]] == [
        "Label 3 (its name is in the report)",
        "Label 4 (its name is in the report)",
        "Ödem µ Ω Ж",
    ]
    font = load_font(24)
    for text in shown:
        lines = wrap(text, font, 300)
        assert all(font.getlength(line) <= 300 for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_caption_is_drawn_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for cached in (load_font, is_drawable):
        cached.cache_clear()
    try:
        assert is_drawable("Pneumonia") and not is_drawable("肺炎")
        assert draw_capture(model(), answered())[1024:].max() == 255
    finally:
        for cached in (load_font, is_drawable):
            cached.cache_clear()


def test_the_same_image_and_model_give_the_same_file() -> None:
    import pydicom

    image = answered(data=to_bytes(chest(BurnedInAnnotation="YES", LossyImageCompression="01")))
    result = make_capture(model(), image)
    assert result == make_capture(model(), image)
    other = replace(model(), bundle_id="1" * 64)
    changed = AnsweredImage(image.header, "1" * 64, PRESENT, picture=image.picture)
    second = make_capture(model(), answered(data=to_bytes(chest(2, study=1))))
    results = (result, make_capture(other, image), make_capture(model(), changed), second)
    assert len({one.uid for one in results}) == 4
    read = [pydicom.dcmread(io.BytesIO(one.data)) for one in results]
    assert [one.SOPInstanceUID for one in read] == [one.uid for one in results]
    assert read[0].SeriesInstanceUID == read[2].SeriesInstanceUID
    assert read[0].SeriesInstanceUID == read[3].SeriesInstanceUID
    assert read[0].InstanceNumber != read[3].InstanceNumber
    assert read_header(result.data).is_own_result
    assert (read[0].BurnedInAnnotation, read[0].LossyImageCompression) == ("YES", "01")
    assert read[3].BurnedInAnnotation == "NO" and "LossyImageCompression" not in read[3]
    assert read[0].SourceImageSequence[0].ReferencedSOPInstanceUID == image.header.sop_uid
    drawn = draw_capture(model(), image)
    np.testing.assert_array_equal(read[0].pixel_array, drawn[..., 0])  # no map: no colours


@pytest.mark.parametrize("prediction", [PRESENT, ABSENT])
def test_an_archive_shows_a_capture(archive: Orthanc, prediction: Prediction) -> None:
    heat = np.random.default_rng(0).random((32, 32), dtype=np.float32)
    image = answered(prediction, heatmap=heat, picture=np.full((1000, 1024), 90, np.uint8))
    file = make_capture(model(), image).data
    assert (len(file) > 3_000_000) == (prediction is PRESENT)  # without colours it is grey
    shown = archive.preview(archive.upload(file))
    archive.clear()
    pixels = np.asarray(Pillow.open(io.BytesIO(shown)).convert("RGB"))
    np.testing.assert_array_equal(pixels, draw_capture(model(), image))
