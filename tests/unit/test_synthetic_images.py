"""Images drawn by plainfilm are recognised, and pages and cards about them say so first."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plainfilm.bundle import Provenance
from plainfilm.bundle.card import model_card
from plainfilm.data import load_dataset
from plainfilm.evaluation import evaluate
from plainfilm.evaluation.document.evaluation import TrainingSummary
from plainfilm.inference.description import BundleIdentity, describe
from plainfilm.phantom import sample_patient
from plainfilm.phantom.encode import encode
from plainfilm.pixels import read_image
from plainfilm.pixels.metadata import count_synthetic
from plainfilm.records import PixelSpec
from plainfilm.report import ReportContent
from plainfilm.report.sections.caveats import write_caveats
from plainfilm.report.sections.summary import first_screen
from report_content import draw_evaluation


def draw_film(form: Any, level: float = 0.5) -> bytes:
    """Return a drawn file in one of the formats of ``plainfilm.phantom``."""
    rng = np.random.default_rng(0)
    picture = np.full((64, 64), level)
    picture[::4] *= 0.8
    return encode(rng, picture, form, patient=sample_patient(rng), key="0", image=1)


@pytest.mark.parametrize("form", ["jpeg", "png", "dicom"])
def test_a_drawn_file_is_recognised_under_any_name(form: Any, tmp_path: Path) -> None:
    if form == "dicom":
        pytest.importorskip("pydicom")
    path = tmp_path / "IM-0001.bin"
    path.write_bytes(draw_film(form))
    assert count_synthetic([read_image(path, PixelSpec(32)).metadata["manufacturer"]]) == 1


@pytest.mark.parametrize("comment", [b"", b"CREATOR: x", b"plainfilm phantoms"])
def test_other_files_are_not(comment: bytes) -> None:
    out = io.BytesIO()
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(out, "JPEG", comment=comment)
    metadata = read_image(out.getvalue(), PixelSpec(32)).metadata
    assert count_synthetic([metadata.get("manufacturer")]) == 0


def test_an_evaluation_counts_drawn_images(
    make_bundle: Any, draw_grey: Any, tmp_path: Path
) -> None:
    for number in range(8):
        name, grey = ("bright", 170) if number % 2 else ("dark", 90)
        draw_grey(tmp_path / "d" / name / f"{number}.png", grey)
    (tmp_path / "d" / "bright" / "drawn.png").write_bytes(draw_film("png", 0.7))
    data = load_dataset(tmp_path / "d", positive="bright")
    found = evaluate(
        make_bundle(), data, out=tmp_path / "o", robustness=False, n_bootstrap=20, workers=0
    )
    assert found.document.dataset.synthetic_images == 1
    (caveat,) = (
        own
        for own in write_caveats(ReportContent(evaluation=found.document))
        if own.title == "Synthetic images"
    )
    assert caveat.text.startswith("plainfilm drew 1 of these 9 images.")


def test_a_bundle_knows_that_its_training_images_were_drawn(tiny_run: Any) -> None:
    origin = tiny_run.bundle.provenance
    assert origin.synthetic_images == origin.train_images > 0


@pytest.mark.parametrize(
    ("tested", "trained", "words"),
    [
        (624, 4708, "all these images and all training images"),
        (12, None, "12 of these 624 images"),
        (0, 4708, "all training images"),
        (0, 100, "100 training images"),
    ],
)
def test_the_first_screen_and_the_first_caveat_say_so(
    tested: int, trained: int | None, words: str
) -> None:
    plain = draw_evaluation()
    training = TrainingSummary("kermany224", 4708, 524, trained)
    evaluation = replace(
        plain,
        dataset=replace(plain.dataset, synthetic_images=tested),
        model=replace(plain.model, training=training),
    )
    content = ReportContent(evaluation=evaluation)
    assert write_caveats(content)[0].text.startswith(f"plainfilm drew {words}.")
    screen = first_screen(content)
    first = screen.index("Synthetic images</strong>")
    assert first < screen.index("A classifier"), "it comes first"
    nothing = ReportContent(evaluation=plain)
    assert "ynthetic" not in first_screen(nothing)
    assert all(own.title != "Synthetic images" for own in write_caveats(nothing))


def test_the_web_page_and_the_model_card_say_so(make_bundle: Any, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    identity = BundleIdentity("b", bundle.id, "0")
    assert "ynthetic" not in describe(bundle, identity, None).notice
    assert "ynthetic" not in model_card(bundle)
    drawn = replace(bundle, provenance=Provenance(synthetic_images=3))
    notice = describe(drawn, identity, None).notice
    assert notice.startswith("Not a medical device.")
    assert "trained on synthetic images that plainfilm drew" in notice
    card = model_card(drawn)
    assert card.index("trained on synthetic images") < card.index("Input: a chest X-ray")
