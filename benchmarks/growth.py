"""Measures time, memory and disk space by number of images, and extrapolates to a million.

    python benchmarks/growth.py
    python benchmarks/growth.py --sizes 1000 3000 10000 --plot growth.svg

The images of `kermany224` are repeated, each with another smooth shading, and written as JPEG files
of 224x224, two images per patient. Each stage (recipe `swift`) runs in a separate process, as on
the command line; the table has seconds, peak memory of the largest process and bytes on disk. The
exponent is the slope of a line through the logarithms of the three largest sizes; that line gives
the value for a million. Needs the images of PLAINFILM_DATA (with ``kermany224``) and the extra
``train``.

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _measure import figure, machine, need, process, table

STAGES = ("list", "audit --quick", "decode", "train, one epoch", "predict", "evaluate")


def main() -> int:
    """Write the images, run every stage on every size, print the table and draw the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 3000, 10_000, 30_000, 100_000]
    )
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        stage, text, folder = args.worker
        print(json.dumps(WORKERS[stage](int(text), Path(folder))))
        return 0
    need("kermany224")
    print(machine(), flush=True)
    found: dict[str, list[tuple[int, float, float, float]]] = {stage: [] for stage in STAGES}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # In a separate process, since the peak memory of a child starts at that of its parent.
        process([sys.executable, __file__, "--worker", "write", str(max(args.sizes)), folder])
        for size in sorted(args.sizes):
            write_listing(size, folder)
            for stage in STAGES:
                command = [sys.executable, __file__, "--worker", stage, str(size), folder]
                values = json.loads(process(command)[2].splitlines()[-1])
                found[stage].append((size, values["seconds"], values["peak"], values["disk"]))
                print(f"{size:>8} {stage:<18} {values}", file=sys.stderr, flush=True)
    report(found)
    if args.plot:
        draw(found, args.plot)
    return 0


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
    """Return the manifest of a size."""
    from plainfilm.data import load_dataset

    return load_dataset(folder / f"{size}.csv", images=folder / "images", patient="patient")


def measured(work: Callable[[], Any], left: Path | None = None) -> dict[str, float]:
    """Return seconds, peak memory in MiB, and MiB on disk."""
    import resource
    import time

    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024
    files = left.rglob("*") if left is not None else ()
    disk = sum(path.stat().st_size for path in files if path.is_file()) / 2**20
    return {"seconds": seconds, "peak": peak, "disk": disk}


def listing(size: int, folder: Path) -> dict[str, float]:
    """List and split."""
    from plainfilm.data import make_splits

    return measured(lambda: make_splits(manifest_of(size, folder)))


def auditing(size: int, folder: Path) -> dict[str, float]:
    """Audit without decoding images."""
    from plainfilm.audit.pipeline import audit_dataset

    manifest = manifest_of(size, folder)
    return measured(lambda: audit_dataset(manifest, quick=True, cache=folder / f"audit-{size}"))


def decoding(size: int, folder: Path) -> dict[str, float]:
    """Fill an empty cache."""
    from plainfilm.data import fill_cache
    from plainfilm.records import PixelSpec

    manifest, cache = manifest_of(size, folder), folder / f"cache-{size}"
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
            cache=folder / f"cache-{size}",
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
    cache = folder / f"cache-{size}"
    return measured(
        lambda: plainfilm.evaluate(run, cache=cache, robustness=False), run / "evaluation"
    )


def line(rows: list[tuple[int, float, float, float]], column: int) -> tuple[float, float]:
    """Return the exponent and the value at a million, from the three largest sizes."""
    import numpy as np

    last = rows[-3:]
    values = np.log([max(row[column], 1e-9) for row in last])
    slope, start = np.polyfit(np.log([row[0] for row in last]), values, 1)
    return float(slope), float(np.exp(start + slope * np.log(1e6)))


def report(found: dict[str, list[tuple[int, float, float, float]]]) -> None:
    """Print a row for every stage."""
    sizes = [f"{row[0]:,}" for row in next(iter(found.values()))]
    rows = []
    for stage, own in found.items():
        slope, million = line(own, 1)
        cells = [f"{seconds:.1f} s, {peak:.0f} MiB" for _, seconds, peak, _ in own]
        rows.append([stage, *cells, f"{slope:.2f}", f"{million / 60:.0f} min"])
    heads = ["stage: seconds, peak memory", *sizes, "exponent", "a million (extrapolated)"]
    print("\n" + table(heads, rows))
    disk = [f"{row[3]:.0f} MiB" for row in found["decode"]]
    print(f"\ndisk space of the decoded images: {', '.join(disk)}")


def draw(found: dict[str, list[tuple[int, float, float, float]]], path: Path) -> None:
    """Draw seconds and memory against the number of images."""
    with figure(path, (9, 3.8)) as drawn:
        panels = drawn.subplots(1, 2)
        for axes, column, name in zip(panels, (1, 2), ("seconds", "peak memory, MiB"), strict=True):
            for stage, own in found.items():
                sizes, values = [row[0] for row in own], [row[column] for row in own]
                axes.loglog(sizes, values, "o-", markersize=3.5, label=stage)
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.yaxis.set_major_formatter("{x:,g}")
            axes.minorticks_off()
            axes.set_xlabel("images")
            axes.set_title(name)
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")


WORKERS: dict[str, Callable[[int, Path], dict[str, float]]] = {
    "write": write_images,
    **dict(
        zip(STAGES, (listing, auditing, decoding, training, predicting, evaluating), strict=True)
    ),
}

if __name__ == "__main__":
    sys.exit(main())
