"""Make a bundle of an ONNX classifier that another library has exported.

The graph must have one input, the image, and an output with one column for each label or class.
Declare how its images are scaled with --preset or --range. A wrong scale is not visible in the
graph, so give --check with outputs of the original network.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import (
    add_cache_arguments,
    add_source_options,
    load,
    options_of,
)

if TYPE_CHECKING:
    from plainfilm.bundle import Bundle

EXAMPLE = (
    "plainfilm import model.onnx --labels PNEUMONIA --negative NORMAL --preset torchvision "
    "--out imported"
)
_PRESETS = (
    *("torchxrayvision", "keras", "keras-tf", "keras-torch", "keras-caffe", "torchvision"),
    *("timm", "timm-inception", "monai"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file")
    add = options_of(parser)
    add("--out FOLDER", "new folder for the bundle", type=Path, required=True)
    words = "names of the columns of the output, in their order"
    add("--labels NAME[,NAME...]", words, dest="names", required=True)
    add("--negative NAME", "negative class, if there are two classes")
    words = "whether labels exclude each other (default: derived from the graph)"
    tasks = ("binary", "multiclass", "multilabel")
    add("--task binary|multiclass|multilabel", words, choices=tasks)
    words = "content of the output (default: probabilities after a sigmoid or softmax)"
    kinds = ("logits", "probabilities")
    add("--output-kind logits|probabilities", words, choices=kinds)
    add("--input NAME", "input of the graph (default: the only one)")
    add("--output NAME", "output of the graph (default: the only one)")
    words = "columns of the output to use, counted from 0 (default: all)"
    add("--columns N[,N...]", words, type=_whole_numbers)
    _add_image_arguments(parser)
    words = "labelled images to lock temperature and thresholds on: a folder or table"
    parser.add_argument("--validation", metavar="DATA", nargs="+", dest="data", help=words)
    words = "threshold of a label, or of all labels; repeatable (default: none)"
    add("--threshold [LABEL=]P", words, action="append", default=[])
    words = "outputs of the original network to compare with: .npz (images, outputs) or a table"
    add("--check SAMPLES", words, type=Path)
    add("--licence NAME", "licence of the network, for the model card")
    add_source_options(parser, labels="--label-columns")
    add_cache_arguments(parser)


def _add_image_arguments(parser: argparse.ArgumentParser) -> None:
    add = options_of(parser.add_argument_group("about the images that the network expects"))
    words = "defaults for the options below by the habit of a library: "
    add("--preset NAME", words + ", ".join(_PRESETS), choices=_PRESETS)
    add("--size PIXELS", "side of the square image (default: that of the input)", type=int)
    words = "how an image becomes a square (default: squash, or by preset)"
    kinds = ("squash", "pad", "crop")
    add("--geometry squash|pad|crop", words, choices=kinds)
    words = "channels, equal to each other (default: those of the input)"
    add("--channels 1|3", words, type=int, choices=(1, 3))
    words = "order of the axes (default: recognised)"
    add("--axes nchw|nhwc|nhw", words, choices=("nchw", "nhwc", "nhw"))
    words = "values of black and white; with a minus: --range=-1,1"
    add("--range LOW,HIGH", words, type=_numbers, dest="value_range")
    add("--mean X[,X,X]", "subtracted after scaling to the range", type=_numbers)
    add("--std X[,X,X]", "divided by after the mean is subtracted", type=_numbers)
    words = "scale from 0 and 255, or from the extremes of each image (default: fixed)"
    add("--scaling fixed|image", words, choices=("fixed", "image"))
    add("--transposed", "exchange height and width", default=None)


def run(args: argparse.Namespace) -> int:
    from plainfilm.cli.describe import print_findings
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.importing import ImageOptions, import_model

    validation = load(args, one_class=True) if args.data else None
    if validation is not None:
        print_findings(validation, args.given)
    with show_progress() as progress:
        bundle = import_model(
            args.model,
            out=args.out,
            labels=args.names.split(","),
            negative=args.negative,
            task=args.task,
            preset=args.preset,
            images=ImageOptions(
                size=args.size,
                geometry=args.geometry,
                channels=args.channels,
                axes=args.axes,
                value_range=args.value_range,
                mean=args.mean,
                std=args.std,
                scaling=args.scaling,
                transposed=args.transposed,
            ),
            input=args.input,
            output=args.output,
            output_kind=args.output_kind,
            columns=args.columns,
            thresholds=_thresholds(args.threshold, args.names.split(",")),
            validation=validation,
            check=args.check,
            licence=args.licence,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    for line in describe(bundle):
        print(line)
    print(f"bundle: {shown(bundle.folder)}")
    return 0


def describe(bundle: Bundle) -> list[str]:
    """Return what was imported, in a few lines."""
    from plainfilm.bundle.origin import NO_THRESHOLD, describe_input

    origin = bundle.provenance.imported_from
    assert origin is not None
    how = origin.preprocessing
    size, task = bundle.pixels.size, bundle.task
    lines = [
        f"input {origin.input}: {how.channels} x {size} x {size} ({how.axes}, {how.dtype}), "
        f"geometry {bundle.pixels.geometry}, {describe_input(how)}",
        f"output {origin.output}: {origin.output_kind} of {', '.join(origin.names)} ({task.kind})",
        f"compared with: {origin.checked}",
    ]
    if origin.batch is not None:
        lines.append(
            f"images in a run of the graph: {origin.batch}, which is slower than any number"
        )
    if locked := bundle.provenance.locked_on:
        lines.append(f"temperature {bundle.temperature:.3g} and thresholds locked on {locked}")
        lines += [
            f"  {point.label} {point.name}: {point.threshold:.3f}"
            for point in bundle.operating_points
        ]
    if not bundle.points and task.kind != "multiclass":
        lines.append(NO_THRESHOLD)
    return lines


def _thresholds(given: list[str], labels: list[str]) -> float | dict[str, float] | None:
    from plainfilm.errors import UsageError

    found: dict[str, float] = {}
    for text in given:
        label, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise UsageError("a threshold must be a number", received=text) from None
        if not equals and len(given) == 1:
            return value
        found[label] = value
    return found or None


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers, not {text!r}") from None


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be whole numbers, not {text!r}") from None
