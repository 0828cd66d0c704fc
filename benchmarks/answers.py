"""From a file on disk to a probability: cold, warm, and by the thousand.

    python benchmarks/answers.py RUN                 # a run of `plainfilm train`
    python benchmarks/answers.py RUN --rounds 10

- cold: the whole process that answers for one JPEG;
- warm: one image at a time in a process that has answered before, from the path of the file on;
- folder: images a second over many files, of 224x224 (the official test, four times) and full-size
  (`kermany_originals`, eight times); and decoding alone, by the same reader on as many threads;
- int8: the sealed graph quantised by ONNX Runtime's own tool (static, calibrated on training
  images), and in bfloat16 by OpenVINO: speed of the network alone, and what it costs in AUROC on
  the official test, with the interval of the paired difference (patients drawn again). Nothing is
  chosen by it: no bundle ships either.

Beside ours: the same network in Keras (``load_model``, ``predict``), as a TensorFlow saved model,
in PyTorch, in ONNX Runtime as it comes (Pillow and a session), and in OpenVINO, each reading the
file as its own tutorials do. All programs of a kind run in turn within a round. PyTorch and
OpenVINO get environments of their own, made when first asked for. Needs the images of
PLAINFILM_DATA (``kermany224`` in it) and the extra ``train``.

What it last showed is in docs/reference/performance.md.
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
Answer = Callable[[str], float]


def main() -> int:
    """Make the peers' files, run all, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="draw what the tables say")
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
            "one file, the whole process, s": cold(args, folder, files[0]),
            "one file after another, median, ms": warm(args, folder),
            **throughput(args, folder),
        }
        print("\n" + environment(folder, args.run, "cheaper", "cheaper")["table"])
    if args.plot:
        bars(args.plot, panels, "plainfilm")
    return 0


def environment(folder: Path, run: Path, how: str, program: str) -> Any:
    """Ask one program in a process of its own, and return what it printed."""
    command = [python_of(program), __file__, run, "--worker", how, program, folder]
    return json.loads(process(command)[2].splitlines()[-1])


def python_of(program: str) -> str | Path:
    """Return the interpreter that has what a program needs."""
    if program == "PyTorch":
        return peer("torch", "torch==2.13.0", "-e", f"{ROOT}[torch]")
    if program in ("OpenVINO", "cheaper"):
        return peer("openvino", "openvino==2026.4.1", "onnx", "sympy", "-e", str(ROOT))
    return sys.executable


# --- cold


def cold(args: argparse.Namespace, folder: Path, file: str) -> dict[str, list[float]]:
    """Time whole processes; return the seconds of each."""
    commands: dict[str, list[Any]] = {
        "plainfilm predict": [PLAINFILM, "predict", args.run, file],
        "plainfilm --help": [PLAINFILM, "--help"],
        "the interpreter alone": [sys.executable, "-c", "pass"],
    }
    for name in PEERS_OF_OURS:
        commands[name] = [python_of(name), __file__, args.run, "--worker", "one", name, folder]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():  # once in vain: files come into the system's cache
        process(command)
    for _ in range(args.rounds):
        for name, command in commands.items():
            seconds[name].append(process(command)[0])
    ours = seconds["plainfilm predict"]
    rows = [
        [name, spread(own, " s", 3), spread([a / b for a, b in zip(own, ours, strict=True)])]
        for name, own in seconds.items()
    ]
    heads = ["whole process, one JPEG", "median (range)", "against plainfilm predict"]
    print("\n" + table(heads, rows), flush=True)
    helps = zip(seconds["plainfilm --help"], seconds["the interpreter alone"], strict=True)
    print(
        f"\nplainfilm --help takes {spread([a / b for a, b in helps])} times the interpreter alone"
    )
    return seconds


def one(program: str, run: Path, folder: Path) -> float:
    """Answer for one file."""
    files = json.loads((folder / "files.json").read_text())
    return PROGRAMS[program](run, folder)(files[0])


# --- warm


