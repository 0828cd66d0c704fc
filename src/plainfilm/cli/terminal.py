"""Formats the output of the command line and shows progress."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from plainfilm._progress import Progress, ProgressLines
from plainfilm.errors import PlainfilmError

_OPTIONS = {
    "class_map": "map",
    "settings": "set",
    "split_lists": "split-list",
    "value_range": "range",
}  # arguments whose option has another name
_ARGUMENT = re.compile(r"(?<![\w.-])([a-z][a-z_]*)=(?![^\s,;:.)])")


def show_progress() -> AbstractContextManager[Progress]:
    """Return a context with a progress callback: a bar on a terminal, else lines on stderr."""
    return _bar() if sys.stderr.isatty() else contextlib.nullcontext(ProgressLines())


@contextlib.contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:>20}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int, note: str = "") -> None:
            if stage not in tasks or (done < bars.tasks[tasks[stage]].completed):
                tasks[stage] = bars.add_task(stage, total=total, note="")
            bars.update(tasks[stage], completed=done, total=total, note=note)

        yield progress


@contextlib.contextmanager
def silence_libraries() -> Iterator[Callable[[str, Progress], Progress]]:
    """Hold back what libraries print to stderr; print it if the block fails.

    TensorFlow prints a banner from C++, which no setting of Python's stops. What Python prints
    stays visible, except for TensorFlow's warning of a new graph, which each of several trainings
    needs. Yields a function that takes a stage and a progress callback, and returns a callback that
    ends the silence when that stage begins.
    """
    logging.getLogger("tensorflow").addFilter(_is_no_retracing)
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(tempfile.TemporaryFile())
        try:
            kept = os.dup(2)
        except OSError:  # no stderr at all
            yield lambda stage, progress: progress
            return
        stack.callback(os.close, kept)
        before = ours = sys.stderr
        with contextlib.suppress(OSError, ValueError):  # a stream that is not a file stays
            if before.fileno() == 2:
                ours = stack.enter_context(
                    open(kept, "w", 1, before.encoding, before.errors, closefd=False)
                )
        sys.stderr = ours
        os.dup2(held.fileno(), 2)

        def end() -> None:
            if sys.stderr is ours:  # and not what a progress bar has replaced it with
                sys.stderr = before
            os.dup2(kept, 2)

        def until(last: str, progress: Progress) -> Progress:
            def notify(stage: str, done: int, total: int, note: str = "") -> None:
                if stage == last:
                    end()
                progress(stage, done, total, note)

            return notify

        try:
            yield until
        except PlainfilmError:  # it says what is wrong
            raise
        except Exception:
            end()
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            end()


def _is_no_retracing(record: logging.LogRecord) -> bool:
    return "retracing" not in record.getMessage()


def table(rows: Sequence[tuple[str, ...]], *, right: tuple[int, ...] = ()) -> str:
    """Return rows as aligned columns; the columns in ``right`` are aligned to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def shown(path: Path) -> str:
    """Return a path relative to the current folder, if it is below it."""
    with contextlib.suppress(ValueError, RuntimeError):  # a link to itself
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


def with_options(message: str) -> str:
    """Replace the Python arguments in a message (``labels=``) by options (``--labels``).

    An argument with a value (``limit=600``) is a setting and stays.
    """

    def option(found: re.Match[str]) -> str:
        return f"--{_OPTIONS.get(found[1], found[1].replace('_', '-'))}"

    return _ARGUMENT.sub(option, message)
