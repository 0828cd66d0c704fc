"""Pretrained weights that may have seen the evaluated images: card, findings, report, terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from plainfilm.bundle import Bundle, PretrainedWeights, Provenance
from plainfilm.bundle.card import model_card
from plainfilm.bundle.imported import ImportedFrom, Preprocessing
from plainfilm.bundle.public_sets import public_sets, shared_sets
from plainfilm.cli.main import main
from plainfilm.data import Manifest
from plainfilm.data.sources.layouts import LAYOUTS
from plainfilm.evaluation import EvaluationDocument
from plainfilm.evaluation.pretraining import CHECK, report_pretraining
from plainfilm.inference.description import BundleIdentity, describe
from plainfilm.records import Record, Task

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]

NIH = "NIH ChestX-ray14"
KERMANY = "Chest X-Ray Images (Pneumonia) of Kermany et al."
WEIGHTS = PretrainedWeights(
    name="encoder.onnx", sha256="ab" * 32, licence="MIT", trained_on=("ChestX-ray14", "CheXpert")
)
NIH_FILES = [f"images/{n:08d}_{n % 7:03d}.png" for n in range(1, 61)]
PERSONS = [f"PNEUMONIA/person{n}_virus_{n}.jpeg" for n in range(1, 61)]


def listed(name: str, files: list[str]) -> Manifest:
    task = Task("binary", ("ill",), ("well", "ill"))
    return Manifest(
        name, task, tuple(Record(id=one, path=one, labels=(0.0,), patient=one) for one in files)
    )


def test_every_layout_is_a_known_public_set() -> None:
    for layout in LAYOUTS:
        assert public_sets(layout.title) & public_sets(layout.name), layout.title


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("NIH", {NIH}),
        ("nih_chest_xrays", {NIH}),
        ("ChestX-ray8", {NIH}),
        ("MIMIC-CXR-JPG 2.0", {"MIMIC-CXR"}),
        ("chest-xray-pneumonia", {KERMANY}),
        ("PneumoniaMNIST", {KERMANY}),
        ("siim-acr-pneumothorax", {"SIIM-ACR Pneumothorax", NIH}),
        ("vinbigdata-chest-xray", {"VinDr-CXR"}),
        ("ImageNet (ILSVRC 2012)", set()),
        ("hospital_a", set()),
        ("Nihon University", set()),
    ],
)
def test_names_of_public_sets(name: str, titles: set[str]) -> None:
    assert public_sets(name) == titles


def test_sets_that_share_images_and_equal_names_are_found() -> None:
    assert shared_sets(["RSNA"], ["NIH ChestX-ray14"]) == (NIH,)
    assert shared_sets(["Our Hospital"], ["our_hospital"]) == ("Our Hospital",)
    assert shared_sets(["PadChest"], ["CheXpert"]) == ()


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("labels", NIH_FILES, True),  # by the names of the files
        ("nih", [f"{n}.png" for n in range(60)], True),  # by the name of the folder
        ("labels", [f"{n}.png" for n in range(60)], False),
        ("chest_xray", PERSONS, False),  # another public set
    ],
)
def test_the_warning_needs_a_set_that_the_weights_saw(
    name: str, files: list[str], found: bool
) -> None:
    findings = report_pretraining([WEIGHTS], listed(name, files))
    assert [one.check for one in findings] == [CHECK] * found
    assert all(NIH in one.problem and one.count == 60 for one in findings)
    saw = replace(WEIGHTS, trained_on=("PneumoniaMNIST",))
    assert bool(report_pretraining([saw], listed(name, files))) == (files is PERSONS)


def test_without_weights_or_their_images_there_is_no_warning() -> None:
    assert report_pretraining([], listed("nih", NIH_FILES)) == []
    assert report_pretraining([replace(WEIGHTS, trained_on=())], listed("nih", NIH_FILES)) == []


def test_weights_of_the_network_and_of_its_teacher_are_both_checked() -> None:
    other = replace(WEIGHTS, name="lite0", role="teacher", trained_on=("NIH",))
    origin = Provenance(pretrained=replace(WEIGHTS, trained_on=("ImageNet",)), inherited=(other,))
    (found,) = report_pretraining(origin.all_pretrained, listed("nih", NIH_FILES))
    assert found.problem.startswith("the teacher started from the weights lite0, which were")
    both = replace(origin, pretrained=WEIGHTS)
    assert len(report_pretraining(both.all_pretrained, listed("nih", NIH_FILES))) == 2


def test_the_card_of_a_student_says_whose_weights_they_are(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    student = Provenance(inherited=Provenance(pretrained=WEIGHTS).as_teacher())
    card = model_card(replace(bundle, provenance=student))
    assert "## Pretrained weights of the teacher" in card
    assert "## Pretrained weights\n" not in card
    continued = Provenance(inherited=student.as_start())
    card = model_card(replace(bundle, provenance=continued))
    assert "## Weights that the pretrained weights go back to" in card


def test_the_images_of_an_imported_teacher_are_not_known(make_bundle: MakeBundle) -> None:
    how = Preprocessing(channels=1, axes="nchw", low=0.0, high=1.0)
    network = ImportedFrom(
        file="net.onnx",
        sha256="cd" * 32,
        producer=None,
        opset=17,
        input="x",
        output="y",
        output_kind="logits",
        columns=(0,),
        names=("ill",),
        preprocessing=how,
        licence="MIT",
    )
    (teacher,) = Provenance(imported_from=network).as_teacher()
    assert (teacher.name, teacher.role, teacher.licence) == ("net.onnx", "imported", "MIT")
    student = Provenance(inherited=(teacher,))
    assert student.as_teacher() == (teacher,)
    card = model_card(replace(make_bundle(), provenance=student))
    assert "## Imported teacher" in card
    assert "not stated which images the imported network was trained on" in card


def test_terminal_document_report_and_card_say_it(
    make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(pretrained=WEIGHTS)
    for n, file in enumerate(NIH_FILES[:40]):
        draw_grey(
            tmp_path / "d" / ("bright" if n % 2 else "dark") / Path(file).name, 60 + 100 * (n % 2)
        )
    out = tmp_path / "e"
    assert (
        main(
            [
                "evaluate",
                str(bundle.folder),
                str(tmp_path / "d"),
                "--out",
                str(out),
                "--no-robustness",
            ]
        )
        == 0
    )
    said = f"the weights encoder.onnx, which were trained on {NIH}"
    assert said in " ".join(capsys.readouterr().err.split())
    document = EvaluationDocument.read(out / "evaluation.json")
    assert document.model.pretrained == WEIGHTS
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Weights that may have seen these images" in page
    assert WEIGHTS.sha256 in page
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "## Pretrained weights" in card
    assert said in card
    assert WEIGHTS.sha256 in card


def test_the_sealed_card_says_what_is_not_stated_and_what_was_seen(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(pretrained=replace(WEIGHTS, licence=None, trained_on=()))
    card = model_card(bundle)
    assert card == (bundle.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| Licence | not stated |" in card
    assert "| Trained on | not stated |" in card
    assert "It is not stated which images" in card
    own = Provenance(pretrained=WEIGHTS, dataset="nih")
    seen = model_card(replace(bundle, provenance=own))
    assert "were trained on NIH ChestX-ray14, as was this model" in seen
    assert "Pretrained weights" not in model_card(replace(bundle, provenance=Provenance()))


def test_the_service_describes_the_weights(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(pretrained=WEIGHTS)
    identity = BundleIdentity("b", bundle.id, "0")
    assert describe(bundle, identity, None).trained_on.pretrained == WEIGHTS
