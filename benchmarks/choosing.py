"""Compares recipes within the official training folder, without the official test set.

    python benchmarks/choosing.py --seeds 0,1,2 --out scores.jsonl swift \
        "narrow: swift network.options.channels=[16,32]"
    python benchmarks/choosing.py --table scores.jsonl --known swift=0.961 --known standard=0.977

A candidate is the name or file of a recipe, followed by settings, and its own name before a colon.
Each is trained, sealed and scored for every part of every question of `_questions.py`: AUROC of
unchanged images (``clean``), of all images together, each under one random disturbance (``mixed``),
of these within each kind (``by kind``), and balanced accuracy at the locked threshold (``locked``)
and at the balanced Platt crossing (``Platt``) of `locking.py`.

Each result is a line of JSON in the file of ``--out``; results that are there are not repeated.
``--table`` prints the results of such files, and Kendall's tau of each question with the known test
results. Needs the images of PLAINFILM_DATA (with ``kermany224``) and the extra ``train``. Neither
the official test images nor those of another hospital are read.

Earlier results are in docs/explanation/what-was-tried.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from _measure import need
from _questions import QUESTIONS, Part, answer, decode, official_training, parts_of
from _ranking import combine, cost_table, ranking_table, read_lines, value_table

from plainfilm._machine import cores
from plainfilm.config import Recipe, load_recipe
from plainfilm.data import limit, load_dataset


@dataclass(frozen=True, slots=True)
class Trial:
    """One training: a candidate, a part of a question, and a seed."""

    candidate: str
    recipe: Recipe
    part: Part
    seed: int
    threads: int

    @property
    def key(self) -> tuple[str, int, str, str]:
        """Return what identifies the trial in a file of results."""
        return self.candidate, self.seed, self.part.question, self.part.name


def main() -> int:
    """Train all candidates, or print the tables."""
    args = parse()
    if args.table:
        lines = read_lines(args.table)
        known = {name: float(value) for name, _, value in (k.rpartition("=") for k in args.known)}
        scores = combine(lines)
        tables = [ranking_table(scores, known), value_table(scores), cost_table(lines)]
        print("\n\n".join([*tables, value_table(combine(lines, "accuracy"))]))
        return 0
    if args.backend:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # processes share a GPU
    done = {
        (line["candidate"], line["seed"], line["question"], line["part"])
        for line in read_lines([args.out] if args.out.exists() else [])
    }
    todo = [trial for trial in trials(args) if trial.key not in done]
    return run(todo, args.jobs, args.out)


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("candidates", nargs="*", metavar="'[NAME:] RECIPE [KEY=VALUE ...]'")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated seeds")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=QUESTIONS)
    parser.add_argument("--styles", type=int, default=6, help="number of acquisition styles")
    parser.add_argument("--limit", type=int, default=0, help="number of images, to try it out")
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel trainings")
    parser.add_argument("--backend", default=None)
    parser.add_argument("--out", type=Path, default=Path("choosing.jsonl"))
    parser.add_argument("--table", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--known", action="append", default=[], metavar="NAME=AUROC")
    args = parser.parse_args()
    if not args.candidates and not args.table:
        parser.error("name a candidate, or give --table")
    return args


def trials(args: argparse.Namespace) -> list[Trial]:
    """Return all trials, the first seed of every candidate first, after decoding the images."""
    manifest = official_training(load_dataset(need("kermany224")))
    if args.limit:
        every = replace(manifest, records=manifest.records.replace(split="train"))
        chosen = limit(every, args.limit).records
        manifest = replace(manifest, records=chosen.replace(split=""))
    recipes: dict[str, Recipe] = {}
    for text in args.candidates:
        name, colon, rest = text.partition(": ")
        recipe, *settings = (rest if colon else text).split()
        recipes[name] = load_recipe(recipe, settings)
        decode(manifest, recipes[name])
    parts = [part for one in args.questions for part in parts_of(manifest, one, args.styles)]
    for part in parts:
        print(f"{part.question}, {part.name}: {describe(part)}", file=sys.stderr)
    threads = max(1, cores() // args.jobs)
    return [
        Trial(name, recipe, part, seed, threads)
        for seed in map(int, args.seeds.split(","))
        for part in parts
        for name, recipe in recipes.items()
    ]


def describe(part: Part) -> str:
    """Return the numbers of images of a part."""
    positive = part.test.label_array()[:, 0] == 1
    return (
        f"{len(part.training.select('train'))} training images, {int(positive.sum())} positive "
        f"and {int((~positive).sum())} negative test images"
    )


def run(todo: list[Trial], jobs: int, out: Path) -> int:
    """Run trials in parallel, and append each result to a file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    spawn = multiprocessing.get_context("spawn")
    with (
        open(out, "a", encoding="utf-8") as file,
        ProcessPoolExecutor(jobs, spawn) as pool,
    ):
        running = {pool.submit(attempt, trial): trial for trial in todo}
        for number, future in enumerate(as_completed(running), start=1):
            candidate, seed, question, part = running[future].key
            key = {"candidate": candidate, "seed": seed, "question": question, "part": part}
            try:
                line = json.dumps(key | future.result())
            except Exception as error:  # the other trials go on
                failed += 1
                print(f"{key} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            print(line, file=file, flush=True)
            print(f"{number} of {len(todo)}: {line}", flush=True)
    return 1 if failed else 0


def attempt(trial: Trial) -> dict[str, Any]:
    """Run one trial in this process, and free what the backend holds."""
    try:
        return answer(trial.recipe, trial.part, trial.seed, trial.threads)
    finally:
        if keras := sys.modules.get("keras"):
            keras.utils.clear_session()
        gc.collect()


if __name__ == "__main__":
    sys.exit(main())
