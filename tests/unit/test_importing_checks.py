"""Graphs and declarations that are wrong are refused with one clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plainfilm.bundle import Bundle
from plainfilm.cli.import_model import describe
from plainfilm.errors import BundleError, UsageError
from plainfilm.importing import ImageOptions, candidate, import_model
from plainfilm.runtime import Predictor

onnx = pytest.importorskip("onnx")

from onnx_networks import Maker, residual  # noqa: E402

Change = Callable[[Any], Any]
UNIT = ImageOptions(value_range=(0, 1))


def bring(path: Path, **more: Any) -> Bundle:
    options: dict[str, Any] = {"labels": ["ILL"], "negative": "WELL", "images": UNIT}
    return import_model(path, out=path.parent / "bundle", **{**options, **more})


def changed(path: Path, change: Change) -> Path:
    """Change the ONNX file of a network."""
    model = onnx.load_model(residual(path, end="Sigmoid"))
    path.write_bytes((change(model) or model).SerializeToString())
    return path


def replace_last(model: Any, *kinds: str, **attributes: Any) -> None:
    """Replace the last node by others in a row."""
    last = model.graph.node.pop()
    value = last.input[0]
    for number, kind in enumerate(kinds):
        name = last.output[0] if number == len(kinds) - 1 else f"replaced{number}"
        model.graph.node.append(onnx.helper.make_node(kind, [value], [name], **attributes))
        value = name


def not_a_number(model: Any) -> None:
    replace_last(model, "Neg", "Exp", "Log", "Log", "Sqrt", "Log")


def large_size(model: Any) -> None:
    side = onnx.numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "sides")
    model.graph.initializer.append(side)
    model.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["sides"], ["bomb"]))


def memory_bomb(model: Any) -> None:
    """Add a row and a column of 32,768 values, whose sum is too large."""
    make = onnx.helper.make_node
    for name, sides in (("row", [1, 1 << 15]), ("column", [1 << 15, 1])):
        constant = onnx.numpy_helper.from_array(np.array(sides, np.int64), f"{name}_sides")
        model.graph.initializer.append(constant)
        model.graph.node.insert(0, make("ConstantOfShape", [f"{name}_sides"], [name]))
    model.graph.node.insert(2, make("Add", ["row", "column"], ["bomb"]))


def second_input(model: Any) -> None:
    more = onnx.helper.make_tensor_value_info("age", onnx.TensorProto.FLOAT, ["n", 1])
    model.graph.input.append(more)


def external(model: Any) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "net.onnx.data"


def constant(model: Any) -> None:
    zeros = onnx.numpy_helper.from_array(np.zeros((1, 1), np.float32), "zero")
    model.graph.initializer.append(zeros)
    last = model.graph.node[-1]
    model.graph.node.insert(
        len(model.graph.node) - 1, onnx.helper.make_node("Mul", [last.input[0], "zero"], ["none"])
    )
    last.input[0] = "none"


def noisy(model: Any) -> None:
    """Add noise."""
    last = model.graph.node[-1]
    make = onnx.helper.make_node
    place = len(model.graph.node) - 1
    model.graph.node.insert(place, make("RandomNormalLike", [last.input[0]], ["noise"]))
    model.graph.node.insert(place + 1, make("Add", [last.input[0], "noise"], ["noisy"]))
    last.input[0] = "noisy"


def mixing(model: Any) -> None:
    """Subtract the mean over the images, as batch normalisation in training mode does."""
    last = model.graph.node[-1]
    make, place = onnx.helper.make_node, len(model.graph.node) - 1
    mean = make("ReduceMean", [last.input[0]], ["over_images"], axes=[0])
    model.graph.node.insert(place, mean)
    model.graph.node.insert(place + 1, make("Sub", [last.input[0], "over_images"], ["centred"]))
    model.graph.node.insert(place + 2, make("Add", ["centred", last.input[0]], ["mixed"]))
    last.input[0] = "mixed"


def unknown_attribute(model: Any) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("invented", 1))


def one_value(model: Any) -> None:
    replace_last(model, "ReduceMean", keepdims=0)


HOSTILE: list[tuple[Change, str]] = [
    (not_a_number, "values that are not finite"),
    (large_size, "decides a size that is too large"),
    (memory_bomb, "does not fit in memory"),
    (second_input, "must have one input"),
    (external, "weights in other files"),
    (constant, "same values for every image"),
    (noisy, "only operators of image classifiers in inference"),
    (mixing, "other values for several images"),
    (one_value, "one row for each image"),
    (lambda model: model.graph.node.pop(0), "uses a value before it is computed"),
    (lambda model: setattr(model.opset_import[0], "version", 7), "version 8"),
    (unknown_attribute, "not valid"),
    (lambda model: setattr(model.graph.node[0], "op_type", "Invented"), "only operators of"),
    (lambda model: setattr(model.graph.node[0], "domain", "com.microsoft"), "standard operators"),
]


@pytest.mark.parametrize(("change", "problem"), HOSTILE)
def test_a_hostile_network_is_refused(tmp_path: Path, change: Change, problem: str) -> None:
    path = tmp_path / "net.onnx"
    # The last node keeps its name, so that what replaces it has the meaning of probabilities.
    with pytest.raises(BundleError, match=problem) as caught:
        bring(
            changed(path, lambda model: change(model) and None),
            output_kind="probabilities",
            input="pixels",
        )
    assert "\n" not in caught.value.problem
    assert not (tmp_path / "bundle").exists()


def test_a_network_that_returns_other_values_than_its_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refer = candidate.refer

    def other(*given: Any) -> Any:
        found = refer(*given)
        return found._replace(outputs=found.outputs * 0.999)

    monkeypatch.setattr(candidate, "refer", other)
    with pytest.raises(BundleError, match="does not return what the ONNX file returns"):
        bring(residual(tmp_path / "net.onnx", end="Sigmoid"))
    assert not (tmp_path / "bundle").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"weights", b"\x80\x02}q\x00."):
        path = tmp_path / "net.onnx"
        path.write_bytes(content)
        with pytest.raises(BundleError, match="not an ONNX graph"):
            bring(path)
    with pytest.raises(UsageError, match="cannot be read"):
        bring(tmp_path / "missing.onnx")


def test_a_network_for_several_images_at_once_is_refused(tmp_path: Path) -> None:
    made = Maker()
    flat = made.add("Flatten", "pixels")
    made.add("Gemm", flat, made.weight(2048, 1), made.weight(1))
    path = made.save(tmp_path / "net.onnx", ["n", 2, 32, 32], "t1", 1)
    with pytest.raises(UsageError, match="order of the axes"):
        bring(path, output_kind="logits")
    with pytest.raises(UsageError, match="square"):
        bring(residual_of(tmp_path, (32, 48)), output_kind="logits")


def residual_of(folder: Path, sides: tuple[int, int]) -> Path:
    path = residual(folder / "wide.onnx")
    model = onnx.load_model(path)
    for axis, side in zip((2, 3), sides, strict=True):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("graph", "kind", "problem"),
    [
        ({}, "probabilities", "not from 0 to 1"),
        ({"columns": 3}, "probabilities", "not from 0 to 1"),
        ({"columns": 3, "end": "Sigmoid"}, "probabilities", "must add up to 1"),
    ],
)
def test_a_wrong_meaning_of_the_output_is_noticed(
    tmp_path: Path, graph: dict[str, Any], kind: str, problem: str
) -> None:
    path = residual(tmp_path / "net.onnx", gain=30, **graph)
    several = {"labels": ["a", "b", "c"], "negative": None, "task": "multiclass"}
    with pytest.raises(BundleError, match=problem):
        bring(path, output_kind=kind, **(several if "columns" in graph else {}))


def samples(folder: Path, change: float = 0.0) -> Path:
    """Save images and what the network of `residual` returns for them."""
    import onnxruntime

    path = residual(folder / "net.onnx", columns=2, end="Sigmoid")
    images = np.random.default_rng(2).integers(0, 256, (4, 32, 32)).astype(np.uint8)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = np.repeat(images[:, None].astype(np.float32) / 255, 3, axis=1)
    [outputs] = session.run(None, {"pixels": inputs})
    outputs[2, 1] += change
    np.savez(folder / "samples.npz", images=images, outputs=outputs)
    lines = ["file,a,b"]
    for number, (image, row) in enumerate(zip(images, outputs, strict=True)):
        Image.fromarray(image).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{row[0]:.7f},{row[1]:.7f}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return path


TWO = {"labels": ["a", "b"], "negative": None, "task": "multilabel"}


@pytest.mark.parametrize("name", ["samples.npz", "samples.csv"])
def test_samples_of_the_original_are_compared(tmp_path: Path, name: str) -> None:
    bundle = bring(samples(tmp_path), check=tmp_path / name, **TWO)
    origin = bundle.provenance.imported_from
    assert origin is not None
    assert "outputs of the original for 4 sample images" in origin.checked


@pytest.mark.parametrize("name", ["samples.npz", "samples.csv"])
def test_a_difference_to_the_original_is_refused(tmp_path: Path, name: str) -> None:
    path = samples(tmp_path, change=2e-4)
    with pytest.raises(BundleError, match="not return what the original returned") as caught:
        bring(path, check=tmp_path / name, **TWO)
    image = "image 2" if name.endswith("npz") else "2.png"
    assert f"0.0002 in the probabilities of b for {image}" in str(caught.value.received)
    assert ("resizes images" in str(caught.value.remedy)) == name.endswith("csv")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "images",
    [
        ImageOptions(value_range=(0, 255)),
        ImageOptions(value_range=(1, 0)),
        ImageOptions(value_range=(0, 1), std=(0.9,)),
        ImageOptions(value_range=(0, 1), transposed=True),
    ],
)
def test_a_wrong_preprocessing_is_noticed_with_samples(
    tmp_path: Path, images: ImageOptions
) -> None:
    path = samples(tmp_path)
    problem = "not return what the original returned|same values for every image"
    with pytest.raises(BundleError, match=problem):
        bring(path, check=tmp_path / "samples.npz", **{**TWO, "images": images})


def test_samples_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = samples(tmp_path)
    np.savez(tmp_path / "small.npz", images=np.zeros((2, 8, 8), np.uint8), outputs=np.zeros((2, 2)))
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    (tmp_path / "other.csv").write_text("file,a\n0.png,0.5\n", "utf-8")
    (tmp_path / "words.csv").write_text("file,a,b\n0.png,high,low\n", "utf-8")
    for name in ("small.npz", "other.npz", "other.csv", "words.csv", "missing.npz"):
        with pytest.raises(UsageError):
            bring(path, check=tmp_path / name, **TWO)


def test_a_folder_with_other_files_is_kept(tmp_path: Path) -> None:
    path = residual(tmp_path / "net.onnx", end="Sigmoid")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(UsageError, match="holds other files"):
        bring(path)


def test_values_outside_of_probabilities_become_no_class(tmp_path: Path) -> None:
    """The output is a mean grey value: a probability on dark images only."""
    made = Maker()
    value = made.add("Flatten", made.add("GlobalAveragePool", "pixels"))
    path = made.save(tmp_path / "net.onnx", ["n", 1, 32, 32], value, 1)
    images = ImageOptions(value_range=(0, 1.6))  # noise has a mean of 0.8
    bundle = bring(path, output_kind="probabilities", images=images, thresholds=0.5)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32)).astype(np.uint8)
    pixels[1] = 250 - pixels[1] // 16
    one, other = Predictor(bundle).predict_pixels(pixels, [{}, {}])
    assert one.predicted_class == "ILL"
    assert other.reason == "invalid-output"
    assert not other.predicted


def test_names_in_the_file_cannot_break_the_card_or_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    markdown = pytest.importorskip("markdown_it")
    path, name = tmp_path / "net.onnx", "x\x1b[2J|\n## Cured\n<b>` <b> ``<b>\\|<b>`"
    model = onnx.load_model(residual(path, end="Sigmoid"))
    model.producer_name = f"maker {name}"
    model.graph.input[0].name = name
    model.graph.node[0].input[0] = name
    path.write_bytes(model.SerializeToString())
    bundle = bring(path)
    for line in describe(bundle):
        print(line)
    card = (bundle.folder / "MODEL_CARD.md").read_text("utf-8")
    assert "\x1b" not in capsys.readouterr().out + card
    assert "\n## Cured" not in card
    # HTML is on, as in most viewers of Markdown: no name ends its code span or cell.
    page = markdown.MarkdownIt("commonmark", {"html": True}).enable("table").render(card)
    assert "<b>" not in page
    assert "<code>x [2J| ## Cured &lt;b&gt;` &lt;b&gt; ``&lt;b&gt;\\|&lt;b&gt;`</code>" in page
    assert "<td>maker x [2J| ## Cured &lt;b&gt;` &lt;b&gt; ``&lt;b&gt;\\|&lt;b&gt;`" in page
    with pytest.raises(UsageError) as caught:
        import_model(path, out=tmp_path / "other", labels=["a"], input="y")
    assert "\x1b" not in str(caught.value)
