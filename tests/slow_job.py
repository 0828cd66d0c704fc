"""A job that waits instead of computing, for tests of engines; run as a program, it is a driver."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm.cluster.job import ChunkResult
from plainfilm.cluster.plan import Row


@dataclass(frozen=True)
class SlowJob:
    """Writes the process and the network in which each row was worked on."""

    seconds: float
    name = "slow"

    def identity(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def open(self) -> SlowWorker:
        return SlowWorker(self.seconds)


class SlowWorker:
    """Waits for each chunk."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def run(self, rows: Sequence[Row], chunk_rows: int) -> ChunkResult:
        import pyarrow

        time.sleep(self._seconds)
        own = [str(os.getpid())] * len(rows)
        network = [str(Path("/proc/self/ns/net").readlink())] * len(rows)
        columns = {"uri": [row.uri for row in rows], "process": own, "network": network}
        return ChunkResult(pyarrow.table(columns))

    def close(self) -> None:
        pass


def main(out: str, on: str, seconds: str) -> None:
    """Run the job on an output that has a plan; print how many chunks failed."""
    from plainfilm.cluster.ledger import Ledger
    from plainfilm.cluster.open_store import open_store
    from plainfilm.cluster.plan import read_plan
    from plainfilm.cluster.run_job import run_job
    from plainfilm.errors import PlainfilmError

    # Imported, so that other processes find the class.
    from slow_job import SlowJob as Job

    store, job = open_store(out), Job(float(seconds))
    plan = read_plan(store)
    assert plan is not None
    ledger = Ledger(store, plan, job.identity(), document="slow.json")
    try:
        driven = run_job(job, ledger, stage="waiting", on=on)
    except PlainfilmError as error:
        sys.exit(f"plainfilm: {error}")
    print(*{*driven.failed.values()}, sep="\n", file=sys.stderr)
    print("finished" if ledger.finish() else "not finished", len(driven.failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
