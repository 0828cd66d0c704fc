"""Files are decoded in processes with limits; what a network returns is checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_data_cache import read_number

import plainfilm.decoding.pool
from plainfilm.bundle import Bundle, Rejection
from plainfilm.cli.main import main
from plainfilm.decoding.pool import Pool
from plainfilm.decoding.sandbox import Sandbox
from plainfilm.errors import BundleError, RunError
from plainfilm.evaluation.predictions import Predictions
from plainfilm.network_session import NetworkSession
from plainfilm.records import Task
from plainfilm.runtime import Predictor

SIDE = 16
MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]
LIMIT = Rejection(threshold=0.9, rule="drawn", validation_share=0.0)


@pytest.fixture
def sources(draw_grey: Draw, tmp_path: Path) -> list[Path | bytes]:
    """Return 90 sources: paths and bytes, with some that are no images."""
    made: list[Path | bytes] = [
        draw_grey(tmp_path / "files" / f"{level}.png", 20 + 3 * level) for level in range(70)
    ]
    made[5:5] = [b"", b"no image", tmp_path / "missing.png"]
    return made + [path.read_bytes() for path in made[20:37] if isinstance(path, Path)]


def test_processes_give_the_predictions_of_this_process(
    make_bundle: MakeBundle, sources: list[Path | bytes]
) -> None:
    predictor = Predictor(make_bundle(rejection=LIMIT))
    here = list(predictor.predict(sources, workers=0))
    assert [one.reason for one in here[4:9]] == [
        *("unlike-training", "empty", "not-an-image", "missing", "unlike-training")
    ]
    assert list(predictor.predict(sources)) == here
    assert list(predictor.predict(iter(sources[:20]), workers=1)) == here[:20]
    pairs = list(predictor.predict_with_pixels(sources))
    assert [prediction for prediction, _ in pairs] == here
    for prediction, pixels in pairs:
        assert (pixels is None) == prediction.is_unreadable
        if pixels is not None:
            (again,) = predictor.predict_pixels(pixels[None], [prediction.metadata])
            assert again.probabilities == prediction.probabilities


def test_a_deadly_or_endless_file_costs_one_prediction(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(20 + n) for n in range(80)]
    words[3], words[40], words[41], words[79] = "asleep", "die", "weird", "asleep"
    paths = [tmp_path / f"{n}" for n in range(80)]
    for path, word in zip(paths, words, strict=True):
        path.write_text(word)
    stub = partial(Pool, reader=read_number, sandbox=Sandbox(seconds=0.5))
    monkeypatch.setattr(plainfilm.decoding.pool, "Pool", stub)
    start = time.monotonic()
    found = list(Predictor(make_bundle()).predict(paths, workers=2))
    assert time.monotonic() - start < 30
    failed = {row: one.reason for row, one in enumerate(found) if one.is_unreadable}
    late = "decoder-timeout"
    assert failed == {3: late, 40: "decoder-died", 41: "decoder-failed", 79: late}
    assert [one.id for one in found] == [str(path) for path in paths]


def test_closing_ends_the_processes_and_decodes_no_more(
    make_bundle: MakeBundle, sources: list[Path | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[Pool] = []

    class Watched(Pool):
        def __init__(self, workers: int) -> None:
            super().__init__(workers)
            pools.append(self)

    monkeypatch.setattr(plainfilm.decoding.pool, "Pool", Watched)
    here: list[Any] = []
    monkeypatch.setattr(plainfilm.decoding.pool, "decode_one", lambda *more: here.append(more))
    predictions = Predictor(make_bundle()).predict(sources * 5, workers=2)
    assert next(predictions).reason is None
    (pool,) = pools
    pids = pool.pids
    assert pids
    start = time.monotonic()
    predictions.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 5
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not here, "no file was decoded in this process"


def test_a_script_without_a_main_guard_runs_once(
    make_bundle: MakeBundle, sources: list[Path | bytes], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, plainfilm\n"
        "print('once')\n"
        "print(len(list(plainfilm.load(sys.argv[1]).predict(sys.argv[2:]))))\n"
    )
    paths = [path for path in sources if isinstance(path, Path)]
    command = [sys.executable, script, make_bundle().folder, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["once", str(len(paths))]


def changed(bundle: Bundle, output: str, how: Callable[[Any, Any], None]) -> bytes:
    """Return the graph of a bundle, with ``how(graph, node)`` applied to the node of an output."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(bundle.graph.read_bytes())
    (node,) = (node for node in model.graph.node if node.output[0] == output)
    how(model.graph, node)
    for one in model.graph.output:
        if one.name == output:
            one.type.tensor_type.ClearField("shape")  # the declared shape may be wrong then
            for side in ("n", "m"):
                if output != "novelty" or side == "n":
                    one.type.tensor_type.shape.dim.add().dim_param = side
    data: bytes = model.SerializeToString()
    return data


