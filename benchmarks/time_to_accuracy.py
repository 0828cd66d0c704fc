"""How long from files on disk to a classifier as good as the tutorial's?

    python benchmarks/time_to_accuracy.py          # 5 seeds of ours, 1 of the tutorial
    python benchmarks/time_to_accuracy.py --images all --recipes swift standard

The tutorial's pipeline is rebuilt here as published: TensorFlow, every JPEG read and decoded again
in every epoch (16 parallel calls), 150x150, random crops, flips and quarter turns, float32, batches
of 20, Adam 1e-4, 50 epochs, the best checkpoint by validation accuracy kept. (The original drew its
quarter turn once, when its pipeline was traced; here it is drawn for each image, which is kinder to
it.) Ours is the command ``plainfilm train`` in a process of its own with an empty cache. Both learn
from the same images and validate on the same patients. What of ours was not trained before is
trained between epochs of the tutorial, spread over them, while its clock stands still: on a machine
that is shared with others, both then meet the same hours.

The official test is scored after each epoch, as a measure of this benchmark alone, outside the
clock, at a probability of 0.5: nothing is chosen by it. Seconds count from the start of the
process; to those of ours the time that sealing takes is added, whichever epoch is meant.
Everything runs in an environment with ``plainfilm[train]`` and nothing else, made when first asked
for: Keras and TensorFlow also import some of what else is installed. Needs the images of
PLAINFILM_DATA (``kermany224`` in it).

What it last showed is in docs/reference/performance.md.
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
    """Run everything that was not run before, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", choices=["2000", "all"], default="2000")
    parser.add_argument("--recipes", nargs="*", default=["swift", "standard"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tutorial-seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the tutorial")
    parser.add_argument("--out", type=Path, default=ROOT / ".lab" / "time-to-accuracy")
    parser.add_argument("--plot", type=Path, help="draw every course")
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
    """Return the manifest, split, with the training images that are learnt from."""
    from plainfilm.data import limit, load_dataset, make_splits

    manifest = make_splits(load_dataset(need("kermany224")), validation=0.1, test=0.2)
    return limit(manifest, LIMIT, balanced=True) if images == "2000" else manifest


def user() -> Path:
    """Return the Python of an environment as a user has it."""
    return peer("train", "-e", f"{ROOT}[train]")


def place(args: argparse.Namespace, what: str, seed: int) -> Path:
    """Return the file that keeps the course of one training."""
    found: Path = args.out / f"{what}-{args.images}-{seed}.json"
    return found


def this(args: argparse.Namespace, *worker: str) -> list[str]:
    """Return the command that runs a worker of this program."""
    own = [str(user()), __file__, "--images", args.images, "--epochs", str(args.epochs)]
    own += ["--recipes", *args.recipes, "--seeds", str(args.seeds)]
    return [*own, "--out", str(args.out), "--worker", *worker]


def missing(args: argparse.Namespace) -> list[tuple[str, int]]:
    """Return the recipes and seeds of ours that were not trained yet."""
    every = [(recipe, seed) for seed in range(args.seeds) for recipe in args.recipes]
    return [(recipe, seed) for recipe, seed in every if not place(args, recipe, seed).exists()]


# --- the tutorial


def train_tutorial(args: argparse.Namespace, seed: int) -> None:
    """Run the tutorial's pipeline in a process of its own."""
    if place(args, "tutorial", seed).exists():
        return
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = {"PLAINFILM_BENCHMARK_STARTED": repr(time.time())}
    subprocess.run(this(args, "tutorial", str(seed)), check=True, env={**environment, **started})


def run_tutorial(args: argparse.Namespace, seed: int) -> None:
    """Train as the tutorial does; keep seconds, validation and test accuracy of every epoch."""
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
    outside = [0.0]  # seconds that this benchmark spends on scoring the test, and on ours
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
                except SystemExit as error:  # an hour's work of the tutorial's must not end by it
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
    kept = max(rows, key=lambda row: row["val_accuracy"])  # the first of equals, as the callback
    place(args, "tutorial", seed).write_text(json.dumps({"epochs": rows, "kept": kept}))


# --- ours


def train_ours(args: argparse.Namespace, recipe: str, seed: int) -> None:
    """Run ``plainfilm train`` as a user does, and keep every epoch's weights."""
    file = place(args, recipe, seed)
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
        [*this(args, "score", str(seed)), "--recipes", recipe],
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
    """Score the official test with the weights of every epoch, and with the sealed bundle."""
    import numpy as np

    from plainfilm.data import fill_cache
    from plainfilm.models import build_network
    from plainfilm.runtime import Predictor
    from plainfilm.training import open_run, use_backend
    from plainfilm.training.networks import head_of, outputs_of, predict_logits
    from plainfilm.training.state import read_weights

    file = place(args, args.recipes[0], seed)
    work = json.loads(file.with_suffix(".work").read_text())
    folder = Path(work["folder"])
    run = open_run(folder / "run")
    use_backend("tensorflow")
    recipe, task = run.bundle.provenance.recipe, run.bundle.task
    test = run.manifest.select("test")
    cache = fill_cache(test, recipe.input, folder=folder / "cache")
    images, truth = cache.gather(cache.positions(test.ids)), test.label_array()[:, 0]
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


def courses(args: argparse.Namespace, what: str) -> list[dict[str, Any]]:
    """Return the courses of every seed that was run."""
    files = sorted(args.out.glob(f"{what}-{args.images}-*.json"))
    return [json.loads(file.read_text()) for file in files]


def draw(args: argparse.Namespace) -> None:
    """Draw test accuracy against time, a line for every seed."""
    from plainfilm.report.figures.style import FIRST, QUIET, SECOND

    colours = {"tutorial": QUIET[0], "swift": FIRST[0], "standard": SECOND[0]}
    with figure(args.plot, (8, 3.8)) as drawn:
        axes = drawn.add_subplot()
        for what, colour in colours.items():
            for number, one in enumerate(courses(args, what)):
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
        axes.set_xlabel("seconds from the start of the process, sealing included")
        axes.set_title("accuracy on the official test at 0.5, after every epoch")
        axes.legend(loc="lower right")


def report(args: argparse.Namespace) -> None:
    """Print medians over seeds and the ratios to the tutorial."""

    tutorial = courses(args, "tutorial")
    print(f"{machine()}; {args.images} training images; {len(tutorial)} seed(s) of the tutorial\n")
    goals = [0.9]
    if tutorial:
        goals.insert(0, median(one["kept"]["test_accuracy"] for one in tutorial))
        print(f"accuracy of the tutorial's kept checkpoint on the official test: {goals[0]:.3f}\n")
    heads = ["", "seeds", "the whole process", "tutorial / it", "test accuracy at 0.5"]
    heads.append("at the sealed threshold")
    for goal in goals:
        heads += [f"to {goal:.3f}", "tutorial / it"]
    rows = [
        row_of(what, done, tutorial, goals)
        for what in ("tutorial", *args.recipes)
        if (done := courses(args, what))
    ]
    print(table(heads, rows))
    print("\nwhere the tutorial does not get there, its whole 50 epochs are what is divided")


def row_of(
    what: str,
    done: list[dict[str, Any]],
    tutorial: list[dict[str, Any]],
    goals: list[float],
) -> list[Any]:
    """Return a row of the table: the courses of one recipe."""
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
    """Return how many times longer the tutorial takes, where it was run."""
    return f"{median(theirs) / ours:.0f}" if theirs else ""


def first_time(epochs: list[dict[str, float]], goal: float) -> float | None:
    """Return the seconds of the first epoch that is as good as the goal."""
    return next((row["seconds"] for row in epochs if row["test_accuracy"] >= goal), None)


if __name__ == "__main__":
    sys.exit(main())
