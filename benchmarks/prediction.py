"""Measures the time from an image file to a probability: first prediction, later ones, throughput.

    python benchmarks/prediction.py RUN                 # a run of `plainfilm train`
    python benchmarks/prediction.py RUN --rounds 10

- cold: the whole process that predicts on one JPEG;
- warm: one image at a time in a process that has predicted before, including reading the file;
- folder: images per second for many files, of 224x224 (the official test set, four times) and full
  size (`kermany_originals`, eight times), in processes as by default and in this process
  (`workers=0`); and decoding only, in the same processes;
- int8: the sealed graph, quantised with the tool of ONNX Runtime (static, calibrated on training
  images), and in bfloat16 with OpenVINO: speed of the network, and the loss of AUROC on the
  official test set with the interval of the paired difference (bootstrap of patients). Bundles
  contain neither, and nothing was selected on these results.

For comparison, the same network runs in Keras (``load_model``, ``predict``), as a TensorFlow saved
model, in PyTorch, in ONNX Runtime (with Pillow and a session), and in OpenVINO, each with the file
reading of its tutorials. All programs of a kind run in turn in each round. PyTorch and OpenVINO
have separate environments, created on first use. Needs the images of PLAINFILM_DATA (with
``kermany224``) and the extra ``train``.

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from _measure import ROOT, bars, machine, need, peer, process, spread, table

WARM = 200
PLAINFILM = Path(sys.executable).parent / "plainfilm"
Predict = Callable[[str], float]


def main() -> int:
    """Write the files of other programs, run all programs, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="output file of a plot (SVG or PNG)")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        how, program, folder = args.worker
        print(json.dumps(WORKERS[how](program, args.run, Path(folder))))
        return 0
    data = need("kermany224")
    files = sorted(str(path) for path in (data / "test").rglob("*.jpeg"))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "files.json").write_text(json.dumps(files))
        large = sorted(str(path) for path in need("kermany_originals").rglob("*.jpeg"))
        (folder / "large.json").write_text(json.dumps(large))
        environment(folder, args.run, "make", "keras")
        print(machine(), flush=True)
        panels = {
            "one file, whole process, s": cold(args, folder, files[0]),
            "one file after another, median, ms": warm(args, folder),
            **throughput(args, folder),
        }
        print("\n" + environment(folder, args.run, "low-precision", "low-precision")["table"])
    if args.plot:
        bars(args.plot, panels, "plainfilm")
    return 0


def environment(folder: Path, run: Path, how: str, program: str) -> Any:
    """Run one program in a separate process, and return its result."""
    command = [python_of(program), __file__, run, "--worker", how, program, folder]
    return json.loads(process(command)[2].splitlines()[-1])


def python_of(program: str) -> str | Path:
    """Return the Python interpreter with the packages of a program."""
    if program == "PyTorch":
        return peer("torch", "torch==2.13.0", "-e", f"{ROOT}[torch]")
    if program in ("OpenVINO", "low-precision"):
        return peer("openvino", "openvino==2026.4.1", "onnx", "sympy", "-e", str(ROOT))
    return sys.executable


# --- cold


def cold(args: argparse.Namespace, folder: Path, file: str) -> dict[str, list[float]]:
    """Time whole processes; return the seconds of each."""
    commands: dict[str, list[Any]] = {
        "plainfilm predict": [PLAINFILM, "predict", args.run, file],
        "plainfilm --help": [PLAINFILM, "--help"],
        "interpreter only": [sys.executable, "-c", "pass"],
    }
    for name in OTHER_PROGRAMS:
        commands[name] = [python_of(name), __file__, args.run, "--worker", "one", name, folder]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():  # warm-up: load files into the disk cache
        process(command)
    for _ in range(args.rounds):
        for name, command in commands.items():
            seconds[name].append(process(command)[0])
    ours = seconds["plainfilm predict"]
    rows = [
        [name, spread(own, " s", 3), spread([a / b for a, b in zip(own, ours, strict=True)])]
        for name, own in seconds.items()
    ]
    heads = ["whole process, one JPEG", "median (range)", "program / plainfilm predict"]
    print("\n" + table(heads, rows), flush=True)
    helps = zip(seconds["plainfilm --help"], seconds["interpreter only"], strict=True)
    print(f"\nplainfilm --help takes {spread([a / b for a, b in helps])} times the interpreter")
    return seconds


