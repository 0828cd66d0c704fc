"""Ctrl-C at any time ends without a traceback, with status 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.bundle import Bundle

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

# Interrupts at the n-th import after a given one, so that the speed does not matter.
DURING_IMPORTS = """
import os, runpy, signal, sys
# Processes that a shell starts in the background ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
count, argv = int(sys.argv[1]), sys.argv[2:]
seen = 0
def press(event, args):
    global seen
    if event == "import" and (seen or args[0] == "{first}"):
        seen += 1
        if seen == count:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(press)
sys.argv = ["plainfilm", *argv]
{start}
"""
STARTS = {
    "python -m plainfilm": (
        "plainfilm.cli.main",
        'runpy.run_module("plainfilm", run_name="__main__", alter_sys=True)',
    ),
    # The first line of the script, which imports that module, is written by the installer.
    "the installed script": (
        "plainfilm.cli.interrupt",
        "from plainfilm.cli.main import main; sys.exit(main())",
    ),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("count", [1, 3, 10, 40, 120, 250])
def test_during_the_imports(
    start: tuple[str, str], count: int, make_bundle: MakeBundle, draw_grey: Draw, tmp_path: Path
) -> None:
    image = draw_grey(tmp_path / "a.png", 90)
    command = ["predict", str(make_bundle().folder), str(image)]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            DURING_IMPORTS.format(first=start[0], start=start[1]),
            str(count),
            *command,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 130, (done.returncode, done.stderr)
    assert done.stderr.count("\n") <= 1


WORKING = """
import os, signal, sys
from plainfilm.cli import main as command, report
def work(args):
    {body}
report.run = work
sys.exit(command.main())
"""


@pytest.mark.parametrize(
    "body",
    [
        # A compiled library that is interrupted during its import may raise any error.
        """
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("numpy.core.multiarray failed to import")
""",
        # Where Python cannot raise the exception, it prints a message.
        """
    class Gone:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
    gone = Gone()
    del gone
    import time
    time.sleep(600)
""",
    ],
)
def test_where_an_interrupt_cannot_be_raised(body: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKING.format(body=body), "report", "run"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr.startswith("plainfilm: interrupted")
    assert done.stderr.count("\n") == 1


def test_after_the_end_the_signal_has_its_default_action() -> None:
    code = """
import atexit, os, signal
from plainfilm.cli import main as command, report
report.run = lambda args: 0
atexit.register(os.kill, os.getpid(), signal.SIGINT)
command.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "report", "run"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGINT  # a shell shows it as 130
    assert done.stderr == ""


def test_the_handler_of_the_caller_is_restored() -> None:
    from plainfilm.cli.main import main

    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    with pytest.raises(SystemExit):
        main(["--version"])
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before
