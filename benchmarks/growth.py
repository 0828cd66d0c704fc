"""Measures time, memory and disk space by number of images.

    python benchmarks/growth.py
    python benchmarks/growth.py --set null --sizes 100000 1000000
    python benchmarks/growth.py --set images --sizes 1000 3000 10000 --plot growth.svg
    python benchmarks/growth.py --set null --stages list "audit --quick"

Two sets of images, two images per patient:

``null``
    Names that are links to a few small files. ``hash`` reads these; the other stages find different
    hashes in the cache. Where an image is needed, 8 x 8 pixels are drawn from the number in the
    name, with the metadata of a JPEG file. Nothing is decoded, so that the table shows what the
    manifest, the metadata, the hashes and the labels take.
``images``
    The images of `kermany224`, repeated, each with another smooth shading, and written as JPEG
    files of 224x224. The stages ``decode``, ``audit`` and ``predict`` decode them.

Each stage (recipe `swift`) runs in a separate process and reads the manifest that ``list`` wrote.
The table has seconds and the peak memory of the largest process. The slopes are between the two
largest sizes: KiB an image at the peak and of what is held at the end; the exponent of the time is
that of a line through the logarithms of the three largest sizes. ``images`` needs the images of
PLAINFILM_DATA (with ``kermany224``) and the extra ``train``.

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import csv
import gc
import io
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from _measure import figure, machine, need, process, table

LINKS = 50_000
"""Names of one file; file systems limit their number."""


class Row(NamedTuple):
    """One measurement: MiB of memory at the peak and at the end, and MiB on disk."""

    size: int
    seconds: float
    peak: float
    held: float
    disk: float


Found = dict[str, list[Row]]


def main() -> int:
    """Write the images, run the stages on every size, print the tables and draw the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--set", choices=[*SETS], help="default: both")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--stages", nargs="+", help="default: all of the set")
    parser.add_argument("--csv", type=Path, help="folder for the tables as CSV files")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        stage, text, folder = args.worker
        print(json.dumps(WORKERS[stage](int(text), Path(folder))))
        return 0
    print(machine(), flush=True)
    found: Found = {}
    for name in [args.set] if args.set else SETS:
        sizes, stages = SETS[name]
        own = measure(name, sorted(args.sizes or sizes), args.stages or list(stages))
        report(name, own, args.csv)
        found |= own
    if args.plot:
        draw(found, args.plot)
    return 0


def measure(name: str, sizes: list[int], stages: list[str]) -> Found:
    """Write the files of a set and run its stages, each in a process of its own."""
    found: Found = {stage: [] for stage in stages}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # In a separate process, since the peak memory of a child starts at that of its parent.
        process([sys.executable, __file__, "--worker", f"write {name}", str(sizes[-1]), folder])
        for size in sizes:
            write_listing(size, folder)
            for stage in dict.fromkeys(["list", *stages]):
                command = [sys.executable, __file__, "--worker", stage, str(size), folder]
                values = json.loads(process(command)[2].splitlines()[-1])
                print(f"{size:>8} {stage:<18} {values}", file=sys.stderr, flush=True)
                if stage in found:
                    found[stage].append(Row(size, **values))
    return found


def write_null(count: int, folder: Path) -> dict[str, float]:
    """Write ``count`` names of a few files, and the index of hashes as if all were different."""
    import hashlib

    import numpy as np

    from plainfilm.data.file_index import FileIndex

    images = folder / "images"
    images.mkdir()
    paths = [str(images / f"{number}.jpeg") for number in range(count)]
    stamps = np.empty((count, 2), np.int64)
    for start in range(0, count, LINKS):
        first = images / f"{start}.jpeg"
        first.write_bytes(b"%d" % start)
        status = first.stat()
        stamps[start : start + LINKS] = status.st_size, status.st_mtime_ns
        for path in paths[start + 1 : start + LINKS]:
            Path(path).hardlink_to(first)
    digests = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(count))
    FileIndex(folder / "files").store(
        paths, stamps, np.frombuffer(digests, np.uint8).reshape(-1, 32)
    )
    (folder / "classes.json").write_text(json.dumps(["NORMAL", "PNEUMONIA", "PNEUMONIA"]))
    return {}


def cache_of(size: int, folder: Path) -> Path:
    """Return the cache folder of a size; that of null images has the hashes of all files."""
    cache, index = folder / f"cache-{size}", folder / "files"
    cache.mkdir(exist_ok=True)
    if index.exists() and not (cache / "files").exists():
        (cache / "files").symlink_to(index)
    return cache


def read_null(path: str, spec: Any) -> Any:
    """Draw an image from the number in a name, with the metadata of a JPEG file."""
    import numpy as np

    from plainfilm.pixels import Image

    number = int(Path(path).stem)
    grey = np.random.default_rng(number).integers(0, 256, (spec.size, spec.size), np.uint8)
    sizes = {"bytes": 6000 + number % 977, "width": 224, "height": 224, "decoded_width": 224}
    others = {"progressive": 0, "quantisation": 29.03125, "coloured": 0, "exif": 0, "bits": 8}
    return Image(grey, {"format": "jpeg", "mode": "L", **sizes, **others})


