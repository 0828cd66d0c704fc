"""Measures how fast files are decoded into the cache.

    python benchmarks/ingest.py
    python benchmarks/ingest.py --side 64 --rounds 7

Files: 120 full-size radiographs (`kermany_originals`), each eight times with another byte at its
end, so that all contents differ; then 480 drawn radiographs as uncompressed DICOM. The files are in
the disk cache. Each program runs in a separate process, all programs in turn in each round. Times
include the start of decoding processes, but not imports:

- plainfilm: `fill_cache` with an empty folder, as in ``plainfilm train``: hashing, decoding,
  checks, metadata, shards on disk;
- tf.data: `decode_jpeg` and `resize` with 16 parallel calls, as in the tutorial;
- Keras: `image_dataset_from_directory`;
- upper bound: libjpeg-turbo (in Pillow) at the smallest scale that is large enough, one process per
  core, started before; nothing is resized, stored or checked;
- for DICOM: pydicom and Pillow's resize, one process per core, started before.

Needs the images of PLAINFILM_DATA (with ``kermany_originals``) and the extra ``train``. Results are
in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _measure import bars, machine, need, process, spread, table

TIMES = 8
DICOM = 480
JPEGS = ("upper bound", "plainfilm", "tf.data", "Keras")
DICOMS = ("pydicom and Pillow", "plainfilm")


def main() -> int:
    """Write the files, run every program in turn, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="output file of a plot (SVG or PNG)")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        program, folder = args.worker
        print(json.dumps(PROGRAMS[program](Path(folder), args.side)))
        return 0
    originals = need("kermany_originals")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as made:
        jpegs, dicoms = Path(made) / "jpeg", Path(made) / "dicom"
        count = multiply(originals, jpegs)
        draw(dicoms)
        panels = {
            f"{what}: images/s": compare(folder, number, programs, args, what)
            for folder, number, programs, what in (
                (jpegs, count, JPEGS, "full-size JPEG files"),
                (dicoms, DICOM, DICOMS, "drawn DICOM files, uncompressed"),
            )
        }
    if args.plot:
        bars(args.plot, panels, "plainfilm")
    return 0


def multiply(originals: Path, folder: Path) -> int:
    """Write every original several times; return the number of files."""
    count = 0
    for path in sorted(originals.rglob("*.jpeg")):
        data = path.read_bytes()
        home = folder / path.parent.name
        home.mkdir(parents=True, exist_ok=True)
        for time_ in range(TIMES):
            (home / f"{path.stem}-{time_}.jpeg").write_bytes(data + bytes([time_]))
            count += 1
    return count


def draw(folder: Path) -> None:
    """Draw radiographs as DICOM files."""
    from plainfilm.phantom import write_dataset

    write_dataset(folder, images={"train": DICOM}, size=1024, format="dicom", seed=0)


def compare(
    folder: Path, count: int, programs: tuple[str, ...], args: argparse.Namespace, what: str
) -> dict[str, list[float]]:
    """Print and return images per second."""
    speeds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(args.rounds):
        for name in programs:
            command = [sys.executable, __file__, "--side", str(args.side), "--worker", name, folder]
            seconds = float(json.loads(process(command)[2].splitlines()[-1]))
            speeds[name].append(count / seconds)
    ours = speeds["plainfilm"]
    rows = [
        [name, spread(own, "", 0), spread([a / b for a, b in zip(ours, own, strict=True)])]
        for name, own in speeds.items()
    ]
    print(f"\n{count} {what}, decoded to {args.side} pixels, {args.rounds} rounds:\n")
    print(table(["program", "images/s", "plainfilm / program"], rows), flush=True)
    return speeds


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ours(folder: Path, side: int) -> float:
    """Fill an empty cache."""
    from plainfilm.data import fill_cache, load_dataset
    from plainfilm.records import PixelSpec

    manifest = load_dataset(folder)
    with tempfile.TemporaryDirectory() as cache:
        return timed(lambda: fill_cache(manifest, PixelSpec(side), folder=cache))


def tf_data(folder: Path, side: int) -> float:
    """Decode and resize with tf.data."""
    import tensorflow as tf

    files = sorted(str(path) for path in folder.rglob("*.jpeg"))

    def read(path: Any) -> Any:
        return tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=1), (side, side))

    data = tf.data.Dataset.from_tensor_slices(files).map(read, num_parallel_calls=16)
    return timed(lambda: [batch.shape for batch in data.batch(20).prefetch(1)])


def keras_folder(folder: Path, side: int) -> float:
    """Decode and resize with Keras."""
    import keras

    def work() -> None:
        data = keras.utils.image_dataset_from_directory(
            folder, color_mode="grayscale", image_size=(side, side), shuffle=False, verbose=False
        )
        for _ in data:
            pass

    return timed(work)


def reduced(job: tuple[str, int]) -> None:
    """Decode at the smallest scale that is large enough."""
    from PIL import Image

    path, side = job
    with Image.open(path) as image:
        image.draft("L", (side, side))
        image.load()


def by_pydicom(job: tuple[str, int]) -> Any:
    """Read and resize with pydicom and Pillow."""
    import numpy as np
    import pydicom
    from PIL import Image

    path, side = job
    values = pydicom.dcmread(path).pixel_array.astype(np.float32)
    scaled = (255 * (values - values.min()) / np.ptp(values)).astype(np.uint8)
    return np.asarray(Image.fromarray(scaled).resize((side, side), Image.Resampling.BILINEAR))


def in_pool(work: Callable[[tuple[str, int]], Any], suffix: str) -> Callable[[Path, int], float]:
    """Return a program that calls ``work`` for every file, in one process per core."""

    def program(folder: Path, side: int) -> float:
        from multiprocessing import get_context

        jobs = [(str(path), side) for path in sorted(folder.rglob(f"*{suffix}"))]
        with get_context("fork").Pool(os.cpu_count()) as pool:
            pool.map(work, jobs[:8])  # warm-up
            return timed(lambda: pool.map(work, jobs, chunksize=8))

    return program


PROGRAMS: dict[str, Callable[[Path, int], float]] = {
    "plainfilm": ours,
    "tf.data": tf_data,
    "Keras": keras_folder,
    "upper bound": in_pool(reduced, ".jpeg"),
    "pydicom and Pillow": in_pool(by_pydicom, ".dcm"),
}

if __name__ == "__main__":
    sys.exit(main())
