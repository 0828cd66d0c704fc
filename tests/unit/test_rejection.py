"""Doubtful images have no predicted class, and the same fields in every output."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from plainfilm import evaluate, load_dataset
from plainfilm.bundle import REJECTIONS, Bundle, Provenance, Rejection, find_rejection
from plainfilm.bundle.rejection import frequent_values
from plainfilm.cli.describe import describe_evaluation
from plainfilm.cli.main import main
from plainfilm.inference.registry import BundleSource
from plainfilm.pixels import read_image
from plainfilm.pixels.histogram import is_blank
from plainfilm.prediction import Prediction
from plainfilm.records import PixelSpec
from plainfilm.runtime import Predictor

MakeBundle = Callable[..., Bundle]
Files = dict[str, bytes]
FAR = Rejection(1.0, "by hand", 0.0)
STRIPES = np.tile(np.array([60, 180], np.uint8), (16, 8))


def test_the_page_lists_every_reason() -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "rejection.md"
    assert re.findall(r"^\| `([a-z-]+)` \|", page.read_text("utf-8"), re.M) == [*REJECTIONS]


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, None),
        ({"alpha": "partial"}, None),
        ({"alpha": "hidden"}, "invisible"),
        *(({"modality": code}, None) for code in ("CR", "DX", "RG", "RF", "XA", "OT")),
        *(({"modality": code}, "other-modality") for code in ("CT", "MG", "US", "MR", "NM", "PT")),
        *(({"body_part": code}, None) for code in ("CHEST", "THORAX", "LUNG", "WHOLEBODY")),
        *(({"body_part": code}, "other-body-part") for code in ("KNEE", "HAND", "ABDOMEN")),
        ({"modality": "MG", "body_part": "BREAST", "alpha": "opaque"}, "other-modality"),
    ],
)
def test_the_header_rejects(
    make_bundle: MakeBundle, metadata: dict[str, str], reason: str | None
) -> None:
    found = find_rejection(make_bundle(), STRIPES, metadata, None)
    assert (found and found.reason) == reason
    if found is not None and reason is not None and reason.startswith("other"):
        received = metadata["modality" if reason == "other-modality" else "body_part"]
        assert found.problem == f"{REJECTIONS[reason]} ({received})"


def test_what_the_training_images_are_is_not_rejected(make_bundle: MakeBundle) -> None:
    trained = Provenance(modalities=("CT", "DX"), body_parts=("ABDOMEN",))
    bundle = replace(make_bundle(), provenance=trained)
    assert find_rejection(bundle, STRIPES, {"modality": "CT", "body_part": "ABDOMEN"}, 9.0) is None
    found = find_rejection(bundle, STRIPES, {"modality": "MR"}, None)
    assert found is not None and found.reason == "other-modality"


def test_frequent_values_are_those_of_a_twentieth_of_the_images() -> None:
    modalities = ["DX"] * 90 + ["CT"] * 5
    assert frequent_values([*modalities, *[None] * 5]) == ("CT", "DX")
    assert frequent_values([*modalities, *[None] * 6]) == ("DX",)
    assert frequent_values([]) == ()


def test_novelty_rejects_from_the_threshold_on(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(rejection=FAR)
    assert find_rejection(bundle, STRIPES, {}, math.nextafter(1.0, 0)) is None
    found = find_rejection(bundle, STRIPES, {}, 1.0)
    assert found is not None and found.reason == "unlike-training"
    assert find_rejection(make_bundle(), STRIPES, {}, 1e9) is None, "it has no threshold"


def test_blank_images_have_one_grey_level_apart_from_noise_and_marks() -> None:
    rng = np.random.default_rng(0)
    for level in (0, 128, 252):
        assert is_blank(np.full((64, 64), level, np.uint8))
        assert is_blank((level + rng.integers(0, 4, (64, 64))).astype(np.uint8))
    marked = np.full((64, 64), 30, np.uint8)
    marked[:6, :6] = 255  # less than a hundredth
    assert is_blank(marked)
    marked[:10, :10] = 255
    assert not is_blank(marked)
    assert not is_blank(np.tile(np.arange(64, dtype=np.uint8), (64, 1)))


@pytest.mark.parametrize("geometry", ["squash", "pad", "crop"])
@pytest.mark.parametrize("trim", [False, True])
def test_blank_images_of_any_shape_stay_blank(geometry: Any, trim: bool) -> None:
    for shape in ((40, 90), (90, 40), (64, 64)):
        for level in (0, 7, 128, 255):
            out = io.BytesIO()
            Pillow.fromarray(np.full(shape, level, np.uint8)).save(out, "PNG")
            image = read_image(out.getvalue(), PixelSpec(32, geometry, trim))
            assert is_blank(image.pixels, padded=geometry == "pad"), (shape, level)


@pytest.fixture
def paths(doubtful_files: Files, tmp_path: Path) -> dict[str, Path]:
    """Write the doubtful files; the names of the ordinary ones begin with ``ordinary``."""
    found = {}
    for name, data in doubtful_files.items():
        found[name] = tmp_path / "data" / ("dark" if name == "blank" else "bright") / f"{name}.img"
        found[name].parent.mkdir(parents=True, exist_ok=True)
        found[name].write_bytes(data)
    return found


@pytest.fixture
def rows(make_bundle: MakeBundle, paths: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Return the JSON lines of the command, by name of the file."""
    predictions = Predictor(make_bundle(rejection=FAR)).predict(paths.values())
    return {name: one.to_json() for name, one in zip(paths, predictions, strict=True)}