def write_images(count: int, folder: Path) -> dict[str, float]:
    """Write ``count`` different images."""
    import numpy as np
    from PIL import Image

    sources = sorted(need("kermany224").rglob("*.jpeg"))
    grey = [np.asarray(Image.open(path).convert("L"), np.float32) for path in sources[:4000]]
    y, x = np.mgrid[-1:1:224j, -1:1:224j].astype(np.float32)
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(count):
        a, b, c = rng.uniform(-30, 30, 3)
        shaded = grey[number % len(grey)] + a * x + b * y + c * x * y
        image = Image.fromarray(np.clip(shaded, 0, 255).astype(np.uint8))
        image.save(folder / "images" / f"{number}.jpeg", quality=75)
    names = ["PNEUMONIA" if "PNEUMONIA" in str(path) else "NORMAL" for path in sources[:4000]]
    (folder / "classes.json").write_text(json.dumps(names))
    return {}


def write_listing(size: int, folder: Path) -> None:
    """Write the table of the first ``size`` images."""
    names = json.loads((folder / "classes.json").read_text())
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "label", "patient"])
    for number in range(size):
        rows.writerow([f"{number}.jpeg", names[number % len(names)], f"P{number // 2}"])
    (folder / f"{size}.csv").write_text(text.getvalue())


def manifest_of(size: int, folder: Path) -> Any:
    """Return the manifest of a size, with splits."""
    from plainfilm.data import Manifest

    return Manifest.read(folder / f"{size}.parquet")


def measured(work: Callable[[], Any], left: Path | None = None) -> dict[str, float]:
    """Return seconds, memory in MiB at the peak and with the result of ``work``, MiB on disk."""
    import resource
    import time

    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024
    gc.collect()
    status = Path("/proc/self/status")
    text = status.read_text() if status.exists() else "VmRSS: 0"
    held = int(text.partition("VmRSS:")[2].split()[0]) / 1024
    del result
    files = left.rglob("*") if left is not None else ()
    disk = sum(path.stat().st_size for path in files if path.is_file()) / 2**20
    return {"seconds": seconds, "peak": peak, "held": held, "disk": disk}


def listing(size: int, folder: Path) -> dict[str, float]:
    """List, split and write the manifest."""
    from plainfilm.data import load_dataset, make_splits

    def work() -> Any:
        listed = load_dataset(folder / f"{size}.csv", images=folder / "images", patient="patient")
        manifest = make_splits(listed)
        manifest.write(folder / f"{size}.parquet")
        return manifest

    return measured(work)


def hashing(size: int, folder: Path) -> dict[str, float]:
    """Hash all files."""
    from plainfilm._progress import silent
    from plainfilm.data.file_hashes import hash_files

    paths = manifest_of(size, folder).records.paths
    return measured(lambda: hash_files(paths, folder / f"hashes-{size}", silent))


def auditing(size: int, folder: Path) -> dict[str, float]:
    """Audit without decoding images, with the hashes of the files in the cache."""
    from plainfilm.audit.pipeline import audit_dataset

    manifest = manifest_of(size, folder)
    cache = cache_of(size, folder)
    return measured(lambda: audit_dataset(manifest, quick=True, cache=cache))


def auditing_images(size: int, folder: Path) -> dict[str, float]:
    """Audit, with the hashes of the files in the cache."""
    from plainfilm.audit.pipeline import audit_dataset

    manifest = manifest_of(size, folder)
    return measured(lambda: audit_dataset(manifest, cache=cache_of(size, folder)))


def filling(size: int, folder: Path) -> dict[str, float]:
    """Fill an empty cache with null images."""
    from plainfilm.data import fill_cache

    manifest, cache = manifest_of(size, folder), cache_of(size, folder)
    return measured(
        lambda: fill_cache(manifest, null_pixels(), folder=cache, workers=0, reader=read_null),
        cache,
    )


def preparing(size: int, folder: Path) -> dict[str, float]:
    """Do what a training does before its first step, with a filled cache."""
    from functools import partial

    import numpy as np

    from plainfilm._progress import silent
    from plainfilm.config import load_recipe
    from plainfilm.data import fill_cache
    from plainfilm.models.augment_draw import draw_augmentation
    from plainfilm.training import training_images
    from plainfilm.training.known_images import collect_known_images

    manifest, cache = manifest_of(size, folder), cache_of(size, folder)
    training_images.fill_cache = partial(fill_cache, reader=read_null)  # type: ignore[attr-defined]
    recipe = load_recipe("swift", [])
    recipe = replace(recipe, input=null_pixels())

    def work() -> Any:
        prepared = training_images.audit_and_decode(manifest, recipe, cache, 0, progress=silent)
        next(prepared)
        training, validation, _ = prepared
        held_out = validation.to_validation_set()
        known = collect_known_images(training, validation)
        labels, pixels = training.records.label_array(), training.images.all()
        rng = np.random.default_rng(0)
        drawn = draw_augmentation(recipe.augment, rng, len(labels), recipe.input.size)
        return training, validation, held_out, known, labels, pixels, drawn

    return measured(work)