def warm(args: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Time single answers in a process that is awake; return each one's medians, ms."""
    programs = ["plainfilm", *PEERS_OF_OURS]
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
    heads = ["one image at a time", "median", "99th percentile", "against plainfilm"]
    print("\n" + table(heads, rows), flush=True)
    return {name: [one["median"] for one in own] for name, own in found.items()}


def time_warm(program: str, run: Path, folder: Path) -> dict[str, float]:
    """Return median and 99th percentile of single answers, ms."""
    files = json.loads((folder / "files.json").read_text())[:WARM]
    answer = PROGRAMS[program](run, folder)
    for file in files[:20]:
        answer(file)
    each = sorted(1000 * timed(answer, file) for file in files)
    return {"median": median(each), "p99": each[int(0.99 * len(each))]}


def timed(work: Callable[..., Any], *arguments: Any) -> float:
    """Return how many seconds it takes."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


# --- folder


def throughput(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Time many files, small ones and large ones; return images a second."""
    panels = {}
    for how, what in (("small", "files of 224x224"), ("large", "full-size files")):
        speeds: dict[str, list[float]] = {name: [] for name in FOLDERS}
        for _ in range(args.rounds):
            for name in FOLDERS:
                speeds[name].append(environment(folder, args.run, how, name))
        against = {
            name: [a / b for a, b in zip(own, speeds["decoding alone"], strict=True)]
            for name, own in speeds.items()
        }
        rows = [[name, spread(own, "", 0), spread(against[name])] for name, own in speeds.items()]
        heads = [f"images a second, {what}", "median (range)", "against decoding alone"]
        print("\n" + table(heads, rows), flush=True)
        panels[f"many {what}, images a second"] = speeds
    return panels


def time_small(program: str, run: Path, folder: Path) -> float:
    """Return images a second over files of 224x224."""
    files = json.loads((folder / "files.json").read_text())
    return time_folder(program, run, folder, files * 4)


def time_large(program: str, run: Path, folder: Path) -> float:
    """Return images a second over full-size files."""
    files = json.loads((folder / "large.json").read_text())
    return time_folder(program, run, folder, files * 8)


def time_folder(program: str, run: Path, folder: Path, files: list[str]) -> float:
    """Return images a second."""
    work = FOLDERS[program](run, folder)
    work(files[:128])
    return len(files) / timed(work, files)


def folder_ours(run: Path, _: Path) -> Callable[[list[str]], Any]:
    """Return our way over many files."""
    from plainfilm.runtime import Predictor

    predictor = Predictor(run)
    return lambda files: [answer.probabilities for answer in predictor.predict(files)]


def folder_decoding(run: Path, _: Path) -> Callable[[list[str]], Any]:
    """Return the reading of many files as ours reads them, and nothing else."""
    from concurrent.futures import ThreadPoolExecutor

    from plainfilm._machine import cores
    from plainfilm.bundle import read_bundle
    from plainfilm.pixels import read_image
    from plainfilm.pixels.isolation import ISOLATION

    spec, share = read_bundle(run).pixels, 16

    def read(files: list[str]) -> None:
        with ISOLATION:
            for file in files:
                read_image(file, spec)

    def read_all(files: list[str]) -> None:
        with ThreadPoolExecutor(cores() + 1) as pool:
            for _ in pool.map(read, [files[i : i + share] for i in range(0, len(files), share)]):
                pass

    return read_all


def folder_keras(run: Path, folder: Path) -> Callable[[list[str]], Any]:
    """Return what Keras users write: tf.data, decoded and resized in parallel, and predict."""
    import keras

    import plainfilm.models  # noqa: F401 - registers the layers

    model = keras.models.load_model(folder / "model.keras", compile=False)
    return lambda files: model.predict(batches(files, run), verbose=0)


def folder_saved(run: Path, folder: Path) -> Callable[[list[str]], Any]:
    """Return the same for TensorFlow's saved model."""
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
    """Return the side of the network's input."""
    text = (run / "bundle" / "bundle.json").read_text(encoding="utf-8")
    return int(json.loads(text)["pixels"]["size"])


def pixels_of(file: str, side: int) -> Any:
    """Read a file as tutorials do: Pillow, to grey, resized."""
    import numpy as np
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BILINEAR))


def ours(run: Path, _: Path) -> Answer:
    """Return the predictor's own answer."""
    from plainfilm.runtime import Predictor

    predictor = Predictor(run)
    return lambda file: next(iter(next(predictor.predict([file])).probabilities.values()))


def keras_answer(run: Path, folder: Path) -> Answer:
    """Return Keras's ``predict``."""
    import keras

    import plainfilm.models  # noqa: F401 - registers the layers

    model = keras.models.load_model(folder / "model.keras", compile=False)
    side = size_of(run)
    return lambda file: float(
        model.predict(pixels_of(file, side)[None, ..., None], verbose=0)[0, -1]
    )


def saved_answer(run: Path, folder: Path) -> Answer:
    """Return the answer of TensorFlow's saved model."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "saved"))
    side = size_of(run)
    return lambda file: float(
        model.serve(tf.constant(pixels_of(file, side)[None, ..., None], tf.float32))[0, -1]
    )


def onnx_answer(run: Path, _: Path) -> Answer:
    """Return the answer of ONNX Runtime as it comes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(run / "bundle" / "network.onnx"))
    side = size_of(run)
    return lambda file: float(
        session.run(["probabilities"], {"image": pixels_of(file, side)[None]})[0][0, -1]
    )