def test_each_doubtful_image_has_its_reason_and_no_class(rows: dict[str, dict[str, Any]]) -> None:
    for name, row in rows.items():
        ordinary, unreadable = name.startswith("ordinary"), name == "truncated"
        assert row["reason"] == (None if ordinary else name)
        assert row["rejected"] == (not ordinary and not unreadable)
        assert bool(row["predicted"]) == bool(row["probabilities"]) == ordinary
        assert bool(row["problem"]) == (not ordinary)
        assert (row["novelty"] is None) == unreadable
        assert list(row) == list(rows["ordinary"])
    assert rows["other-modality"]["problem"].endswith("(MG)")


@pytest.mark.parametrize("everything", [False, True])
def test_the_command_prints_the_same_fields_in_every_format(
    make_bundle: MakeBundle,
    paths: dict[str, Path],
    rows: dict[str, dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    everything: bool,
) -> None:
    folder = make_bundle(rejection=FAR).folder
    more = ["--all-probabilities"] if everything else []

    def output(form: str) -> list[str]:
        assert (
            main(["predict", str(folder), *map(str, paths.values()), "--format", form, *more]) == 0
        )
        captured = capsys.readouterr()
        assert "no prediction for 1 of 8 files" in captured.err
        assert "no predicted class for 5 of 8 files: 1 blank, 1 invisible, 1 other" in captured.err
        return captured.out.splitlines()

    lines = dict(zip(rows, map(json.loads, output("jsonl")), strict=True))
    for name, row in rows.items():
        if everything and row["rejected"]:
            assert lines[name]["probabilities"].keys() == {"bright"}
            row = row | {"probabilities": lines[name]["probabilities"]}
        assert {key: lines[name][key] for key in row} == row
    cells = dict(zip(rows, csv.DictReader(output("csv")), strict=True))
    table = dict(zip(rows, output("table")[1:], strict=True))
    for name, line in lines.items():
        found = cells[name]
        values = line["probabilities"]
        printed = f"{values['bright']:.6f}" if values else ""
        assert found["probability_bright"] == printed
        assert found["predicted"] == line["predicted"].get("balanced", "")
        assert found["rejected"] == str(line["rejected"]).lower()
        for key in ("reason", "problem"):
            assert found[key] == (line[key] or "")
        assert found["novelty"] == ("" if line["novelty"] is None else f"{line['novelty']:.4f}")
        if line["rejected"]:
            start = [printed or "-", "rejected:"]
            assert table[name].split()[:2] == start
            assert f"{line['problem']} ({line['reason']})" in table[name]


def test_the_service_returns_the_fields_of_the_command(
    serve_with: Callable[..., Any],
    make_bundle: MakeBundle,
    doubtful_files: Files,
    rows: dict[str, dict[str, Any]],
) -> None:
    pytest.importorskip("starlette")
    files = [("any", ("x", data)) for data in doubtful_files.values()]

    async def talk(client: Any, service: Any) -> Any:
        several = await client.post("/v1/predictions", files=files)
        stream = await client.post("/v1/predictions/stream", files=files)
        include = "?include=probabilities,heatmap"
        everything = await client.post(f"/v1/predictions{include}", files=files)
        heat = await client.post("/v1/predictions?include=heatmap,seen", files=files)
        return several, stream, everything, heat

    bundle = make_bundle(rejection=FAR)
    named = [BundleSource("bright", bundle.folder)]
    (several, stream, everything, heat), log = serve_with(talk, named=named)
    assert several.json()["bundle"]["id"] == bundle.id
    lines = sorted(map(json.loads, stream.text.splitlines()), key=lambda line: line["index"])
    for items in (several.json()["predictions"], lines):
        for item, row in zip(items, rows.values(), strict=True):
            shared = row.keys() - {"problem"} if row["reason"] == "truncated" else row.keys()
            assert {key: item[key] for key in shared} == {key: row[key] for key in shared}
    for item, plain, row in zip(
        everything.json()["predictions"], heat.json()["predictions"], rows.values(), strict=True
    ):
        assert bool(item["probabilities"]) == (row["reason"] != "truncated")
        assert item["predicted"] == row["predicted"], "a probability is no predicted class"
        assert ("heatmap" in item.get("images", {})) == bool(item["probabilities"])
        assert ("heatmap" in plain.get("images", {})) == bool(row["predicted"])
        assert ("seen" in plain.get("images", {})) == (row["reason"] != "truncated")
    outcomes = {json.loads(line).get("outcome") for line in log.splitlines()}
    assert outcomes >= {"predicted", *(row["reason"] for row in rows.values() if row["reason"])}


def test_an_evaluation_counts_them_and_stores_the_fields(
    make_bundle: MakeBundle,
    paths: dict[str, Path],
    rows: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = ["path,class,reason"]
    table += [f"data/{p.parent.name}/{p.name},{p.parent.name},x" for p in paths.values()]
    (tmp_path / "t.csv").write_text("\n".join(table), encoding="utf-8")
    manifest = load_dataset(tmp_path / "t.csv", labels="class", positive="bright")
    bundle = make_bundle(rejection=FAR)
    found = evaluate(bundle, manifest, out=tmp_path / "e", n_bootstrap=20, workers=0)
    rejection = found.document.rejection
    assert rejection is not None
    assert rejection.rejected == 5 and rejection.unlike_training == 1
    assert rejection.reasons == dict.fromkeys(REJECTIONS, 1)
    assert rejection.all["bright"].n == 7 and rejection.accepted["bright"].n == 2
    assert [one.id for one in found.document.left_out] == ["data/bright/truncated.img"]
    described = describe_evaluation(found.document)
    assert "rejected, without a predicted class: 5 images (" in described
    assert "1 other-modality" in described
    stored = parquet.read_table(tmp_path / "e" / "predictions.parquet").to_pylist()
    assert len(stored) == 7
    for one in stored:
        row = rows[Path(one["id"]).stem]
        assert one["predicted"] == row["predicted"].get("balanced")
        assert (one["rejected"], one["indeterminate"]) == (row["rejected"], "")
        assert (one["reason"], one["problem"]) == (row["reason"], row["problem"])
        assert one["novelty"] == pytest.approx(row["novelty"], abs=1e-4)
        assert 0 <= one["probability_bright"] <= 1, "the evaluation needs all of them"
        assert one["source_reason"] == "x", "a column of the source has another name"
    read = type(found).read(tmp_path / "e")
    assert read.predictions.rejected.tolist() == found.predictions.rejected.tolist()
    worst = {one.id for one in read.worst(100)}
    assert worst and all(rows[Path(id_).stem]["reason"] is None for id_ in worst)


def test_a_rejected_image_is_neither_positive_nor_none() -> None:
    rejected = Prediction("x", {"a": 0.9, "b": 0.9}, reason="blank", problem="p", rejected=True)
    assert rejected.predicted_class is None and not rejected.is_unreadable
    row = rejected.to_row(("a", "b"))
    assert row["probability_a"] is None and row["predicted"] is None
    assert rejected.to_row(("a",), all_probabilities=True)["probability_a"] == 0.9
    negative = Prediction("x", {"a": 0.1}, {"a/balanced": "negative"})
    assert negative.predicted_class == "none"
