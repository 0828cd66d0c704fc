"""What the benchmarks share: the machine in words, medians with their spread, tables, plots."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("THORAX_DATA", ROOT.parent / "shared" / "data"))
PEERS = ROOT / ".lab" / "peers"
"""Where environments for programs that thorax is compared with are made; git ignores it."""


def machine() -> str:
    """Return the date, the processor, its cores and what of it matters here."""
    model, flags = platform.processor() or platform.machine(), ""
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        text = cpu.read_text(encoding="utf-8")
        model = next((x.split(":")[1].strip() for x in text.splitlines() if "model name" in x), "")
        known = [f for f in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if f" {f}" in text]
        flags = f" ({known[0]})" if known else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{time.strftime('%d %B %Y')}, {cores} cores of {model}{flags}{load}"


def spread(values: Sequence[float], unit: str = "", digits: int = 2) -> str:
    """Return the median and, of several values, the range."""
    middle = f"{median(values):,.{digits}f}{unit}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def need(folder: str) -> Path:
    """Return a folder of the real images, or end with what to do."""
    path = DATA / folder
    if not path.is_dir():
        sys.exit(f"there are no images at {path}; set THORAX_DATA")
    return path


def peer(name: str, *packages: str) -> Path:
    """Return the Python of an environment with ``packages``, made when first asked for."""
    home = PEERS / name
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = home / "done.json"
    if not done.exists() or json.loads(done.read_text()) != list(packages):
        print(f"making an environment with {', '.join(packages)}", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), *packages], check=True)
        done.write_text(json.dumps(list(packages)))
    return python


def process(command: Sequence[str | Path], **environment: str) -> tuple[float, float, str]:
    """Run a command; return its seconds, its peak memory in MiB, and what it printed."""
    import resource

    began = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    ) as running:
        out, error = running.communicate()
    seconds = time.perf_counter() - began
    if running.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{out}\n{error}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return seconds, peak, out
