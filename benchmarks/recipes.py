"""Measures performance and training time of each recipe on the public paediatric data set.

    python benchmarks/recipes.py --recipes swift standard --seeds 5 --out runs/benchmark

All seeds are trained and sealed first; then each bundle is evaluated once on the official test set,
on which no recipe was selected. Finished runs are not repeated. Needs the images of PLAINFILM_DATA
(with ``kermany224``) and the extra ``train``.

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
METRICS = ("auroc", "accuracy", "sensitivity", "specificity", "average_precision", "brier")


def main() -> int:
    """Train, evaluate, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recipes", nargs="+", default=["swift", "standard"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backend", default=None)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "benchmark")
    parser.add_argument("--train-only", action="store_true", help="do not evaluate")
    args = parser.parse_args()
    data = Path(os.environ.get("PLAINFILM_DATA", ROOT.parent / "shared" / "data")) / "kermany224"
    if not data.is_dir():
        print(f"there are no images at {data}; set PLAINFILM_DATA", file=sys.stderr)
        return 1

    runs = [
        (recipe, seed, args.out / f"{recipe}-{args.backend or 'default'}-{seed}")
        for recipe in args.recipes
        for seed in range(args.seeds)
    ]
    for recipe, seed, folder in runs:
        train(data, recipe, seed, args.backend, folder)
    if args.train_only:
        return 0
    for _, _, folder in runs:
        if not (folder / "evaluation" / "evaluation.json").exists():
            call("evaluate", str(folder))
    for recipe in args.recipes:
        report(recipe, [folder for name, _, folder in runs if name == recipe])
    return 0


def train(data: Path, recipe: str, seed: int, backend: str | None, folder: Path) -> None:
    """Train and seal one seed in a separate process, and store its time."""
    if (folder / "bundle" / "SHA256SUMS").exists():
        return
    began = time.perf_counter()
    options = ["--backend", backend] if backend else []
    call(
        *("train", str(data), "--recipe", recipe, "--seed", str(seed), "--out", str(folder)),
        *("--no-evaluation", *options),
    )
    spent = time.perf_counter() - began
    (folder / "process-seconds.json").write_text(json.dumps(spent))
    print(f"{recipe} seed {seed}: {spent:.1f} s", flush=True)


def call(*arguments: str) -> None:
    """Run a plainfilm command."""
    subprocess.run([sys.executable, "-m", "plainfilm", *arguments], check=True)


def report(recipe: str, folders: list[Path]) -> None:
    """Print mean, standard deviation and range over the seeds."""
    evaluations = [read(folder / "evaluation" / "evaluation.json") for folder in folders]
    bundles = [read(folder / "bundle" / "bundle.json")["provenance"] for folder in folders]
    print(f"\n{recipe}: {len(folders)} seeds, {evaluations[0]['n']} test images")
    print(f"{'':<18}{'mean':>9}{'sd':>9}{'min':>9}{'max':>9}")
    for name in METRICS:
        line(name, [evaluation["metrics"][name]["value"] for evaluation in evaluations], "9.4f")
    line("training s", [origin["training_seconds"] for origin in bundles], "9.1f")
    line("process s", [read(folder / "process-seconds.json") for folder in folders], "9.1f")
    points = [e["labels"][e["task"]["labels"][0]]["operating_points"] for e in evaluations]
    line("threshold", [own["balanced"]["threshold"] for own in points], "9.4f")
    print(f"median training: {median(origin['training_seconds'] for origin in bundles):.1f} s")


def line(name: str, values: list[float], form: str) -> None:
    """Print one row of the table."""
    spread = stdev(values) if len(values) > 1 else 0.0
    cells = (mean(values), spread, min(values), max(values))
    print(f"{name:<18}" + "".join(format(cell, form) for cell in cells))


def read(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
