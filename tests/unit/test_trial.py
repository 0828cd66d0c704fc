"""A service and an import accept a bundle only after a process with limits has run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm import trial
from plainfilm.bundle import Bundle, Rejection
from plainfilm.errors import BundleError
from plainfilm.inference import registry
from plainfilm.inference.registry import BundleRegistry, BundleSource
from plainfilm.trial import TrialLimits, try_bundle

onnx = pytest.importorskip("onnx")
node = onnx.helper.make_node
MakeBundle = Callable[..., Bundle]
MEAN = [
    node("Cast", ["image"], ["grey"], to=1),
    node("ReduceMean", ["grey"], ["mean"], axes=[1, 2], keepdims=0),
    node("Unsqueeze", ["mean", "one"], ["column"]),
]
ENDS = [
    node("Identity", ["column"], ["logits"]),
    node("Sigmoid", ["logits"], ["probabilities"]),
    node("Identity", ["mean"], ["novelty"]),
]


def graph(nodes: Sequence[Any], **constants: Any) -> bytes:
    """Return a graph whose outputs have shapes that the file does not declare."""
    info, types = onnx.helper.make_tensor_value_info, onnx.TensorProto
    made = onnx.helper.make_graph(
        [*MEAN, *nodes],
        "made",
        [info("image", types.UINT8, ["n", 16, 16])],
        [info(name, types.FLOAT, None) for name in ("probabilities", "logits", "novelty")],
        [
            onnx.numpy_helper.from_array(np.asarray(value), name)
            for name, value in (constants | {"one": np.array([1], np.int64)}).items()
        ],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    data: bytes = onnx.helper.make_model(
        made, opset_imports=opsets, ir_version=8
    ).SerializeToString()
    return data


def grow(times: int) -> list[Any]:
    """Return nodes that double a value, which end in a sum that is added to the mean."""
    names = ["mean", *(f"grown{k}" for k in range(times))]
    doubled = [node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    return [
        *doubled,
        node("ReduceSum", [names[-1]], ["sum"], keepdims=0),
        node("Add", ["column", "sum"], ["logits"]),
        *ENDS[1:],
    ]


def multiply(times: int) -> list[Any]:
    """Return nodes that multiply large matrices, which take long but little memory."""
    return [
        node("Reshape", ["grey", "flat"], ["line"]),
        node("Slice", ["line", "first", "last", "axis"], ["two"]),
        node("Expand", ["two", "large"], ["m0"]),
        *(node("MatMul", [f"m{k}", f"m{k}"], [f"m{k + 1}"]) for k in range(times)),
        node("ReduceMax", [f"m{times}"], ["top"], keepdims=0),
        node("Add", ["column", "top"], ["logits"]),
        *ENDS[1:],
    ]


NUMBERS = {
    "flat": np.array([-1, 1], np.int64),
    "first": np.array([0], np.int64),
    "last": np.array([1], np.int64),
    "axis": np.array([0], np.int64),
    "large": np.array([2000, 2000], np.int64),
}
WRONG = {
    "not finite": [node("Log", ["mean"], ["novelty"]), *ENDS[:2]],
    "not probabilities": [node("Identity", ["column"], ["probabilities"]), ENDS[0], ENDS[2]],
    "does not have a probability for each label": [
        ENDS[0],
        node("Concat", ["column", "column"], ["both"], axis=1),
        node("Sigmoid", ["both"], ["probabilities"]),
        ENDS[2],
    ],
    "output novelty has an unexpected shape": [
        *ENDS[:2],
        node("Identity", ["column"], ["novelty"]),
    ],
    "does not return one row for each image": [
        ENDS[0],
        node("Sigmoid", ["logits"], ["all"]),
        node("Slice", ["all", "zero", "one"], ["probabilities"]),
        ENDS[2],
    ],
    "fails on an image": [
        node("Reshape", ["column", "shape"], ["logits"]),
        *ENDS[1:],
    ],
}


def make(make_bundle: MakeBundle, nodes: Sequence[Any], folder: Path | None = None) -> Bundle:
    constants = NUMBERS | {"zero": np.array([0], np.int64), "shape": np.array([7, 1], np.int64)}
    rejection = Rejection(1e30, "", 0.0)
    return make_bundle(folder, graph=graph(nodes, **constants), rejection=rejection)


def test_a_bundle_that_works_is_tried_once(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make(make_bundle, ENDS)
    try_bundle(bundle)
    monkeypatch.setattr(trial, "start_command", lambda module: ["false"])
    try_bundle(bundle)


@pytest.mark.parametrize("problem", WRONG)
def test_a_network_that_returns_wrong_values_is_refused(
    make_bundle: MakeBundle, problem: str
) -> None:
    with pytest.raises(BundleError, match=f"does not pass its trial: .*{problem}"):
        try_bundle(make(make_bundle, WRONG[problem]))


def test_a_network_that_needs_too_much_memory_is_refused(make_bundle: MakeBundle) -> None:
    with pytest.raises(BundleError, match="does not pass its trial"):
        try_bundle(make(make_bundle, grow(34)), TrialLimits(memory=1 << 30))


def test_a_network_that_takes_too_long_is_refused(make_bundle: MakeBundle) -> None:
    began = time.monotonic()
    with pytest.raises(BundleError, match="does not pass its trial: it takes too long"):
        try_bundle(make(make_bundle, multiply(3000)), TrialLimits(seconds=2))
    assert time.monotonic() - began < 8


def test_a_service_that_stops_ends_its_trials(make_bundle: MakeBundle) -> None:
    bundle, began = make(make_bundle, multiply(2000)), time.monotonic()
    with ThreadPoolExecutor(1) as executor:
        result = executor.submit(try_bundle, bundle)
        while not result.done():
            trial.stop_trials()
            time.sleep(0.05)
    assert "the process that runs it ended" in str(result.exception())
    assert time.monotonic() - began < 10


def test_a_process_that_ends_without_a_reply_is_a_refusal(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make(make_bundle, [*ENDS, node("Abs", ["mean"], ["unused"])])
    for command in (["false"], ["echo", "[]"], ["echo", "no JSON"]):
        monkeypatch.setattr(trial, "start_command", lambda module, own=command: own)
        with pytest.raises(BundleError, match="the process that runs it ended"):
            try_bundle(bundle)


def test_a_service_does_not_start_with_a_bundle_that_fails(make_bundle: MakeBundle) -> None:
    bundle = make(make_bundle, WRONG["fails on an image"])
    with ThreadPoolExecutor(1) as executor, pytest.raises(BundleError, match="its trial"):
        BundleRegistry([BundleSource("b", bundle.folder)], executor, 1)


@pytest.mark.parametrize("error", [MemoryError, OSError, ZeroDivisionError, None])
def test_a_bundle_that_fails_leaves_the_old_one_and_the_others_are_swapped(
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception] | None,
) -> None:
    folders = tmp_path / "a", tmp_path / "b"
    old = [make_bundle(folder) for folder in folders]
    sources = [BundleSource(folder.name, folder) for folder in folders]
    with ThreadPoolExecutor(1) as executor:
        loaded = BundleRegistry(sources, executor, 1)
        make_bundle(folders[1], gains=(2.0,))
        if error is None:
            make(make_bundle, WRONG["not finite"], folders[0])
        else:
            read = registry.read_bundle

            def fail(folder: Path) -> Bundle:
                if folder == folders[0]:
                    raise error
                return read(folder)

            monkeypatch.setattr(registry, "read_bundle", fail)
        outcomes = dict(loaded.reload())
        assert isinstance(outcomes["a"], error or BundleError)
        assert [one.bundle.id == was.id for one, was in zip(loaded, old, strict=True)] == [
            True,
            False,
        ]
