"""The command ``thorax``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from thorax import __version__
from thorax.cli import demo, doctor, evaluate, fetch, predict, report, show, train
from thorax.errors import ThoraxError, UsageError

__all__ = ["main"]

_VERBS = (demo, fetch, show, train, evaluate, report, predict, doctor)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="thorax",
        description="Classify chest X-rays, and judge the classifier honestly.",
        epilog="example: thorax demo\n\nNot a medical device.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"thorax {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in _VERBS:
        sub = verbs.add_parser(
            verb.__name__.rpartition(".")[2],
            help=verb.HELP,
            description=verb.__doc__,
            epilog=f"example: {verb.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_arguments(sub)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=verb.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 the job failed, 2 wrong use, 130 interrupted."""
    args = build_parser().parse_args(arguments)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough (`thorax predict ... | head`). What is still
        # buffered must not raise again when the interpreter ends.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted; what was finished is kept, the same command continues", 130)
    except ThoraxError as error:
        if args.debug:
            raise
        return _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except MemoryError:
        if args.debug:
            raise
        return _fail("this machine has too little memory for it; take a smaller recipe or set", 1)
    except OSError as error:
        if args.debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    except Exception as error:
        if args.debug:
            raise
        kind = type(error).__name__
        first = str(error).strip().splitlines()[:1]
        return _fail(
            f"a defect in thorax: {kind}: {first[0] if first else ''}\n"
            "  to do: run again with --debug and report what it shows",
            1,
        )
    return status


def _fail(message: str, status: int) -> int:
    print(f"thorax: {message}", file=sys.stderr)
    return status