def decoding(size: int, folder: Path) -> dict[str, float]:
    """Fill an empty cache."""
    from plainfilm.data import fill_cache
    from plainfilm.records import PixelSpec

    manifest, cache = manifest_of(size, folder), cache_of(size, folder)
    return measured(lambda: fill_cache(manifest, PixelSpec(64), folder=cache), cache)


def training(size: int, folder: Path) -> dict[str, float]:
    """Train for one epoch and seal, with the filled cache."""
    import plainfilm

    manifest, run = manifest_of(size, folder), folder / f"run-{size}"
    return measured(
        lambda: plainfilm.train(
            manifest,
            out=run,
            recipe="swift",
            settings=["epochs=1"],
            cache=cache_of(size, folder),
        ),
        run,
    )


def predicting(size: int, folder: Path) -> dict[str, float]:
    """Predict on all files."""
    import plainfilm

    model = plainfilm.load(folder / f"run-{size}")
    paths = [record.path for record in manifest_of(size, folder).records]

    def work() -> None:
        for _ in model.predict(paths):
            pass

    return measured(work)


def evaluating(size: int, folder: Path) -> dict[str, float]:
    """Evaluate on the test set (a fifth of the images), without disturbances."""
    import plainfilm

    run = folder / f"run-{size}"
    cache = cache_of(size, folder)
    return measured(
        lambda: plainfilm.evaluate(run, cache=cache, robustness=False), run / "evaluation"
    )


def report(name: str, found: Found, folder: Path | None) -> None:
    """Print a row for every stage of a set, and write them to a CSV file."""
    import numpy as np

    rows = []
    for stage, own in found.items():
        cells = [f"{row.seconds:.1f} s, {row.peak:.0f} MiB" for row in own]
        slopes = ["", "", ""]
        if len(own) > 1:
            before, last = own[-2:]
            images = last.size - before.size
            slopes[:2] = [
                f"{1024 * (getattr(last, kind) - getattr(before, kind)) / images:.2f}"
                for kind in ("peak", "held")
            ]
            times = np.log([[row.size, max(row.seconds, 1e-3)] for row in own[-3:]])
            slopes[2] = f"{np.polyfit(*times.T, 1)[0]:.2f}"
        rows.append([stage, *cells, *slopes])
    sizes = [f"{row.size:,}" for row in next(iter(found.values()))]
    heads = ["stage", *sizes, "KiB an image, peak", "KiB an image, held", "exponent"]
    print(f"\n{name}; seconds, peak memory\n\n" + table(heads, rows))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ("growth.csv" if name == "images" else f"growth-{name}.csv")
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([heads, *rows])
    if "decode" in found:
        disk = [f"{row.disk:.0f} MiB" for row in found["decode"]]
        print(f"\ndisk space of the decoded images: {', '.join(disk)}", flush=True)


def draw(found: Found, path: Path) -> None:
    """Draw seconds and memory against the number of images."""
    with figure(path, (9, 3.8)) as drawn:
        panels = drawn.subplots(1, 2)
        for axes, column, name in zip(panels, (1, 2), ("seconds", "peak memory, MiB"), strict=True):
            for stage, own in found.items():
                sizes, values = [row.size for row in own], [row[column] for row in own]
                axes.loglog(sizes, values, "o-", markersize=3.5, label=stage)
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.yaxis.set_major_formatter("{x:,g}")
            axes.minorticks_off()
            axes.set_xlabel("images")
            axes.set_title(name)
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")


def null_pixels() -> Any:
    """Return the pixel spec of null images."""
    from plainfilm.records import PixelSpec

    return PixelSpec(8)


NULL = {
    "list": listing,
    "hash": hashing,
    "audit --quick": auditing,
    "fill the cache": filling,
    "look up in the cache": filling,
    "prepare a training": preparing,
}
IMAGES = {
    "decode": decoding,
    "audit": auditing_images,
    "train, one epoch": training,
    "predict": predicting,
    "evaluate": evaluating,
}
SETS: dict[str, tuple[tuple[int, ...], dict[str, Callable[[int, Path], dict[str, float]]]]] = {
    "null": ((100_000, 1_000_000), NULL),
    "images": ((1000, 3000, 10_000), IMAGES),
}
WORKERS = {"write null": write_null, "write images": write_images, **NULL, **IMAGES}

if __name__ == "__main__":
    sys.exit(main())
