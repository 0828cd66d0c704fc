"""Feed the readers of a bundle's files with mutated content, as if it had been sealed.

    python tests/fuzz/fuzz_bundle.py [SECONDS]

The first byte of an input decides which file the rest is: bundle.json, SHA256SUMS, network.onnx or
training_images.npz, or where wrong values are put into a right bundle.json. The invariants:

- nothing but a BundleError escapes, and its text is printable and short;
- metadata that are accepted can be written as JSON and read again, and have a model card;
- a graph that is accepted has bounded nodes, sizes and constants.

ONNX Runtime is not called: the graphs that the checks accept are tried in a process with limits.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing import run

__all__ = ["check", "draw_bundle", "main"]

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2, 1 << 31, 1 << 63, -(1 << 63), 10**30, 10**400),
    *(0.5, -0.0, 1.0000001, 1e308, math.nan, math.inf, -math.inf),
    *("", "x", "bright", "\x1b[31m", "\ud800", "\u202e", "</script>|`*[a](b)", "é" * 201),
    *([], [[]], [None], ["bright"], [1, "x"], {}, {"bright": 1}, {"a": [0.5]}),
)


def check(data: bytes) -> str:
    """Read one file, and return what became of it: ``accepted`` or ``refused``.

    Raises
    ------
    AssertionError
        If an invariant does not hold; whatever else escapes is a defect as well.
    """
    from plainfilm.errors import BundleError

    try:
        _READERS[data[0] % len(_READERS) if data else 0](data[1:])
    except BundleError as error:
        text = str(error)
        assert text.replace("\n", "").isprintable() and len(text) < 4000, text[:200]
        return "refused"
    return "accepted"


def _read_metadata(data: bytes) -> None:
    from plainfilm.bundle import BundleMetadata
    from plainfilm.bundle.card import model_card

    found = BundleMetadata.parse(data, "bundle.json")
    text = json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False).encode()
    again = BundleMetadata.parse(text, "bundle.json")
    assert json.dumps(again.to_json()).encode() == json.dumps(found.to_json()).encode()
    assert found.temperature > 0 and all(0 <= one.threshold <= 1 for one in found.operating_points)
    model_card(found).encode()


def _read_wrong_values(data: bytes) -> None:
    """Replace up to three values of the metadata."""
    content = json.loads(_METADATA)
    for at in range(0, min(len(data), 9), 3):
        number, value = int.from_bytes(data[at : at + 2], "big"), data[at + 2 : at + 3] or b"\0"
        *keys, last = _PATHS[number % len(_PATHS)]
        inner = content
        with contextlib.suppress(TypeError, LookupError):  # an earlier value has replaced it
            for key in keys:
                inner = inner[key]
            inner[last] = copy.deepcopy(VALUES[value[0] % len(VALUES)])
    _read_metadata(json.dumps(content).encode())


def _read_sums(data: bytes) -> None:
    from plainfilm.bundle.sealed import parse_sums

    for name, digest in parse_sums(Path("folder"), data).items():
        assert Path(name).name == name and len(digest) == 64


def _read_graph(data: bytes) -> None:
    from plainfilm.bundle.graph_check import MOST_NODES, check_graph

    found = check_graph(data)
    assert 0 < len(found.operators) <= MOST_NODES
    for one in found.constants:
        one.numbers()
        assert one.values <= 2 * len(data) and not one.external


def _read_training_images(data: bytes) -> None:
    from plainfilm.bundle import TrainingImages

    found = TrainingImages.parse(data, "training_images.npz")
    assert len(found) <= len(data) and found.components.shape[0] == len(found.mean)


_READERS = (
    _read_metadata,
    _read_wrong_values,
    _read_sums,
    _read_graph,
    _read_training_images,
)


def _paths(value: object, *keys: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the keys of every value in a document."""
    if keys:
        yield keys
    items = value.items() if isinstance(value, dict) else ()
    for key, own in items or (enumerate(value) if isinstance(value, list) else ()):
        yield from _paths(own, *keys, key)