def openvino_answer(run: Path, _: Path) -> Answer:
    """Return the answer of OpenVINO."""
    import openvino

    model = openvino.Core().compile_model(str(run / "bundle" / "network.onnx"), "CPU")
    side = size_of(run)
    return lambda file: float(model(pixels_of(file, side)[None])["probabilities"][0, -1])


def torch_answer(run: Path, _: Path) -> Answer:
    """Return the answer of PyTorch; its weights are random, which takes as long."""
    import torch
    from step import torch_network

    from plainfilm.bundle import read_bundle

    options = read_bundle(run).provenance.recipe.network.options
    network = torch_network(options.get("channels", (32, 64, 128)), options.get("stem", 1)).eval()
    network = network.to(memory_format=torch.channels_last)
    side = size_of(run)

    def answer(file: str) -> float:
        with torch.inference_mode():
            pixels = torch.from_numpy(pixels_of(file, side).copy())[None, None].float()
            return float(network(pixels / 127.5 - 1)[0, 0])

    return answer


def make(_: str, run: Path, folder: Path) -> bool:
    """Write the network as Keras's own file and as TensorFlow's saved model."""
    from plainfilm.training.networks import load_network

    network = load_network(run)
    network.save(folder / "model.keras")
    network.export(str(folder / "saved"), verbose=False)
    return True


# --- cheaper arithmetic


def cheaper(_: str, run: Path, folder: Path) -> dict[str, str]:
    """Quantise the graph, and compare speed and AUROC with the sealed one."""
    import numpy as np
    import onnxruntime
    import openvino
    from onnxruntime.quantization import CalibrationDataReader, quant_pre_process, quantize_static

    from plainfilm.data import fill_cache
    from plainfilm.metrics import clustered_difference, roc_auc_score
    from plainfilm.training import open_run

    opened = open_run(run)
    graph, spec = opened.bundle.graph, opened.bundle.pixels
    learnt = opened.manifest.select("train")
    cache = fill_cache(learnt, spec)
    some = cache.gather(np.arange(0, len(cache), max(1, len(cache) // 256)))
    test = opened.manifest.select("test")
    cache = fill_cache(test, spec)
    images, truth = cache.gather(cache.positions(test.ids)), test.label_array()[:, 0]

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

    asked = {
        "float32, ONNX Runtime (what ships)": session(graph),
        "int8, ONNX Runtime": session(folder / "int8.onnx"),
        "float32, OpenVINO": vino("f32"),
        "bfloat16, OpenVINO": vino("bf16"),
    }
    speeds: dict[str, list[float]] = {name: [] for name in asked}
    for _round in range(7):
        for name, answer in asked.items():
            speeds[name].append(len(images) / timed(all_of, answer, images))
    answers = {name: all_of(answer, images) for name, answer in asked.items()}
    first = next(iter(asked))
    patients = np.array([str(patient) for patient in test.patients])
    rows = []
    for name, own in answers.items():
        told = ""
        if name != first:
            cost = clustered_difference("auroc", truth, answers[first], own, patients)
            told = f"{cost.value:+.4f} ({cost.low:+.4f} to {cost.high:+.4f})"
        against = [a / b for a, b in zip(speeds[name], speeds[first], strict=True)]
        rows.append(
            [
                name,
                spread(speeds[name], "", 0),
                spread(against),
                f"{roc_auc_score(truth, own):.4f}",
                told,
                f"{np.abs(own - answers[first]).max():.3f}",
            ]
        )
    heads = ["the network alone", "images a second", "against what ships", "test AUROC"]
    heads += ["difference (95 %)", "largest change of a probability"]
    return {"table": table(heads, rows)}


def all_of(answer: Callable[[Any], Any], images: Any) -> Any:
    """Return the answers of all images, asked in batches of 64."""
    import numpy as np

    return np.concatenate([answer(images[at : at + 64]) for at in range(0, len(images), 64)])


PROGRAMS: dict[str, Callable[[Path, Path], Answer]] = {
    "plainfilm": ours,
    "Keras": keras_answer,
    "saved model": saved_answer,
    "PyTorch": torch_answer,
    "ONNX Runtime": onnx_answer,
    "OpenVINO": openvino_answer,
}
PEERS_OF_OURS = [name for name in PROGRAMS if name != "plainfilm"]
FOLDERS = {
    "plainfilm": folder_ours,
    "decoding alone": folder_decoding,
    "Keras": folder_keras,
    "saved model": folder_saved,
}
WORKERS = {
    "make": make,
    "one": one,
    "warm": time_warm,
    "small": time_small,
    "large": time_large,
    "cheaper": cheaper,
}

if __name__ == "__main__":
    sys.exit(main())
