"""Runs the targets of fuzzing: with atheris where it is installed, else with mutations by chance.

A target is a module ``fuzz_NAME.py`` with a function ``main`` that calls `run` with a function that
checks one input, and with its corpus. The corpus is drawn again each time; nothing is kept but an
input that broke an invariant.

    python tests/fuzz/fuzz_NAME.py [SECONDS] [--runs N] [--seed N]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["mutate", "run"]

Check = Callable[[bytes], object]

_LONGEST = 20_000  # bytes of an input
_SLOWEST = 20  # seconds for one input
_MEMORY = 3_000  # MiB
_VALUES = (0, 1, 0x20, 0x7F, 0x80, 0xFE, 0xFF)
_COUNTED = "stat::number_of_executed_units:"  # as libFuzzer prints it


def run(
    check: Check,
    corpus: Mapping[str, bytes],
    instrumented: Sequence[str],
    arguments: Sequence[str] | None = None,
    *,
    modules: Sequence[str] = (),
) -> int:
    """Check mutated inputs for some seconds, print their number, and return 0 if none failed.

    ``instrumented`` are the packages whose branches guide atheris, and ``modules`` those of them to
    import at once; by default the packages themselves.
    """
    parser = argparse.ArgumentParser(description="Fuzz one target.")
    parser.add_argument("seconds", type=int, nargs="?", default=60)
    parser.add_argument("--runs", type=int, default=0, help="inputs; 0 is no limit")
    parser.add_argument("--seed", type=int, default=0, help="0 draws one")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    options = parser.parse_args(arguments)
    options.keep.mkdir(parents=True, exist_ok=True)
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    try:
        import atheris
    except ImportError:
        atheris = None
    with (
        contextlib.nullcontext()
        if atheris is None
        else atheris.instrument_imports(include=[*instrumented])
    ):
        for name in modules or instrumented:
            importlib.import_module(name)
    for data in corpus.values():
        check(data)
    if atheris is None:
        return _loop(check, corpus, options.seconds, options.runs, seed, options.keep)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in corpus.items():
            (Path(folder) / name).write_bytes(data)
        flags = [
            f"-max_total_time={options.seconds}",
            f"-timeout={_SLOWEST}",
            f"-rss_limit_mb={_MEMORY}",
            f"-max_len={_LONGEST}",
            f"-artifact_prefix={options.keep}/",
            "-print_final_stats=1",
            f"-seed={seed}",
            *([f"-runs={options.runs}"] if options.runs else []),
        ]
        atheris.Setup([sys.argv[0], *flags, folder], lambda data: check(data) and None)
        atheris.Fuzz()  # leaves the process: 0, or another code and the file that did it
    return 0


def _loop(
    check: Check, corpus: Mapping[str, bytes], seconds: int, runs: int, seed: int, keep: Path
) -> int:
    """Check inputs that are mutated without knowledge of the code."""
    chance, files = random.Random(seed), [*corpus.values()]
    end, count = time.monotonic() + seconds, 0
    print(f"atheris is not installed: mutations by chance, seed {seed}", flush=True)
    while time.monotonic() < end and not (runs and count >= runs):
        data, began = mutate(chance, chance.choice(files), files), time.process_time()
        try:
            check(data)
            took = time.process_time() - began  # other programs do not count
            assert took < _SLOWEST, f"one input took {took:.0f} seconds"
        except Exception:
            path = keep / f"crash-{hashlib.sha256(data).hexdigest()[:16]}"
            path.write_bytes(data)
            traceback.print_exc()
            print(f"{path} broke an invariant\n{_COUNTED} {count + 1}", flush=True)
            return 1
        count += 1
    print(f"{_COUNTED} {count}", flush=True)
    return 0


def mutate(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return a file with a few changes: bytes, lengths, cuts, copies, pieces of other files."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 5, 9))):
        kind, at = chance.randrange(6), chance.randrange(len(changed) + 1)
        size = min(1 << chance.randrange(9), len(changed) - at)
        if kind == 0:
            changed[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            changed[at : at + 1] = bytes([chance.choice(_VALUES)])
        elif kind == 2:
            number = chance.choice((0, 1, 0x7FFF, 0xFFFF, len(data), 1 << 31, (1 << 32) - 1))
            width = chance.choice((2, 4))
            order = chance.choice(("little", "big"))
            changed[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
        elif kind == 3:
            del changed[at : at + size]
        elif kind == 4:
            changed[at:at] = changed[at : at + size] * chance.randrange(1, 4)
        else:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            changed[at : at + size] = other[start : start + size]
    return bytes(changed[:_LONGEST])
