"""Shared functions of the benchmarks: description of the machine, medians, tables, plots."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("PLAINFILM_DATA", ROOT.parent / "shared" / "data"))
PEERS = ROOT / ".lab" / "peers"
"""Folder of the environments of other programs; git ignores it."""


def machine() -> str:
    """Return the date, the processor, its cores, its vector instructions and the load."""
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
    """Return the median and, for several values, the range."""
    middle = f"{median(values):,.{digits}f}{unit}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def need(folder: str) -> Path:
    """Return a folder of the real images, or exit with a remedy."""
    path = DATA / folder
    if not path.is_dir():
        sys.exit(f"there are no images at {path}; set PLAINFILM_DATA")
    return path


def peer(name: str, *packages: str) -> Path:
    """Return the Python of an environment with ``packages``, created on first use."""
    home = PEERS / name
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = home / "done.json"
    if not done.exists() or json.loads(done.read_text()) != list(packages):
        print(f"creating an environment with {', '.join(packages)}", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), *packages], check=True)
        done.write_text(json.dumps(list(packages)))
    return python


def process(command: Sequence[str | Path], **environment: str) -> tuple[float, float, str]:
    """Run a command; return its seconds, its peak memory in MiB and its output."""
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


@contextmanager
def figure(path: Path, size: tuple[float, float]) -> Iterator[Any]:
    """Yield a figure in the style of the reports, and write it as SVG or PNG."""
    from matplotlib.figure import Figure

    from plainfilm.report.figures.canvas import styled

    with styled(path.stem):
        drawn = Figure(figsize=size, layout="constrained", facecolor="white")
        yield drawn
        plain = {"Date": None, "Creator": None} if path.suffix == ".svg" else {}
        drawn.savefig(path, dpi=150, facecolor="white", metadata=plain)


def bars(path: Path, panels: Mapping[str, Mapping[str, Sequence[float]]], ours: str) -> None:
    """Draw medians as bars with their ranges, one panel for each quantity.

    Parameters
    ----------
    path
        Output file.
    panels
        Values of the runs of each program, by quantity with its unit.
    ours
        Start of the names of the programs to highlight.
    """
    from plainfilm.report.figures.style import FIRST, INK, QUIET

    heights = [len(panel) + 1 for panel in panels.values()]
    with figure(path, (8, 0.3 * sum(heights) + 0.3 * len(panels))) as drawn:
        grid = drawn.add_gridspec(len(panels), 1, height_ratios=heights)
        for cell, (title, panel) in zip(grid, panels.items(), strict=True):
            axes = drawn.add_subplot(cell)
            middle = [median(own) for own in panel.values()]
            colours = [FIRST[0] if name.startswith(ours) else QUIET[0] for name in panel]
            rows = range(len(panel))
            axes.barh(rows, middle, color=colours, height=0.68)
            below = [m - min(own) for m, own in zip(middle, panel.values(), strict=True)]
            above = [max(own) - m for m, own in zip(middle, panel.values(), strict=True)]
            axes.errorbar(middle, rows, xerr=(below, above), fmt="none", ecolor=INK[0], capsize=2.5)
            for row, own in zip(rows, panel.values(), strict=True):
                axes.annotate(
                    f"{median(own):,.3g}" if median(own) < 100 else f"{median(own):,.0f}",
                    (max(own), row),
                    (6, 0),
                    textcoords="offset points",
                    va="center",
                )
            axes.set_yticks(rows, list(panel))
            axes.set_xlim(0, 1.13 * max(max(own) for own in panel.values()))
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.invert_yaxis()
            axes.grid(visible=False, axis="y")
            axes.set_title(title)
