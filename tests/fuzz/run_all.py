"""Run every target of fuzzing in turn, and print how many inputs each has checked.

    script/check --fuzz [SECONDS] [--runs N]

The targets share the seconds. With ``--runs`` each ends after that many inputs. All of them run,
even if one has a finding; then the exit status is 1.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["TARGETS", "main"]

FOLDER = Path(__file__).parent
TARGETS = tuple(
    path
    for path in sorted(FOLDER.glob("fuzz_*.py"))
    if "\ndef main(" in path.read_text(encoding="utf-8")
)


def main(arguments: list[str] | None = None) -> int:
    """Run all targets; return 0 if none has a finding."""
    parser = argparse.ArgumentParser(description="Fuzz everything that reads foreign bytes.")
    parser.add_argument("seconds", type=int, nargs="?", default=60, help="of all targets together")
    parser.add_argument("--runs", type=int, default=0, help="inputs of each target")
    options = parser.parse_args(arguments)
    each = max(1, options.seconds // len(TARGETS))
    rows, failed = [], False
    for target in TARGETS:
        print(f"\n== {target.name}, {each} s", flush=True)
        command = [sys.executable, str(target), str(each)]
        command += ["--runs", str(options.runs)] if options.runs else []
        began, count = time.monotonic(), 0
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                if match := re.search(r"number_of_executed_units: *(\d+)", line):
                    count = int(match[1])
        seconds = time.monotonic() - began
        failed |= process.returncode != 0
        result = "no finding" if process.returncode == 0 else f"exit status {process.returncode}"
        rows.append(f"{target.stem:<14}{count:>12,} inputs{seconds:>8.0f} s  {result}")
    print("\n" + "\n".join(rows))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
