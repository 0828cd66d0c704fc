"""Measures time and memory of an evaluation, by number of images.

    python benchmarks/evaluation.py [--most 1000000]

First: time and peak memory of all metrics with their intervals (`summarise`, 2,000 bootstrap
samples of patients, three operating points, all curves). Each size runs in a separate process; the
table has the exponent of the growth. Two of five images share a patient. Second: the bootstrap of
one AUROC, compared with a loop over scikit-learn's function and the same number of samples. Needs
the extra ``test``.

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from statistics import median
from typing import Any

import numpy as np

N_BOOTSTRAP = 2000
ROUNDS = 5


def draw(n: int) -> tuple[Any, Any, list[str]]:
    """Draw labels (n, 1), probabilities (n, 1) and patients, some with several images."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=n)
    labels = (z + rng.normal(size=n) > 0.5).astype(float)[:, None]
    chances = 1 / (1 + np.exp(-2 * z))[:, None]
    return labels, chances, rng.integers(0, max(1, 6 * n // 10), n).astype(str).tolist()


def one(n: int) -> None:
    """Evaluate one size; print seconds and MiB."""
    from plainfilm.evaluation import summarise
    from plainfilm.records import OperatingPoint, Task

    points = [
        OperatingPoint(name, name, "P", threshold, "given")  # type: ignore[arg-type]
        for name, threshold in (("balanced", 0.5), ("rule-out", 0.2), ("rule-in", 0.8))
    ]
    labels, chances, patients = draw(n)
    task = Task("binary", ("P",), ("N", "P"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    summarise(labels, chances, task, patients, points, n_bootstrap=N_BOOTSTRAP)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak": after / 1024, "before": before / 1024}))


def growth(most: int) -> None:
    """Print the table of sizes."""
    print("all metrics of an evaluation with their intervals, 2,000 bootstrap samples:")
    print(f"{'images':>10}{'median s':>10}{'spread':>16}{'peak MiB':>10}{'exponent':>10}")
    sizes = [size for size in (1_000, 10_000, 100_000, 300_000, 1_000_000) if size <= most]
    last: tuple[int, float] | None = None
    for size in sizes:
        runs = [
            json.loads(
                subprocess.run(
                    [sys.executable, __file__, "--one", str(size)],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for _ in range(ROUNDS)
        ]
        times = sorted(run["seconds"] for run in runs)
        middle, peak = median(times), max(run["peak"] for run in runs)
        power = "" if last is None else f"{np.log(middle / last[1]) / np.log(size / last[0]):.2f}"
        spread = f"{times[0]:.2f} to {times[-1]:.2f}"
        print(f"{size:>10,}{middle:>10.2f}{spread:>16}{peak:>10.0f}{power:>10}")
        last = (size, middle)


def against_scikit_learn() -> None:
    """Compare the bootstrap of one AUROC with a loop, alternating in each round."""
    from sklearn.metrics import roc_auc_score

    from plainfilm.metrics import clustered_bootstrap

    print("\nbootstrap of one AUROC, 2,000 samples, and a loop over scikit-learn's function:")
    print(f"{'images':>10}{'plainfilm s':>13}{'loop s':>10}{'ratio':>8}  ratio of each round")
    for size in (624, 5_000):
        labels, chances, _ = draw(size)
        truth, scores = labels[:, 0], chances[:, 0]
        ours, theirs = [], []
        for seed in range(ROUNDS):
            start = time.perf_counter()
            clustered_bootstrap("auroc", truth, scores, None, n_bootstrap=N_BOOTSTRAP, seed=seed)
            ours.append(time.perf_counter() - start)
            rng = np.random.default_rng(seed)
            start = time.perf_counter()
            for _ in range(N_BOOTSTRAP):
                rows = rng.integers(0, size, size)
                roc_auc_score(truth[rows], scores[rows])
            theirs.append(time.perf_counter() - start)
        ratios = sorted(slow / fast for slow, fast in zip(theirs, ours, strict=True))
        each = ", ".join(f"{ratio:.0f}" for ratio in ratios)
        middle = median(ratios)
        print(f"{size:>10,}{median(ours):>13.3f}{median(theirs):>10.2f}{middle:>8.0f}  {each}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--most", type=int, default=1_000_000, help="largest number of images")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one)
        return 0
    growth(args.most)
    against_scikit_learn()
    return 0


if __name__ == "__main__":
    sys.exit(main())
