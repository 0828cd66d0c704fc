"""The command ``plainfilm``.

Nothing but `sys` is imported above: whoever asks for help gets it at once, and whoever presses
Ctrl-C while a verb and what it needs are being imported is told so in a line, too.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["main", "stop_writing"]

# Each verb is the module of its name in this folder; it is imported when it is asked for.
_VERBS = {
    "demo": "the whole job on drawn or given X-rays",
    "fetch": "download a public data set",
    "audit": "find what would fool the evaluation",
    "show": "count the images and draw samples",
    "train": "train a classifier and evaluate it",
    "evaluate": "evaluate a run or bundle",
    "compare": "tell two models apart on the same images",
    "report": "write the report of a run again",
    "predict": "answer for image files and folders",
    "serve": "answer over HTTP, with a web page",
    "doctor": "what is installed and what will be used",
}
_INTERRUPTED = 130


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line: of one verb, or of all where none is named.

    All verbs are listed in either case; those that are not asked for have no arguments.
    """
    import argparse

    from plainfilm import __version__

    def formatter(prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, width=_columns() - 2)

    parser = argparse.ArgumentParser(
        prog="plainfilm",
        description="Classify chest X-rays, and judge the classifier honestly.",
        epilog="example: plainfilm demo\n\nNot a medical device.",
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"plainfilm {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, words in _VERBS.items():
        if verb not in (None, name):
            verbs.add_parser(name, help=words, formatter_class=formatter)
            continue
        module = _module(name)
        sub = verbs.add_parser(
            name,
            help=words,
            description=module.__doc__,
            epilog=f"example: {module.EXAMPLE}",
            formatter_class=formatter,
            allow_abbrev=False,  # --token is not --token-file
        )
        module.add_arguments(sub)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=module.run)
    return parser


def _columns() -> int:
    """Return how wide the terminal is, as `shutil` tells it; importing that takes longer."""
    import os

    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
        except (AttributeError, ValueError, OSError):
            columns = 0
    return columns or 80


def _module(verb: str) -> ModuleType:
    import importlib

    return importlib.import_module(f"plainfilm.cli.{verb}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 the job failed, 2 wrong use, 130 interrupted.

    Without ``arguments`` it is the process's own command, and does not return but ends the process.
    When it is over it leaves Ctrl-C to the system: it is not to be answered with a traceback.
    """
    try:
        from plainfilm.cli.interrupt import Interrupts

        with Interrupts(last=arguments is None) as interrupts:
            status = _run(sys.argv[1:] if arguments is None else list(arguments), interrupts)
    except KeyboardInterrupt:  # before or after they are looked after
        status = _INTERRUPTED
    if arguments is None:
        _leave(status)
    return status


def _leave(status: int) -> None:
    """End the process without taking the interpreter apart piece by piece.

    With a training framework loaded that takes a fifth of a second; and where a wrong option was
    told while the framework was still being imported, all of the import would be waited for.
    """
    import atexit
    import contextlib
    import os

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


def _run(arguments: list[str], interrupts: object) -> int:
    debug = "--debug" in arguments
    try:
        # The first word that is no option is the verb; the command itself has no other words.
        verb = next((word for word in arguments if not word.startswith("-")), "")
        args = build_parser(verb).parse_args(arguments)
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        return stop_writing()
    except KeyboardInterrupt:
        return _tell_interruption()
    except Exception as error:
        # An interruption amid the imports of others may come out as any error of theirs.
        if getattr(interrupts, "came", False):
            return _tell_interruption()
        if debug:
            raise
        return _tell(error)
    return status


def stop_writing() -> int:
    """End well: whoever read our output has seen enough (``plainfilm predict ... | head``)."""
    import contextlib
    import os

    # What is still buffered must not raise again when the interpreter ends.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _tell_interruption() -> int:
    return _fail("interrupted; what was finished is kept, the same command continues", _INTERRUPTED)


def _tell(error: Exception) -> int:
    """Say what went wrong in words, and return the exit status that it has."""
    from plainfilm.cli.terminal import with_options
    from plainfilm.errors import PlainfilmError, UsageError

    if isinstance(error, PlainfilmError):
        return _fail(with_options(str(error)), 2 if isinstance(error, UsageError) else 1)
    if isinstance(error, MemoryError):
        return _fail("this machine has too little memory for it; take a smaller recipe or set", 1)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    # The type alone: the words of an error that nobody foresaw may quote a file.
    return _fail(
        f"a defect in plainfilm: {type(error).__name__}\n"
        "  remedy: run again with --debug and report what it shows",
        1,
    )


def _fail(message: str, status: int) -> int:
    print(f"plainfilm: {message}", file=sys.stderr)
    return status