def _operator(name: str, *inputs: str) -> Callable[[Any, Any], None]:
    def change(graph: Any, node: Any) -> None:
        node.op_type = name
        del node.attribute[:]
        if inputs:
            node.input[:] = inputs

    return change


WRONG = {
    "NaN novelty": ("novelty", _operator("Sqrt", "distance")),  # of dark images
    "negative novelty": ("novelty", _operator("Identity", "distance")),
    "infinite novelty": ("novelty", _operator("Div", "positive", "zero")),
    "NaN probability": ("probabilities", _operator("Sqrt", "centred")),
    "probability of 126": ("probabilities", _operator("Identity", "column")),
    "rows for columns": ("probabilities", _operator("Transpose", "column")),
    "a row too few": ("probabilities", _operator("Gather", "column", "none")),
    "novelty of another shape": ("novelty", _operator("Identity", "column")),
    "integers": ("probabilities", _operator("Cast", "column")),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_no_probability_or_novelty_is_no_prediction(
    make_bundle: MakeBundle, tmp_path: Path, how: str
) -> None:
    onnx = pytest.importorskip("onnx")
    output, change = WRONG[how]

    def with_constants(graph: Any, node: Any) -> None:
        for name, value in (
            ("zero", np.zeros(1, np.float32)),
            ("none", np.zeros(0, np.int64)),
        ):
            graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        change(graph, node)
        if node.op_type == "Cast":
            node.attribute.append(onnx.helper.make_attribute("to", onnx.TensorProto.INT64))
            graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64

    graph = changed(make_bundle(), output, with_constants)
    predictor = Predictor(make_bundle(tmp_path / "bad", graph=graph, rejection=LIMIT))
    pixels = np.random.default_rng(0).integers(0, 200, (3, SIDE, SIDE)).astype(np.uint8)
    for one in predictor.predict_pixels(pixels, [{"depth": float("nan")}] * 3):
        assert one.reason == "invalid-output"
        assert one.problem
        assert not one.probabilities and not one.predicted and one.novelty is None
        assert one.is_unreadable and one.predicted_class is None
        assert "NaN" not in json.dumps(one.to_json())
    if how not in ("negative novelty", "probability of 126"):
        with pytest.raises(BundleError, match=r"network|one row"):
            predictor.probabilities_and_novelty(pixels)


def test_an_image_on_which_the_network_fails_costs_no_other(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """This network takes the probability from a table, which ends before its last value."""
    onnx = pytest.importorskip("onnx")

    def look_up(graph: Any, node: Any) -> None:
        table = np.linspace(0, 1, 100).astype(np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(table, "table"))
        graph.node.insert(
            [*graph.node].index(node),
            onnx.helper.make_node("Cast", ["column"], ["place"], to=onnx.TensorProto.INT64),
        )
        node.op_type = "Gather"
        node.input[:] = ["table", "place"]

    graph = changed(make_bundle(), "probabilities", look_up)
    predictor = Predictor(make_bundle(tmp_path / "bad", graph=graph))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 150, (5, SIDE, SIDE)).astype(np.uint8)
    pixels[2] += 100
    found = predictor.predict_pixels(pixels, [{}] * 5)
    assert [one.reason for one in found] == [None, None, "invalid-output", None, None]


@pytest.mark.parametrize("second", [np.zeros((6, 2), np.float32), [0.5] * 6, np.float32(0)])
def test_outputs_of_each_run_are_arrays_of_one_shape(make_bundle: MakeBundle, second: Any) -> None:
    session = NetworkSession(make_bundle().read_graph())
    runs = iter([[np.zeros((64, 1), np.float32)], [second]])

    class Stub:
        def run(self, *_: object) -> list[Any]:
            return next(runs)

    session._session = Stub()
    with pytest.raises(BundleError, match="one row for each image"):
        session.run(["probabilities"], np.zeros((70, SIDE, SIDE), np.uint8))


def test_a_bundle_without_an_output_that_it_needs_cannot_be_loaded(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(make_bundle().graph.read_bytes())
    del model.graph.output[2]
    bundle = make_bundle(tmp_path / "bad", graph=model.SerializeToString(), rejection=LIMIT)
    with pytest.raises(BundleError, match="no novelty"):
        Predictor(bundle)


def test_heat_maps_are_of_the_pixels_that_were_predicted_on(
    make_bundle: MakeBundle,
    draw_grey: Draw,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"{'ä' * 123}.png"  # 250 bytes
    draw_grey(tmp_path / "a.png", 150).rename(path)
    monkeypatch.setattr(Predictor, "read", None)  # a second time
    maps, bundle = tmp_path / "maps", make_bundle()
    command = ["predict", bundle.folder, path, "--heatmaps", maps, "--all-probabilities"]
    assert main([*map(str, command), "--format", "jsonl"]) == 0
    (drawn,) = maps.iterdir()
    assert drawn.name.startswith("000000-ää") and len(os.fsencode(drawn.name)) <= 240
    capsys.readouterr()

    def fail(*_: object) -> None:
        raise BundleError("the network returned values that are not finite")

    monkeypatch.setattr("plainfilm.explain.heatmap", fail)
    assert main([*map(str, command), "--format", "jsonl"]) == 1
    fields = json.loads(capsys.readouterr().out)
    assert (fields["reason"], fields["probabilities"]) == ("invalid-output", {})


def test_a_heat_map_that_fails_is_a_failure_of_its_image(
    serve_with: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, sources: list[Path | bytes]
) -> None:
    pytest.importorskip("starlette")

    def fail(*_: object) -> bytes:
        raise BundleError("the network returned values that are not finite (activation)")

    monkeypatch.setattr("plainfilm.inference.engine.heatmap", fail)

    async def talk(client: Any, service: Any) -> Any:
        own = {"content": sources[-1], "headers": {"content-type": "image/png"}}
        path = "/v1/predictions"
        return [await client.post(path + more, **own) for more in ("?include=heatmap", "")]

    (failed, good), _ = serve_with(talk)
    assert (failed.status_code, failed.json()["code"]) == (422, "invalid-output")
    assert good.status_code == 200


@pytest.mark.parametrize("value", [float("nan"), -0.5, 126.0])
def test_stored_predictions_are_probabilities(tmp_path: Path, value: float) -> None:
    pytest.importorskip("pyarrow")
    task = Task("binary", ("ILL",), ("WELL", "ILL"))
    numbers = np.array([[0.0], [1.0]], np.float32)
    path, cuts = tmp_path / "predictions.parquet", np.array([0.5, 0.5])
    good = Predictions(task, ["a", "b"], ["a", "b"], numbers, numbers.copy())
    good = replace(good, thresholds={("ILL", "balanced"): cuts})
    good.write(path, "model")
    assert Predictions.read(path, task)[1].probabilities.tolist() == [[0.0], [1.0]]
    good.probabilities[0] = value
    good.write(path, "model")
    with pytest.raises(RunError, match="not from 0 to 1"):
        Predictions.read(path, task)
    good.probabilities[0], cuts[1] = 0, np.nan
    good.write(path, "model")
    with pytest.raises(RunError, match="thresholds that are not finite"):
        Predictions.read(path, task)