def _draw_metadata() -> bytes:
    """Return a bundle.json in which every optional part is there."""
    from plainfilm._machine import describe_machine
    from plainfilm.bundle import (
        Adaptation,
        BundleMetadata,
        Determination,
        ImportedFrom,
        IndeterminateRange,
        Preprocessing,
        Provenance,
        Rejection,
    )
    from plainfilm.config import load_recipe
    from plainfilm.records import (
        LockedPoint,
        OperatingPoint,
        PixelSpec,
        Recalibration,
        ScoreCounts,
        Task,
        ThresholdEvidence,
        ValidationRates,
    )

    rates = ValidationRates(0.9, math.nan)
    evidence = ThresholdEvidence(
        "determined", "", 0.4, 0.6, 0.95, False, 9, 9, 5, 5, 1, unchanged=rates, all_copies=rates
    )
    adaptation = Adaptation(
        parent="ab",
        parent_name="c",
        method="recalibration",
        dataset="d",
        images=3,
        patients=2,
        held_out_images=0,
        held_out_patients=0,
        labels=("bright",),
        changed=("thresholds",),
    )
    imported = ImportedFrom(
        file="f.onnx",
        sha256="00",
        producer="p",
        opset=17,
        input="x",
        output="y",
        output_kind="logits",
        columns=(0,),
        names=("bright",),
        preprocessing=Preprocessing(channels=1, axes="nchw", low=0, high=255),
    )
    metadata = BundleMetadata(
        task=Task("binary", ("bright",), ("dark", "bright")),
        pixels=PixelSpec(16),
        temperature=1.5,
        points=(LockedPoint(OperatingPoint("a", "balanced", "bright", 0.5, "r"), evidence),),
        has_activation_map=False,
        provenance=Provenance(
            plainfilm="1",
            created="2026-01-01",
            recipe=load_recipe("swift"),
            seed=(1, 2),
            members=("a", "b"),
            folds=2,
            versions={"numpy": "2"},
            dataset="d",
            train_images=5,
            training_seconds=1.5,
            machine=describe_machine(),
            temperature=Determination(True),
            assumed_prevalence="balanced",
            training_prevalence={"bright": None},
            adaptation=adaptation,
            imported_from=imported,
        ),
        rejection=Rejection(1.5, "r", 0.01),
        indeterminate={"bright": IndeterminateRange(0.2, 0.8, "r")},
        recalibration=Recalibration((1.0,), (0.0,)),
        validation_scores={"bright": ScoreCounts((0.5,), ((1, 2), (3, 4)), (1.0, 1.0))},
    )
    return json.dumps(metadata.to_json()).encode()


_METADATA = _draw_metadata()
_PATHS = [*_paths(json.loads(_METADATA))]


def _draw_graph() -> bytes:
    """Return a small graph that has operators with constant sizes."""
    import onnx

    node, number = onnx.helper.make_node, onnx.numpy_helper.from_array
    info, types = onnx.helper.make_tensor_value_info, onnx.TensorProto
    sizes = {"pads": [0, 1, 1, 0, 1, 1], "times": [1, 2, 2], "axes": [1], "sides": [1, 36, 36]}
    nodes = [
        node("Cast", ["image"], ["grey"], to=1),
        node("Pad", ["grey", "pads"], ["padded"]),
        node("Tile", ["padded", "times"], ["tiled"]),
        node("Constant", [], ["ones"], value=number(np.ones((1, 36, 36), np.float32)[:, :1, :1])),
        node("Expand", ["ones", "sides"], ["all"]),
        node("Mul", ["tiled", "all"], ["product"]),
        node("ReduceMean", ["product"], ["mean"], axes=[1, 2], keepdims=0),
        node("Unsqueeze", ["mean", "axes"], ["logits"]),
        node("Sigmoid", ["logits"], ["probabilities"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "drawn",
        [info("image", types.UINT8, ["n", 16, 16])],
        [info(name, types.FLOAT, ["n", 1]) for name in ("logits", "probabilities")],
        [number(np.array(value, np.int64), name) for name, value in sizes.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    data: bytes = onnx.helper.make_model(graph, opset_imports=opsets).SerializeToString()
    return data


def draw_bundle() -> dict[str, bytes]:
    """Return name to input; every one is accepted."""
    from plainfilm.bundle import TrainingImages

    known = TrainingImages(
        np.arange(9, dtype=np.uint64),
        np.arange(4, dtype=np.uint64),
        "salt",
        np.zeros((5, 1), np.uint8),
        np.zeros(6, np.float32),
        np.zeros((6, 3), np.float16),
        np.zeros(3, np.float32),
    )
    sums = "".join(f"{digit * 64}  file{digit}.json\n" for digit in "0a5")
    return {
        "metadata": b"\x00" + _METADATA,
        "values": b"\x01" + bytes(3),
        "sums": b"\x02" + sums.encode(),
        "graph": b"\x03" + _draw_graph(),
        "training_images": b"\x04" + known.to_bytes(),
    }


def main(arguments: list[str] | None = None) -> int:
    """Fuzz for some seconds; return 0 where nothing was found."""
    return run(check, draw_bundle(), ("plainfilm.bundle", "plainfilm._json"), arguments)


if __name__ == "__main__":
    sys.exit(main())
