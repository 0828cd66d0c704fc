"""script/nightly runs at a small size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_small_plan_is_written_driven_resumed_and_finished() -> None:
    command = [sys.executable, str(ROOT / "script" / "nightly"), "--rows", "100000", "--etags"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    table = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [cells[0] for cells in table[2:]] == [
        f"| {phase}" for phase in ("plan", "drive", "resume", "finish")
    ]
    assert "71 chunks" in table[2][4]
    assert all(0 < float(cells[3]) < 400 for cells in table[2:]), "peak memory in MB"