def one(program: str, run: Path, folder: Path) -> float:
    """Predict on one file."""
    files = json.loads((folder / "files.json").read_text())
    return PROGRAMS[program](run, folder)(files[0])


# --- warm


def warm(args: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Time single predictions after a warm-up; return the medians of each program in ms."""
    programs = ["plainfilm", *OTHER_PROGRAMS]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for _ in range(args.rounds):
        for name in programs:
            found[name].append(environment(folder, args.run, "warm", name))
    rows = [
        [
            name,
            spread([one["median"] for one in own], " ms"),
            spread([one["p99"] for one in own], " ms"),
            spread(
                [a["median"] / b["median"] for a, b in zip(own, found["plainfilm"], strict=True)]
            ),
        ]
        for name, own in found.items()
    ]
    heads = ["one image at a time", "median", "99th percentile", "program / plainfilm"]
    print("\n" + table(heads, rows), flush=True)
    return {name: [one["median"] for one in own] for name, own in found.items()}


def time_warm(program: str, run: Path, folder: Path) -> dict[str, float]:
    """Return median and 99th percentile of single predictions in ms."""
    files = json.loads((folder / "files.json").read_text())[:WARM]
    predict = PROGRAMS[program](run, folder)
    for file in files[:20]:
        predict(file)
    each = sorted(1000 * timed(predict, file) for file in files)
    return {"median": median(each), "p99": each[int(0.99 * len(each))]}


def timed(work: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds that ``work`` takes."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


# --- folder


def throughput(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Time many small and large files; return images per second."""
    panels = {}
    for how, what in (("small", "files of 224x224"), ("large", "full-size files")):
        speeds: dict[str, list[float]] = {name: [] for name in FOLDERS}
        for _ in range(args.rounds):
            for name in FOLDERS:
                speeds[name].append(environment(folder, args.run, how, name))
        against = {
            name: [a / b for a, b in zip(own, speeds["decoding only"], strict=True)]
            for name, own in speeds.items()
        }
        rows = [[name, spread(own, "", 0), spread(against[name])] for name, own in speeds.items()]
        heads = [f"images/s, {what}", "median (range)", "against decoding alone"]
        print("\n" + table(heads, rows), flush=True)
        panels[f"many {what}, images/s"] = speeds
    return panels


def time_small(program: str, run: Path, folder: Path) -> float:
    """Return images per second for files of 224x224."""
    files = json.loads((folder / "files.json").read_text())
    return time_folder(program, run, folder, files * 4)


def time_large(program: str, run: Path, folder: Path) -> float:
    """Return images per second for full-size files."""
    files = json.loads((folder / "large.json").read_text())
    return time_folder(program, run, folder, files * 8)


def time_folder(program: str, run: Path, folder: Path, files: list[str]) -> float:
    """Return images per second."""
    work = FOLDERS[program](run, folder)
    work(files[:128])
    return len(files) / timed(work, files)


def folder_ours(run: Path, _: Path) -> Callable[[list[str]], Any]:
    """Return the prediction of plainfilm on many files."""
    from plainfilm.runtime import Predictor

    predictor = Predictor(run)
    return lambda files: [one.probabilities for one in predictor.predict(files)]


def folder_here(run: Path, _: Path) -> Callable[[list[str]], Any]:
    """Return the prediction of plainfilm on many files, decoded in this process."""
    from plainfilm.runtime import Predictor

    predictor = Predictor(run)
    return lambda files: [one.probabilities for one in predictor.predict(files, workers=0)]


def folder_decoding(run: Path, _: Path) -> Callable[[list[str]], Any]:
    """Return the decoding of many files, as plainfilm does it, without prediction."""
    from plainfilm.bundle import read_bundle
    from plainfilm.decoding.pool import decode_files

    spec = read_bundle(run).pixels
    return lambda files: decode_files(files, spec)


def folder_keras(run: Path, folder: Path) -> Callable[[list[str]], Any]:
    """Return the usual Keras code: tf.data with parallel decoding, then ``predict``."""
    import keras

    import plainfilm.models.layers  # noqa: F401 - registers them

    model = keras.models.load_model(folder / "model.keras", compile=False)
    return lambda files: model.predict(batches(files, run), verbose=0)


def folder_saved(run: Path, folder: Path) -> Callable[[list[str]], Any]:
    """Return the same for a TensorFlow saved model."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "saved"))
    return lambda files: [model.serve(batch).numpy() for batch in batches(files, run)]


def batches(files: list[str], run: Path) -> Any:
    """Return a tf.data pipeline of batches of 64."""
    import tensorflow as tf

    side = size_of(run)

    def read(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=1)
        return tf.image.resize(image, (side, side), antialias=True)

    data = tf.data.Dataset.from_tensor_slices(files)
    return data.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(64).prefetch(2)


# --- the programs


def size_of(run: Path) -> int:
    """Return the input size of the network."""
    text = (run / "bundle" / "bundle.json").read_text(encoding="utf-8")
    return int(json.loads(text)["pixels"]["size"])


def pixels_of(file: str, side: int) -> Any:
    """Read, convert to grey and resize a file with Pillow, as in tutorials."""
    import numpy as np
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BILINEAR))


def predict_ours(run: Path, _: Path) -> Predict:
    """Return the prediction of plainfilm."""
    from plainfilm.runtime import Predictor

    predictor = Predictor(run)
    return lambda file: next(iter(next(predictor.predict([file])).probabilities.values()))


def predict_keras(run: Path, folder: Path) -> Predict:
    """Return the prediction of Keras."""
    import keras

    import plainfilm.models.layers  # noqa: F401 - registers them

    model = keras.models.load_model(folder / "model.keras", compile=False)
    side = size_of(run)
    return lambda file: float(
        model.predict(pixels_of(file, side)[None, ..., None], verbose=0)[0, -1]
    )


def predict_saved(run: Path, folder: Path) -> Predict:
    """Return the prediction of a TensorFlow saved model."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "saved"))
    side = size_of(run)
    return lambda file: float(
        model.serve(tf.constant(pixels_of(file, side)[None, ..., None], tf.float32))[0, -1]
    )


def predict_onnx(run: Path, _: Path) -> Predict:
    """Return the prediction of ONNX Runtime with default settings."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(run / "bundle" / "network.onnx"))
    side = size_of(run)
    return lambda file: float(
        session.run(["probabilities"], {"image": pixels_of(file, side)[None]})[0][0, -1]
    )


def predict_openvino(run: Path, _: Path) -> Predict:
    """Return the prediction of OpenVINO."""
    import openvino

    model = openvino.Core().compile_model(str(run / "bundle" / "network.onnx"), "CPU")
    side = size_of(run)
    return lambda file: float(model(pixels_of(file, side)[None])["probabilities"][0, -1])


def predict_torch(run: Path, _: Path) -> Predict:
    """Return the prediction of PyTorch; its random weights do not affect the speed."""
    import torch
    from step import torch_network

    from plainfilm.bundle import read_bundle

    options = read_bundle(run).provenance.recipe.network.options
    network = torch_network(options.get("channels", (32, 64, 128)), options.get("stem", 1)).eval()
    network = network.to(memory_format=torch.channels_last)
    side = size_of(run)

    def predict(file: str) -> float:
        with torch.inference_mode():
            pixels = torch.from_numpy(pixels_of(file, side).copy())[None, None].float()
            return float(network(pixels / 127.5 - 1)[0, 0])

    return predict


def make(_: str, run: Path, folder: Path) -> bool:
    """Write the network as a Keras file and as a TensorFlow saved model."""
    from plainfilm.training.networks import load_network

    network = load_network(run)
    network.save(folder / "model.keras")
    network.export(str(folder / "saved"), verbose=False)
    return True


# --- lower precision


def low_precision(_: str, run: Path, folder: Path) -> dict[str, str]:
    """Quantise the graph, and compare speed and AUROC with the sealed graph."""
    import numpy as np
    import onnxruntime
    import openvino
    from onnxruntime.quantization import CalibrationDataReader, quant_pre_process, quantize_static

    from plainfilm.data import fill_cache
    from plainfilm.metrics import clustered_difference, roc_auc_score
    from plainfilm.training import open_run

    opened = open_run(run)
    graph, spec = opened.bundle.graph, opened.bundle.pixels
    training = opened.manifest.select("train")
    cache = fill_cache(training, spec)
    some = cache.gather(np.arange(0, len(cache), max(1, len(cache) // 256)))
    test = opened.manifest.select("test")
    cache = fill_cache(test, spec)
    images, y_true = cache.gather(cache.positions(test.records)), test.label_array()[:, 0]

    class Calibration(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter([{"image": some[at : at + 32]} for at in range(0, len(some), 32)])

        def get_next(self) -> Any:
            return next(self.left, None)

    quant_pre_process(str(graph), str(folder / "plain.onnx"))
    quantize_static(str(folder / "plain.onnx"), str(folder / "int8.onnx"), Calibration())

    def session(path: Path) -> Callable[[Any], Any]:
        opened = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda batch: opened.run(["probabilities"], {"image": batch})[0][:, -1]

    def vino(precision: str) -> Callable[[Any], Any]:
        settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = openvino.Core().compile_model(str(graph), "CPU", settings)
        return lambda batch: compiled(batch)["probabilities"][:, -1]

    networks = {
        "float32, ONNX Runtime (bundle)": session(graph),
        "int8, ONNX Runtime": session(folder / "int8.onnx"),
        "float32, OpenVINO": vino("f32"),
        "bfloat16, OpenVINO": vino("bf16"),
    }
    speeds: dict[str, list[float]] = {name: [] for name in networks}
    for _round in range(7):
        for name, predict in networks.items():
            speeds[name].append(len(images) / timed(predict_all, predict, images))
    scores = {name: predict_all(predict, images) for name, predict in networks.items()}
    first = next(iter(networks))
    patients = np.array([str(patient) for patient in test.patients])
    rows = []
    for name, own in scores.items():
        difference = ""
        if name != first:
            cost = clustered_difference("auroc", y_true, scores[first], own, patients)
            difference = f"{cost.value:+.4f} ({cost.low:+.4f} to {cost.high:+.4f})"
        against = [a / b for a, b in zip(speeds[name], speeds[first], strict=True)]
        rows.append(
            [
                name,
                spread(speeds[name], "", 0),
                spread(against),
                f"{roc_auc_score(y_true, own):.4f}",
                difference,
                f"{np.abs(own - scores[first]).max():.3f}",
            ]
        )
    heads = ["network only", "images/s", "speed / bundle", "test AUROC"]
    heads += ["difference (95 %)", "largest difference of a probability"]
    return {"table": table(heads, rows)}


def predict_all(predict: Callable[[Any], Any], images: Any) -> Any:
    """Return the predictions on all images, in batches of 64."""
    import numpy as np

    return np.concatenate([predict(images[at : at + 64]) for at in range(0, len(images), 64)])


PROGRAMS: dict[str, Callable[[Path, Path], Predict]] = {
    "plainfilm": predict_ours,
    "Keras": predict_keras,
    "saved model": predict_saved,
    "PyTorch": predict_torch,
    "ONNX Runtime": predict_onnx,
    "OpenVINO": predict_openvino,
}
OTHER_PROGRAMS = [name for name in PROGRAMS if name != "plainfilm"]
FOLDERS = {
    "plainfilm": folder_ours,
    "plainfilm, workers=0": folder_here,
    "decoding only": folder_decoding,
    "Keras": folder_keras,
    "saved model": folder_saved,
}
WORKERS = {
    "make": make,
    "one": one,
    "warm": time_warm,
    "small": time_small,
    "large": time_large,
    "low-precision": low_precision,
}

if __name__ == "__main__":
    sys.exit(main())
