"""Opens a job in the process of a worker."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from plainfilm._files import explain_oserror, reason_of
from plainfilm.cluster.job import Job, Outcome
from plainfilm.cluster.ledger import Ledger
from plainfilm.cluster.open_store import open_store
from plainfilm.cluster.plan import Chunk, Plan, read_plan
from plainfilm.cluster.retry import run_again
from plainfilm.errors import PlainfilmError, RunError

__all__ = ["OpenJob"]


class OpenJob:
    """A job that is open in this process, with the ledger of its output.

    With ``retry``, the chunks have parts, and the rows in them with a temporary error are worked on
    again.
    """

    def __init__(self, job: Job, out: str, *, retry: bool = False) -> None:
        try:
            self._open(job, out, retry)
        except OSError as error:
            where = f"the temporary files ({error.filename or 'TMPDIR'}) of {socket.gethostname()}"
            raise explain_oserror(error, where) from error

    def _open(self, job: Job, out: str, retry: bool) -> None:
        """Open plan, identity and job."""
        store = open_store(out)
        plan = read_plan(store)
        if plan is None:
            raise RunError(
                "the output has no plan on this machine",
                received=f"{out} on {socket.gethostname()}",
                remedy="give an output that all machines see under this name",
            )
        _check_roots(plan)
        self._ledger = Ledger(store, plan, job.identity(), document=f"{job.name}.json")
        self._worker = job.open()
        self._retry = retry

    def run(self, chunk: Chunk) -> Outcome:
        """Work on a chunk and commit its part; raise nothing."""
        try:
            if self._retry:
                result = run_again(self._ledger, self._worker, chunk)
            elif self._ledger.is_done(chunk):
                return Outcome(chunk.rows)
            else:
                result = self._worker.run(self._ledger.plan.rows(chunk), chunk.rows)
            committed = self._ledger.commit(chunk, result.table, result.counts, replace=self._retry)
            return Outcome(chunk.rows, dict(result.counts), committed)
        except PlainfilmError as error:
            return Outcome(error=error)
        except OSError as error:  # as of a full disk
            return Outcome(problem=reason_of(error))
        except Exception as error:
            # Only the type: the message of an unforeseen error may quote a file.
            return Outcome(problem=f"a defect in plainfilm: {type(error).__name__}")

    def close(self) -> None:
        """End what the worker started."""
        self._worker.close()


def _check_roots(plan: Plan) -> None:
    """Raise a RunError if a folder of the archive is missing or empty on this machine."""
    for root in plan.index.roots:
        with contextlib.suppress(OSError, ValueError):  # of a NUL byte
            if any(Path(root).iterdir()):
                continue
        raise RunError(
            "the archive is not on this machine",
            received=f"{root} on {socket.gethostname()}",
            remedy="mount it under this name on every machine",
        )
