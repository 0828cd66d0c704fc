"""Measures recall, false findings and cost of the audit.

    python benchmarks/audit.py                              # everything: about half an hour
    python benchmarks/audit.py --only planted --seeds 1     # planted flaws in drawn images
    python benchmarks/audit.py --only near --images 2000    # altered copies of real radiographs
    python benchmarks/audit.py --only turned                # orientation
    python benchmarks/audit.py --only text                  # text drawn on real radiographs
    python benchmarks/audit.py --only cost --runs 5         # against decoding every file once
    python benchmarks/audit.py --only growth                # near-duplicate search only
    python benchmarks/audit.py --only growth --hashes 10000000
    python benchmarks/audit.py --only checks --rows 1000000 # all checks, on drawn evidence

``planted``, ``growth`` and ``checks`` draw their images; the others need those of PLAINFILM_DATA:
``kermany224`` (``near``, ``turned`` and ``text`` use its training set only) and, for ``cost``,
``kermany_originals``.

Results are in docs/reference/performance.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from plainfilm.audit.duplicates import find_duplicates
from plainfilm.audit.evidence import (
    SIDE,
    Evidence,
    ImageSummaries,
    evidence_from_cache,
    evidence_from_summaries,
    summarise,
)
from plainfilm.audit.hashing import close_pairs, pack_bits
from plainfilm.audit.orientation import estimate_orientation
from plainfilm.audit.pipeline import Audit, audit_dataset, audit_evidence
from plainfilm.data import load_dataset
from plainfilm.data.fill import fill_cache
from plainfilm.data.manifest import Manifest
from plainfilm.data.metadata import Metadata
from plainfilm.data.record_table import Records
from plainfilm.phantom import write_dataset
from plainfilm.pixels import read_image, read_image_and_text
from plainfilm.pixels.text import TextLine, find_text, write_lines
from plainfilm.records import Finding, PixelSpec, Task

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from planting import FlawKind, plant  # noqa: E402 - in the folder of the tests

DATA = Path(os.environ.get("PLAINFILM_DATA", ROOT.parent / "shared" / "data"))
PARTS = ("planted", "near", "turned", "text", "cost", "growth", "checks")
MARGINS = (0.25, 0.5)  # of plainfilm.audit.quality: a note, and a warning


@dataclass(frozen=True, slots=True)
class Expectation:
    """The checks that find a flaw, and the unit in which it is counted."""

    checks: tuple[str, ...]
    unit: str  # files, pairs (original and copy in one group) or whole (the finding is there)
    graded: bool = False  # whether it has degrees of strength


NEAR = ("near-duplicate", "exact-duplicate")
EXPECTED: dict[FlawKind, Expectation] = {
    "exact-duplicate": Expectation(("exact-duplicate",), "pairs"),
    "contradicting-label": Expectation(("exact-duplicate-conflicting-labels",), "pairs"),
    "leak-across-splits": Expectation(("exact-duplicate-across-splits",), "pairs"),
    "patient-leak": Expectation(("patient-in-several-splits",), "files"),
    "reencoded-duplicate": Expectation(NEAR, "pairs", graded=True),
    "near-duplicate": Expectation(NEAR, "pairs", graded=True),
    "truncated": Expectation(("truncated", "corrupt"), "files", graded=True),
    "empty": Expectation(("empty",), "files"),
    "not-an-image": Expectation(("not-an-image",), "files"),
    "mislabelled-format": Expectation(("wrong-file-extension",), "files"),
    "blank": Expectation(("blank-image",), "files"),
    "low-contrast": Expectation(("low-contrast",), "files", graded=True),
    "inverted": Expectation(("inverted",), "files"),
    "rotated": Expectation(("rotated",), "files"),
    "colour": Expectation(("colour-image",), "files", graded=True),
    "tiny": Expectation(("small-image",), "files", graded=True),
    "burnt-in-text": Expectation(("burnt-in-text",), "files", graded=True),
    "shortcut-border": Expectation(("shortcut-border",), "whole", graded=True),
    "shortcut-marker": Expectation(("shortcut-border", "shortcut-thumbnail"), "whole", graded=True),
    "shortcut-size": Expectation(("shortcut-file-metadata",), "whole", graded=True),
    "shift": Expectation(("shift-test",), "whole", graded=True),
}
STRENGTHS = (0.1, 0.5, 0.9)
RATES = {"files": (0.01, 0.05), "pairs": (0.01, 0.05), "whole": (0.5, 1.0)}


def main() -> int:
    """Print the requested tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--kinds", nargs="+", choices=sorted(EXPECTED), default=list(EXPECTED))
    parser.add_argument("--format", choices=("jpeg", "png", "dicom"), default="jpeg")
    parser.add_argument("--phantoms", type=int, default=500, help="images of a drawn set")
    parser.add_argument("--images", type=int, default=2000, help="real images to alter")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="decoding processes")
    parser.add_argument("--hashes", type=int, nargs="+", default=list(SIZES), help="of growth")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000], help="of checks")
    parser.add_argument("--alone", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        return measure_alone(*args.alone)
    missing = [
        name
        for part, name in (
            *(("near", "kermany224/train"), ("cost", "kermany224")),
            ("turned", "kermany224"),
            ("text", "kermany224/train"),
            ("cost", "kermany_originals"),
        )
        if part in args.only and not (DATA / name).is_dir()
    ]
    if missing:
        print(f"{' and '.join(missing)} not found in {DATA}; set PLAINFILM_DATA", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="plainfilm-benchmark-") as scratch:
        if "planted" in args.only:
            planted(Path(scratch), args.kinds, args.format, args.phantoms, args.seeds)
        if "near" in args.only:
            near(Path(scratch), args.images)
        if "turned" in args.only:
            turned(Path(scratch))
        if "text" in args.only:
            text(args.images)
        if "cost" in args.only:
            cost(args.runs, args.workers)
        if "growth" in args.only:
            growth(args.hashes)
        if "checks" in args.only:
            checks(args.rows)
    return 0


# ---- planted -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Score:
    """Counts of one kind of flaw over all seeds."""

    planted: int = 0
    found: int = 0
    false: int = 0
    images: int = 0


def planted(scratch: Path, kinds: Sequence[FlawKind], form: Any, images: int, seeds: int) -> None:
    """Plant each flaw at each strength and rate, audit, and compare with the ground truth."""
    scores: dict[tuple[FlawKind, float, float], Score] = defaultdict(Score)
    clean: dict[str, int] = defaultdict(int)
    parts = {"train": round(0.7 * images), "test": round(0.3 * images)}
    for seed in range(seeds):
        base = scratch / f"clean-{seed}"
        write_dataset(base, images=parts, seed=seed, format=form, size=224)
        for finding in audit_dataset(base, cache=scratch / "cache").findings:
            clean[finding.check] += 1 if not finding.files else len(finding.files)
        for kind in kinds:
            expected = EXPECTED[kind]
            for strength in STRENGTHS if expected.graded else (0.5,):
                for rate in RATES[expected.unit]:
                    folder = scratch / "flawed"
                    shutil.copytree(base, folder, copy_function=os.link)
                    truth = plant(folder, kind, rate=rate, strength=strength, seed=seed)
                    result = audit_dataset(folder, cache=scratch / "cache")
                    groups = [flaw.files for flaw in truth]
                    score(scores[kind, strength, rate], expected, groups, result)
                    shutil.rmtree(folder)
    total = seeds * sum(parts.values())
    print(f"\nplanted: {seeds} sets of {sum(parts.values())} drawn images ({form}), 224 pixels")
    print(f"{'flaw':<24}{'strength':>9}{'rate':>7}{'planted':>9}{'recall':>9}{'false/1000':>12}")
    for (kind, strength, rate), s in scores.items():
        shown = f"{strength:g}" if EXPECTED[kind].graded else "-"
        false = 1000 * s.false / max(1, s.images)
        recall = s.found / max(1, s.planted)
        print(f"{kind:<24}{shown:>9}{rate:>7.0%}{s.planted:>9}{recall:>9.3f}{false:>12.2f}")
    print(f"on the {total} clean images (files in findings, or findings without files):")
    for check, count in sorted(clean.items()):
        print(f"  {check:<34}{count:>6}")


def score(to: Score, expected: Expectation, truth: Sequence[Sequence[str]], result: Audit) -> None:
    """Add the planted flaws that an audit found."""
    chosen = [f for f in result.findings if f.check in expected.checks]
    to.images += len(result.manifest)
    if expected.unit == "whole":
        to.planted += 1
        to.found += bool(chosen)
        return
    to.planted += len(truth)
    known = {name for group in truth for name in group}
    if expected.unit == "pairs":
        pairs = {frozenset(group) for group in truth}
        reported = _pairs(chosen)
        to.found += len(pairs & reported)
        to.false += len({name for pair in reported - pairs for name in pair} - known)
        return
    if (
        chosen and chosen[0].check == "patient-in-several-splits"
    ):  # the finding has all images of such a patient
        patients = {r.patient for r in result.manifest.records if r.id in known}
        known |= {r.id for r in result.manifest.records if r.patient in patients}
    named = {name for finding in chosen for name in finding.files}
    to.found += sum(set(group) <= named for group in truth)
    to.false += len(named - known)


def _pairs(findings: Iterable[Finding]) -> set[frozenset[str]]:
    return {
        frozenset(pair)
        for finding in findings
        for group in finding.groups
        for pair in combinations(group, 2)
    }


# ---- near --------------------------------------------------------------------------------------

Alter = Callable[[np.random.Generator, Image.Image], tuple[Image.Image, dict[str, Any]]]


def _grey(picture: Image.Image, change: Callable[[Any], Any]) -> Image.Image:
    values = change(np.asarray(picture, dtype=np.float32) / 255)
    return Image.fromarray(np.clip(np.rint(values * 255), 0, 255).astype(np.uint8))


def _cut(rng: np.random.Generator, picture: Image.Image, most: float) -> Image.Image:
    """Crop each side by a random proportion up to ``most``."""
    width, height = picture.size
    left, top, right, bottom = rng.uniform(0, most, 4)
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    size = (round(box[2] - box[0]), round(box[3] - box[1]))
    return picture.resize(size, Image.Resampling.BICUBIC, box=box)


def _tone(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    contrast, brightness = rng.uniform(0.75, 1.25), rng.uniform(-0.1, 0.1)
    return _grey(picture, lambda v: (v - 0.5) * contrast + 0.5 + brightness)


def _bend(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    gamma = float(np.exp(rng.uniform(-np.log(1.6), np.log(1.6))))
    return _grey(picture, lambda v: v**gamma)


def _half(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BILINEAR)


def _quality(rng: np.random.Generator) -> dict[str, Any]:
    return {"quality": int(rng.integers(30, 91))}


ALTERED: dict[str, Alter] = {
    "JPEG, quality 30 to 90": lambda rng, p: (p, _quality(rng)),
    "half size": lambda rng, p: (_half(p), {"quality": 85}),
    "cropped by up to 3 % in total": lambda rng, p: (_cut(rng, p, 0.015), {"quality": 85}),
    "cropped by up to 3 % per side": lambda rng, p: (_cut(rng, p, 0.03), {"quality": 85}),
    "brightness and contrast": lambda rng, p: (_tone(rng, p), {"quality": 85}),
    "gamma 0.63 to 1.6": lambda rng, p: (_bend(rng, p), {"quality": 85}),
    "all of these (3 % in total)": lambda rng, p: (
        _half(_bend(rng, _tone(rng, _cut(rng, p, 0.015)))),
        _quality(rng),
    ),
    "all of these (3 % per side)": lambda rng, p: (
        _half(_bend(rng, _tone(rng, _cut(rng, p, 0.03)))),
        _quality(rng),
    ),
}


def near(scratch: Path, images: int, seed: int = 0) -> None:
    """Audit real training radiographs together with altered copies."""
    rng = np.random.default_rng(seed)
    source = DATA / "kermany224" / "train"
    files = sorted(source.glob("*/*.jpeg"))
    digests: dict[bytes, Path] = {}
    for path in files:
        digests.setdefault(path.read_bytes(), path)
    distinct = sorted(digests.values())
    count = min(images, len(distinct))
    chosen = [distinct[i] for i in sorted(rng.choice(len(distinct), count, replace=False))]
    folder = scratch / "near"
    kinds = list(ALTERED)
    order = rng.permutation(count)
    truth: dict[frozenset[str], str] = {}
    for position, path in zip(order.tolist(), chosen, strict=True):
        kind = kinds[position % len(kinds)]
        original = folder / "train" / path.parent.name / path.name
        copy = original.with_name(f"{path.stem}-altered.jpeg")
        original.parent.mkdir(parents=True, exist_ok=True)
        original.symlink_to(path)
        with Image.open(path) as opened:
            picture, options = ALTERED[kind](rng, opened.convert("L"))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", **options)
        copy.write_bytes(buffer.getvalue())
        names = (p.relative_to(folder).as_posix() for p in (original, copy))
        truth[frozenset(names)] = kind
    report_near(folder, scratch / "cache", truth, kinds)


def report_near(
    folder: Path, cache: Path, truth: dict[frozenset[str], str], kinds: Sequence[str]
) -> None:
    """Audit; print recall for each kind of copy, and precision over all."""
    manifest = load_dataset(folder)
    evidence = evidence_from_cache(manifest, fill_cache(manifest, PixelSpec(SIDE), folder=cache))
    # All pairs, since a finding has at most a hundred groups.
    copies = find_duplicates(evidence)
    reported: dict[frozenset[str], float] = {
        frozenset((evidence.ids[p.first], evidence.ids[p.second])): p.agreement for p in copies.near
    }
    reported |= {
        frozenset(evidence.ids[row] for row in pair): 1.0
        for group in copies.exact
        for pair in combinations(group, 2)
    }
    print(
        f"\nnear: {len(truth)} different radiographs of kermany224/train, "
        "with one altered copy of each"
    )
    print(f"{'altered':<30}{'copies':>8}{'found':>8}{'recall':>9}")
    for kind in kinds:
        own = {pair for pair, name in truth.items() if name == kind}
        hit = len(own & reported.keys())
        print(f"{kind:<30}{len(own):>8}{hit:>8}{hit / max(1, len(own)):>9.4f}")
    hit = len(truth.keys() & reported.keys())
    print(f"{'all':<30}{len(truth):>8}{hit:>8}{hit / max(1, len(truth)):>9.4f}")
    wrong = {pair: value for pair, value in reported.items() if pair not in truth}
    print(
        f"precision {hit / max(1, len(reported)):.4f}: "
        f"{len(wrong)} of {len(reported)} pairs not planted"
    )
    for pair, value in sorted(wrong.items(), key=lambda item: -item[1])[:40]:
        print(f"  {value:.3f}  {'  '.join(sorted(pair))}")


# ---- text --------------------------------------------------------------------------------------

WORDS = ("KV59", "A-P", "PORTABLE", "12:04:33", "L SUPINE", "ID 84312", "SYNTHETIC, PAT 1234")
TALL = (5, 8, 12)  # height of the capitals in pixels of 256
CONTRASTS = (-256, -100, -60, 60, 100, 256)  # grey levels above the median behind the text


def text(count: int) -> None:
    """Draw text on training images in which none was found, and search them again."""
    rng = np.random.default_rng(0)
    files = sorted((DATA / "kermany224" / "train").glob("*/*.jpeg"))
    tally: dict[tuple[int, int], list[bool]] = defaultdict(list)
    outside = drawn = 0
    for row in rng.permutation(len(files))[:count].tolist():
        pixels = read_image(files[row], PixelSpec(256)).pixels
        if find_text(pixels):
            continue
        picture, box, height, contrast = _write(rng, pixels)
        column = int(np.searchsorted(TALL, height, side="right")) - 1
        place = int(np.searchsorted(CONTRASTS, contrast, side="right")) - 1
        found = [line.box for line in find_text(picture)]
        hits = [one for one in found if _overlap(one, box) > 0]
        tally[place, column].append(any(_overlap(one, box) > 0.4 for one in hits))
        outside += len(found) - len(hits)
        drawn += 1
    print(f"\ntext: drawn on {drawn} training images in which none was found; recall")
    print("contrast,", ", ".join(f"{a} to {b - 1} pixels" for a, b in pairwise((*TALL, 18))))
    for place, (low, high) in enumerate(pairwise(CONTRASTS)):
        cells = [tally[place, column] for column in range(len(TALL))]
        shown = [f"{sum(cell)} of {len(cell)}" if cell else "-" for cell in cells]
        print(f"{low} to {high}: {', '.join(shown)}")
    print(f"lines reported at other places of these images: {outside}")


def _write(rng: np.random.Generator, pixels: Any) -> tuple[Any, tuple[float, ...], int, float]:
    """Return an image with text at one of six places, its box, height and contrast."""
    words = WORDS[rng.integers(len(WORDS))]
    font = ImageFont.load_default(int(rng.integers(8, 24)))
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    left, top, right, bottom = pen.textbbox((0, 0), words, font=font)
    wide, high = right - left, bottom - top
    x = (4, (256 - wide) / 2, 252 - wide)[rng.integers(3)]
    y = (4, 252 - high)[rng.integers(2)]
    behind = pixels[int(y) : int(y + high), max(0, int(x)) : int(x + wide)]
    level = int(rng.integers(0, 256))
    pen.text((x - left, y - top), words, fill=level, font=font)
    capital = pen.textbbox((0, 0), "K", font=font)
    box = (x, y, x + wide, y + high)
    return (
        np.asarray(picture),
        box,
        round(capital[3] - capital[1]),
        level - float(np.median(behind)),
    )


def _overlap(found: Sequence[float], box: Sequence[float]) -> float:
    """Return the share of a box that a found line covers."""
    across = min(found[2], box[2]) - max(found[0], box[0])
    down = min(found[3], box[3]) - max(found[1], box[1])
    return max(0.0, across) * max(0.0, down) / ((box[2] - box[0]) * (box[3] - box[1]))


# ---- cost --------------------------------------------------------------------------------------


def turned(scratch: Path) -> None:
    """Rotate or invert 5 % of the real training images, and count those that are found."""
    manifest = load_dataset(DATA / "kermany224" / "train")
    evidence = evidence_from_cache(
        manifest, fill_cache(manifest, PixelSpec(SIDE), folder=scratch / "turned")
    )
    assert evidence.summaries is not None
    small, count = evidence.summaries.thumbnails, len(evidence)
    chosen = np.random.default_rng(0).choice(count, count // 20, replace=False)
    rest = np.setdiff1d(np.arange(count), chosen)
    print(f"\nturned: {len(chosen)} of {count} images of kermany224/train")
    print(f"{'':<24}{'found':>8}{'clearly':>9}{'false':>9}{'clearly':>9}")
    for name, change in (
        ("90° to the left", lambda images: np.rot90(images, 1, (1, 2))),
        ("upside down", lambda images: np.rot90(images, 2, (1, 2))),
        ("90° to the right", lambda images: np.rot90(images, 3, (1, 2))),
        ("inverted", lambda images: 255 - images),
    ):
        images = small.copy()
        images[chosen] = change(small[chosen])
        orientation = estimate_orientation(images, evidence.groups)
        assert orientation is not None
        found = [float((orientation.margin[chosen] > margin).mean()) for margin in MARGINS]
        wrong = [int((orientation.margin[rest] > margin).sum()) for margin in MARGINS]
        print(f"{name:<24}{found[0]:>8.3f}{found[1]:>9.3f}{wrong[0]:>9}{wrong[1]:>9}")


def cost(runs: int, workers: int) -> None:
    """Time the audit and decoding only, in turn, each in a separate process with its own cache."""
    for name, others in (
        ("kermany224", ("channels-224", "grey-224", "grey-128", "channels-128")),
        ("kermany_originals", ("decode-full", "grey-128", "channels-128")),
    ):
        seconds: dict[str, list[float]] = defaultdict(list)
        for _ in range(runs):
            for what in ("audit", *others):
                seconds[what].append(call_alone(what, str(DATA / name), str(workers))["seconds"])
        print(f"\ncost: {name}, {workers} processes, {runs} runs each, in turn")
        print(f"{'':<14}{'median s':>10}{'min':>8}{'max':>8}{'audit / it':>12}")
        for what, values in seconds.items():
            ratio = median(seconds["audit"]) / median(values)
            low, high = min(values), max(values)
            print(f"{what:<14}{median(values):>10.2f}{low:>8.2f}{high:>8.2f}{ratio:>12.2f}")
    print(
        "channels-N, grey-N: fill_cache to squares of N pixels, from all channels of a file or its"
    )
    print(
        "luminance only; the audit uses channels-128. decode-full: decoding at full size. All files"
    )
    print("are in the disk cache.")


def call_alone(*arguments: str) -> dict[str, float]:
    """Run `measure_alone` in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, "--alone", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values


def measure_alone(what: str, *arguments: str) -> int:
    """Measure one program, and print the result as JSON."""
    if what == "growth":
        print(json.dumps(search(int(arguments[0]))))
        return 0
    if what == "checks":
        print(json.dumps(check_all(int(arguments[0]))))
        return 0
    data, workers = Path(arguments[0]), int(arguments[1])
    with tempfile.TemporaryDirectory(prefix="plainfilm-benchmark-") as cache:
        began = time.perf_counter()
        if what == "audit":
            audit_dataset(data, cache=cache, workers=workers)
        elif what == "decode-full":
            files = [record.path for record in load_dataset(data).records]
            # New interpreters, as in the audit.
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                sum(pool.map(decode_fully, files, chunksize=4))
        else:
            how, _, side = what.partition("-")
            reader = read_image_and_text if how == "channels" else read_image
            spec = PixelSpec(int(side))
            fill_cache(load_dataset(data), spec, folder=cache, workers=workers, reader=reader)
        print(json.dumps({"seconds": time.perf_counter() - began}))
    return 0


def decode_fully(path: str) -> int:
    """Decode a file at full size; return the number of pixels."""
    from plainfilm.pixels import read_full_image

    return int(read_full_image(path).pixels.size)


# ---- growth ------------------------------------------------------------------------------------

SIZES = (25_000, 50_000, 100_000, 200_000, 1_000_000)
ERRORS = (0.05, 0.08, 0.1, 0.12, 0.15)


def growth(sizes: Sequence[int]) -> None:
    """Search increasing numbers of random hashes for close pairs."""
    print("\ngrowth: 64-bit hashes; 1 % are copies for each share of changed bits; recall by share")
    shares = "".join(f"{share:>8.0%}" for share in ERRORS)
    heads = f"{'hashes':>11}{'CPU s':>9}{shares}{'pairs':>12}{'peak MiB':>10}{'of the search':>15}"
    print(heads, flush=True)
    rows = []
    for count in sizes:
        one = call_alone("growth", str(count))
        rows.append(one)
        recall = "".join(f"{one[str(share)]:>8.4f}" for share in ERRORS)
        print(
            f"{count:>11,}{one['seconds']:>9.2f}{recall}{one['pairs']:>12,.0f}"
            f"{one['peak']:>10.0f}{one['own']:>15.0f}",
            flush=True,
        )
    if len(sizes) > 1:
        slope = np.polyfit(np.log(sizes), np.log([row["seconds"] for row in rows]), 1)[0]
        print(f"time grows with the number of hashes to the power {slope:.2f}")


def search(count: int) -> dict[str, float]:
    """Draw hashes, some of them copies, and search them."""
    rng = np.random.default_rng(count)
    words = rng.integers(0, 2**64, count, dtype=np.uint64)
    copies = count // 100
    places = rng.permutation(count)[: 2 * copies * len(ERRORS)].reshape(2, len(ERRORS), copies)
    for ours, theirs, share in zip(*places, ERRORS, strict=True):
        words[theirs] = words[ours] ^ pack_bits(rng.random((copies, 64)) < share)
    before = _peak()
    began = time.process_time()
    pairs = close_pairs(words)
    seconds, peak = time.process_time() - began, _peak()
    reported = pairs[:, 0] * count + pairs[:, 1]
    planted = places.min(axis=0) * count + places.max(axis=0)
    recall = {
        str(share): np.isin(own, reported).mean()
        for share, own in zip(ERRORS, planted, strict=True)
    }
    return recall | {
        "seconds": seconds,
        "pairs": float(len(pairs)),
        "peak": peak,
        "own": peak - before,
    }


# ---- checks ------------------------------------------------------------------------------------


def checks(sizes: Sequence[int]) -> None:
    """Run all checks on drawn evidence, each size in a process of its own."""
    print("\nchecks: all checks of an audit on drawn evidence, without decoding")
    print(f"{'images':>11}{'CPU s':>9}{'seconds':>9}{'evidence MiB':>14}{'peak MiB':>10}")
    for count in sizes:
        one = call_alone("checks", str(count))
        print(
            f"{count:>11,}{one['cpu']:>9.1f}{one['seconds']:>9.1f}{one['evidence']:>14,.0f}"
            f"{one['peak']:>10,.0f}",
            flush=True,
        )


class Enlarged:
    """Images of 128 pixels a side, enlarged from thumbnails."""

    def __init__(self, thumbnails: Any) -> None:
        self._thumbnails = thumbnails

    def gather(self, indices: Any, /) -> Any:
        """Return images, (n, 128, 128)."""
        return self._thumbnails[indices].repeat(4, axis=1).repeat(4, axis=2)


def draw_evidence(count: int) -> Evidence:
    """Draw smooth images with noise, a third as many patients, and text on 6 % of the images."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    chest = 120 - 60 * np.exp(-((abs(x) - 0.45) ** 2 / 0.06 + y**2 / 0.3)) + 40 * np.exp(-50 * x**2)
    pairs = [(a, b) for a in range(6) for b in range(-5, 6)]
    waves = np.stack(
        [
            7 / (1 + np.hypot(a, b)) * np.cos(np.pi * (a * x + b * y) + phase).ravel()
            for a, b in pairs
            for phase in (0, 1.5)
        ]
    ).astype(np.float32)
    ill = rng.random(count) < 0.3
    summaries = ImageSummaries.empty(count)
    for start in range(0, count, 8192):
        part = slice(start, min(start + 8192, count))
        size = part.stop - start
        drawn = rng.normal(size=(size, len(waves))).astype(np.float32) @ waves
        drawn += rng.normal(0, 2, (size, 1024)).astype(np.float32) + 4 * ill[part, None]
        images = np.clip(chest.ravel() + drawn, 0, 255).astype(np.uint8).reshape(-1, 32, 32)
        summaries.put(part, replace(summarise(images), styles=rng.normal(size=(size, 19))))
    patients = rng.integers(0, max(1, count // 3), count)
    splits = np.array(("train", "validation", "test"))[np.maximum(patients % 10, 7) - 7]
    records = Records.from_columns(
        ill[:, None].astype(np.float32),
        {"age": (patients % 90).astype(float).tolist()},
        id=[f"images/{n}.jpeg" for n in range(count)],
        path=[f"/nowhere/images/{n}.jpeg" for n in range(count)],
        patient=[f"P{n}" for n in patients.tolist()],
        split=splits.tolist(),
    )
    manifest = Manifest("drawn", Task("binary", ("ILL",), ("WELL", "ILL")), records)
    metadata = Metadata(
        count,
        width=rng.choice([512.0, 1024, 2048], count),
        height=np.full(count, 1024.0),
        bytes=rng.normal(100_000, 9_000, count).round(),
    )
    for row in np.flatnonzero(rng.random(count) < 0.06).tolist():
        shape = np.random.default_rng(row % 30).integers(0, 256, 32, np.uint8).tobytes().hex()
        line = TextLine((10, 10, 60, 20), 6, False, shape)
        metadata.put(np.array([row]), [{"text": write_lines([line])}])
    return evidence_from_summaries(
        manifest,
        np.ones(count, bool),
        (),
        metadata=metadata,
        hashes=rng.integers(0, 256, (count, 32), np.uint8),
        summaries=summaries,
        images=lambda _: Enlarged(summaries.thumbnails),
    )


def check_all(count: int) -> dict[str, float]:
    """Run all checks on drawn evidence."""
    evidence = draw_evidence(count)
    before, began, cpu = _peak(), time.perf_counter(), time.process_time()
    audit_evidence(evidence)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "evidence": before, "peak": _peak()}


def _peak() -> float:
    """Return the peak memory of this process in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    sys.exit(main())
