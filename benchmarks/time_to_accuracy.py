"""Measures the time from files on disk to a classifier as accurate as that of the Keras tutorial.

    python benchmarks/time_to_accuracy.py          # 5 seeds of ours, 1 of the tutorial
    python benchmarks/time_to_accuracy.py --images all --recipes swift standard

The tutorial is implemented here as published: TensorFlow, every JPEG read and decoded in every
epoch (16 parallel calls), 150x150, random crops, flips and quarter turns, float32, batches of 20,
Adam 1e-4, 50 epochs, the best checkpoint by validation accuracy. (The original drew one quarter
turn for the whole training; here it is random for each image, which helps the tutorial.) Ours is
the command ``plainfilm train`` in a separate process with an empty cache. Both use the same
training images and validation patients. Trainings of ours run between epochs of the tutorial, whose
clock is stopped during that time, so that both are measured under the same load of a shared
machine.

The official test set is evaluated after each epoch at a probability of 0.5, outside the clock;
nothing is selected on it. Times start at the start of the process; those of ours include the time
of sealing, for any epoch. All programs run in an environment with only ``plainfilm[train]``,
created on first use, since Keras and TensorFlow also import other installed packages. Needs the
images of PLAINFILM_DATA (with ``kermany224``).

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from _measure import ROOT, figure, machine, need, peer, spread, table

EPOCHS = 50
BATCH = 20
SIDE, CROP_FROM = 150, 176
LIMIT = 2000


def main() -> int:
    """Run the missing trainings, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", choices=["2000", "all"], default="2000")
    parser.add_argument("--recipes", nargs="*", default=["swift", "standard"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tutorial-seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of the tutorial")
    parser.add_argument("--out", type=Path, default=ROOT / ".lab" / "time-to-accuracy")
    parser.add_argument("--plot", type=Path, help="output file of a plot (SVG or PNG)")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        what, seed = args.worker
        {"tutorial": run_tutorial, "score": score_epochs}[what](args, int(seed))
        return 0
    need("kermany224")
    user()
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in range(args.tutorial_seeds):
        train_tutorial(args, seed)
    for recipe, seed in missing(args):
        train_ours(args, recipe, seed)
    report(args)
    if args.plot:
        draw(args)
    return 0


def manifest_of(images: str) -> Any:
    """Return the split manifest with the training images."""
    from plainfilm.data import limit, load_dataset, make_splits

    manifest = make_splits(load_dataset(need("kermany224")), validation=0.1, test=0.2)
    return limit(manifest, LIMIT, balanced=True) if images == "2000" else manifest


def user() -> Path:
    """Return the Python of an environment like that of a user."""
    return peer("train", "-e", f"{ROOT}[train]")


def result_file(args: argparse.Namespace, what: str, seed: int) -> Path:
    """Return the file with the accuracy by epoch of one training."""
    found: Path = args.out / f"{what}-{args.images}-{seed}.json"
    return found


def command_of(args: argparse.Namespace, *worker: str) -> list[str]:
    """Return the command of a worker process."""
    own = [str(user()), __file__, "--images", args.images, "--epochs", str(args.epochs)]
    own += ["--recipes", *args.recipes, "--seeds", str(args.seeds)]
    return [*own, "--out", str(args.out), "--worker", *worker]


def missing(args: argparse.Namespace) -> list[tuple[str, int]]:
    """Return the recipes and seeds that are not trained yet."""
    every = [(recipe, seed) for seed in range(args.seeds) for recipe in args.recipes]
    return [
        (recipe, seed) for recipe, seed in every if not result_file(args, recipe, seed).exists()
    ]


# --- the tutorial


def train_tutorial(args: argparse.Namespace, seed: int) -> None:
    """Run the tutorial in a separate process."""
    if result_file(args, "tutorial", seed).exists():
        return
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = {"PLAINFILM_BENCHMARK_STARTED": repr(time.time())}
    subprocess.run(
        command_of(args, "tutorial", str(seed)), check=True, env={**environment, **started}
    )


def run_tutorial(args: argparse.Namespace, seed: int) -> None:
    """Train as in the tutorial; store seconds, validation and test accuracy of every epoch."""
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    started = float(os.environ["PLAINFILM_BENCHMARK_STARTED"])
    keras.utils.set_random_seed(seed)
    manifest = manifest_of(args.images)

    def files(split: str) -> tuple[list[str], Any]:
        chosen = manifest.select(split)
        return [record.path for record in chosen.records], chosen.label_array()[:, 0].astype(int)

    def read(path: Any, side: int) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=1)
        return tf.image.resize(tf.cast(image, tf.float32), (side, side))

    def augmented(path: Any, label: Any) -> Any:
        image = tf.image.random_crop(read(path, CROP_FROM), (SIDE, SIDE, 1))
        image = tf.image.random_flip_left_right(image)
        return tf.image.rot90(image, tf.random.uniform((), 0, 3, tf.int32)), label

    def plain(split: str) -> Any:
        data = tf.data.Dataset.from_tensor_slices(files(split))
        data = data.map(lambda path, label: (read(path, SIDE), label), num_parallel_calls=16)
        return data.batch(BATCH).prefetch(1)

    paths, labels = files("train")
    training = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths))
    training = training.map(augmented, num_parallel_calls=16).batch(BATCH).prefetch(1)
    validation, test = plain("validation"), plain("test")

    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), layers.Rescaling(1 / 127.5, -1)])
    for width in (32, 64, 128, 128):
        model.add(layers.Conv2D(width, 3))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dense(2, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )

    truth = files("test")[1]
    rows: list[dict[str, float]] = []
    outside = [0.0]  # seconds of evaluation and of our trainings
    ours = missing(args)
    after = {
        1 + int((number + 0.5) * args.epochs / len(ours)): one for number, one in enumerate(ours)
    }

    class Score(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            now = time.time()
            chances = np.concatenate([model.predict_on_batch(x)[:, 1] for x, _ in test])
            rows.append(
                {
                    "epoch": epoch + 1,
                    "seconds": now - started - outside[0],
                    "val_accuracy": float(logs["val_accuracy"]),
                    "test_accuracy": float(np.mean((chances >= 0.5) == truth)),
                }
            )
            print(f"tutorial seed {seed}: {rows[-1]}", file=sys.stderr, flush=True)
            if epoch + 1 in after:
                try:
                    train_ours(args, *after[epoch + 1])
                except SystemExit as error:  # the tutorial continues
                    print(error, file=sys.stderr, flush=True)
            outside[0] += time.time() - now

    with tempfile.TemporaryDirectory() as folder:
        best = keras.callbacks.ModelCheckpoint(
            f"{folder}/best.keras", monitor="val_accuracy", save_best_only=True
        )
        model.fit(
            training,
            validation_data=validation,
            epochs=args.epochs,
            callbacks=[best, Score()],
            verbose=0,
        )
    kept = max(
        rows, key=lambda row: row["val_accuracy"]
    )  # the first of equal epochs, like the callback
    result_file(args, "tutorial", seed).write_text(json.dumps({"epochs": rows, "kept": kept}))


# --- ours


def train_ours(args: argparse.Namespace, recipe: str, seed: int) -> None:
    """Run ``plainfilm train``, and keep the weights of every epoch."""
    file = result_file(args, recipe, seed)
    if file.exists():
        return
    folder = Path(tempfile.mkdtemp(prefix="plainfilm-benchmark-"))
    run, kept = folder / "run", folder / "epochs"
    kept.mkdir()
    settings = ["--set", f"data.limit={LIMIT}", "--set", "data.limit_balanced=true"]
    command = [str(user()), "-m", "plainfilm", "train", str(need("kermany224")), "--recipe", recipe]
    command += ["--seed", str(seed), "--out", str(run), "--cache", str(folder / "cache")]
    command += ["--no-evaluation", *(settings if args.images == "2000" else [])]
    began = time.time()
    ended = threading.Event()
    watcher = threading.Thread(target=keep_epochs, args=(run / "best.safetensors", kept, ended))
    watcher.start()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.time() - began
    ended.set()
    watcher.join()
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    written = {int(one.stem): int(one.suffix[1:]) / 1000 for one in kept.iterdir()}
    times = [written[number] - began for number in sorted(written)]
    file.with_suffix(".work").write_text(
        json.dumps({"folder": str(folder), "times": times, "seconds": seconds})
    )
    subprocess.run(
        [*command_of(args, "score", str(seed)), "--recipes", recipe],
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    shutil.rmtree(folder)
    file.with_suffix(".work").unlink()
    print(f"{recipe} seed {seed}: {seconds:.1f} s", file=sys.stderr, flush=True)


def keep_epochs(source: Path, folder: Path, ended: threading.Event) -> None:
    """Link every new version of a file into ``folder``, named by number and time in ms."""
    last, number = 0, 0
    while not ended.is_set():
        try:
            changed = source.stat().st_mtime_ns
            if changed != last:
                os.link(source, folder / f"{number}.{changed // 1_000_000}")
                last, number = changed, number + 1
        except FileNotFoundError:
            pass
        time.sleep(0.02)


def score_epochs(args: argparse.Namespace, seed: int) -> None:
    """Evaluate the weights of every epoch and the sealed bundle on the official test set."""
    import numpy as np

    from plainfilm.data import fill_cache
    from plainfilm.models import build_network
    from plainfilm.runtime import Predictor
    from plainfilm.training import open_run, use_backend
    from plainfilm.training.networks import head_of, outputs_of, predict_logits
    from plainfilm.training.state import read_weights

    file = result_file(args, args.recipes[0], seed)
    work = json.loads(file.with_suffix(".work").read_text())
    folder = Path(work["folder"])
    run = open_run(folder / "run")
    use_backend("tensorflow")
    recipe, task = run.bundle.provenance.recipe, run.bundle.task
    test = run.manifest.select("test")
    cache = fill_cache(test, recipe.input, folder=folder / "cache")
    images, truth = cache.gather(cache.positions(test.records)), test.label_array()[:, 0]
    head = head_of(task, recipe.fit.loss)
    network = build_network(
        recipe.network.name, recipe.input.size, outputs_of(task, head), recipe.network.options
    )
    sealing = work["seconds"] - work["times"][-1]
    kept = sorted((folder / "epochs").iterdir(), key=lambda one: int(one.stem))
    rows = []
    for number, (weights, seconds) in enumerate(zip(kept, work["times"], strict=True), 1):
        read_weights(weights.read_bytes(), network.variables, "the epoch")
        logits = predict_logits(network, images)
        margin = logits[:, -1] - (logits[:, 0] if logits.shape[1] > 1 else 0)
        right = float(np.mean((margin >= 0) == truth))
        rows.append({"epoch": number, "seconds": seconds + sealing, "test_accuracy": right})
    chances = Predictor(run.bundle).probabilities(images)[:, 0]
    [threshold] = [p.threshold for p in run.bundle.operating_points if p.name == "balanced"]
    sealed = float(np.mean((chances >= threshold) == truth))
    whole = {"seconds": work["seconds"], "sealed_accuracy": sealed, "sealing": sealing}
    file.write_text(json.dumps({"epochs": rows, "kept": rows[-1] | whole}))


# --- the table and the plot


def results_of(args: argparse.Namespace, what: str) -> list[dict[str, Any]]:
    """Return the results of all seeds."""
    files = sorted(args.out.glob(f"{what}-{args.images}-*.json"))
    return [json.loads(file.read_text()) for file in files]


def draw(args: argparse.Namespace) -> None:
    """Plot test accuracy by time, one line for each seed."""
    from plainfilm.report.figures.style import FIRST, QUIET, SECOND

    colours = {"tutorial": QUIET[0], "swift": FIRST[0], "standard": SECOND[0]}
    with figure(args.plot, (8, 3.8)) as drawn:
        axes = drawn.add_subplot()
        for what, colour in colours.items():
            for number, one in enumerate(results_of(args, what)):
                seconds = [row["seconds"] for row in one["epochs"]]
                accuracy = [row["test_accuracy"] for row in one["epochs"]]
                label = what if number == 0 else None
                axes.plot(seconds, accuracy, ".-", color=colour, label=label, linewidth=1)
        axes.set_xscale("log")
        ticks = [5, 10, 20, 50, 100, 200, 500, 1000, 2000]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlim(5, 2500)
        axes.set_ylim(0.6, 0.95)
        axes.set_xlabel("seconds from the start of the process, including sealing")
        axes.set_title("accuracy on the official test set at 0.5, after every epoch")
        axes.legend(loc="lower right")


def report(args: argparse.Namespace) -> None:
    """Print medians over seeds and ratios to the tutorial."""
    tutorial = results_of(args, "tutorial")
    print(f"{machine()}; {args.images} training images; {len(tutorial)} seed(s) of the tutorial\n")
    goals = [0.9]
    if tutorial:
        goals.insert(0, median(one["kept"]["test_accuracy"] for one in tutorial))
        print(f"test accuracy of the best checkpoint of the tutorial: {goals[0]:.3f}\n")
    heads = ["program", "seeds", "whole process", "tutorial / program", "test accuracy at 0.5"]
    heads.append("at the locked threshold")
    for goal in goals:
        heads += [f"to {goal:.3f}", "tutorial / program"]
    rows = [
        row_of(what, done, tutorial, goals)
        for what in ("tutorial", *args.recipes)
        if (done := results_of(args, what))
    ]
    print(table(heads, rows))
    print("\nratios use all 50 epochs of the tutorial if it does not reach the accuracy")


def row_of(
    what: str,
    done: list[dict[str, Any]],
    tutorial: list[dict[str, Any]],
    goals: list[float],
) -> list[Any]:
    """Return a row of the table: the results of one recipe."""
    whole = [one["kept"].get("seconds", 0.0) for one in done]
    if what == "tutorial":
        whole = [one["epochs"][-1]["seconds"] for one in done]
    sealed = [one["kept"]["sealed_accuracy"] for one in done if "sealed_accuracy" in one["kept"]]
    row = [
        what,
        len(done),
        spread(whole, " s", 1),
        ratio([one["epochs"][-1]["seconds"] for one in tutorial], median(whole)),
        spread([one["kept"]["test_accuracy"] for one in done], "", 3),
        spread(sealed, "", 3) if sealed else "",
    ]
    for goal in goals:
        times = [first_time(one["epochs"], goal) for one in done]
        known = [time for time in times if time is not None]
        if len(known) < len(times) / 2:
            row += [f"not reached ({len(known)} of {len(times)})", ""]
            continue
        middle = median(float("inf") if time is None else time for time in times)
        few = "" if len(known) == len(times) else f", {len(known)} of {len(times)}"
        theirs = [
            first_time(one["epochs"], goal) or one["epochs"][-1]["seconds"] for one in tutorial
        ]
        row += [spread(known, " s", 1) + few, ratio(theirs, middle)]
    return row


def ratio(theirs: list[float], ours: float) -> str:
    """Return the ratio of the tutorial's time to ours, if the tutorial was run."""
    return f"{median(theirs) / ours:.0f}" if theirs else ""


def first_time(epochs: list[dict[str, float]], goal: float) -> float | None:
    """Return the seconds of the first epoch that reaches the accuracy."""
    return next((row["seconds"] for row in epochs if row["test_accuracy"] >= goal), None)


if __name__ == "__main__":
    sys.exit(main())
