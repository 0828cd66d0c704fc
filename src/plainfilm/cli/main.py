"""Implements the command ``plainfilm``.

Only `sys` is imported at the top: help appears at once, and Ctrl-C during the imports of a verb is
reported in one line, too.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

# Each verb is the module of that name in this package; it is imported when the verb is used. The
# name `import` belongs to Python, so its module has another one.
_VERBS = {
    "demo": "run the whole workflow once, on synthetic or given images",
    "fetch": "download a public data set",
    "audit": "find problems of a data set that distort an evaluation",
    "show": "count the images and draw samples",
    "train": "train a classifier and evaluate it",
    "search": "search for the best settings of recipes",
    "import": "make a bundle of an ONNX classifier",
    "evaluate": "evaluate a run or bundle",
    "compare": "compare two models on the same images",
    "adapt": "adapt a model's calibration and thresholds to another site",
    "report": "write the report of an evaluation again",
    "log": "send runs to MLflow or TensorBoard",
    "predict": "predict on image files and folders",
    "score": "predict on an archive of any size, with several processes",
    "serve": "serve predictions over HTTP, with a web page",
    "listen": "receive images in the hospital network, and send reports back",
    "dicomweb": "fetch images from a DICOMweb archive, and send reports back",
    "pacs": "show and clear the state of a service in the hospital network",
    "cache": "show or empty the cache of decoded images",
    "doctor": "show what is installed and what is missing",
}
_MODULES = {"import": "import_model"}
_INTERRUPTED = 130
_OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")  # of TensorFlow and PyTorch


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    It lists all verbs. Only ``verb`` gets its arguments; None gives all verbs theirs.
    """
    import argparse
    import importlib

    from plainfilm import __version__

    def formatter(prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, width=_columns() - 2)

    parser = argparse.ArgumentParser(
        prog="plainfilm",
        description="Train, evaluate and run chest X-ray classifiers.",
        epilog="example: plainfilm demo\n\nNot a medical device.",
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"plainfilm {__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for name, words in _VERBS.items():
        if verb not in (None, name):
            verbs.add_parser(name, help=words, formatter_class=formatter)
            continue
        module = importlib.import_module(f"plainfilm.cli.{_MODULES.get(name, name)}")
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
        sub.set_defaults(run=module.run, parser=sub)
    return parser


def _columns() -> int:
    """Return the width of the terminal like `shutil`, which takes longer to import."""
    import os

    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return 80


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return 0: done; 1: the work failed; 2: wrong use; 130: interrupted.

    ``arguments`` are the words after the command. None takes those of the process, and ends it.
    """
    try:
        from plainfilm.cli.interrupt import Interrupts

        with Interrupts(last=arguments is None) as interrupts:
            status = _run(sys.argv[1:] if arguments is None else list(arguments), interrupts)
    except KeyboardInterrupt:  # before or after the block that handles them
        status = _INTERRUPTED
    if arguments is None:
        _leave(status)
    return status


def _leave(status: int) -> None:
    """End the process without dismantling the interpreter.

    With a training framework loaded, that takes a fifth of a second. If a wrong option was reported
    while the framework was still being imported, it would wait for the whole import.
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
    if sys.stdout is None:  # the caller closed it
        import os

        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # Characters that the encoding of the output lacks are printed as escapes.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        # The first word that is no option is the verb; the command itself takes no other words.
        verb = next((word for word in arguments if not word.startswith("-")), "")
        parser = build_parser(verb)
        _complete_words()
        if not arguments:
            parser.print_help()
            return 0
        if verb and verb not in _VERBS:
            _refuse_verb(parser, verb)
        args, unknown = parser.parse_known_args(arguments)
        if unknown:
            _refuse_words(args.parser, unknown)
        # Findings do not repeat advice that the user has already followed.
        args.given = frozenset(word.partition("=")[0] for word in arguments if word[:2] == "--")
        from plainfilm.cli.places import check_places  # help does not wait for it

        check_places(args)
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        return stop_writing()
    except KeyboardInterrupt:
        return _report_interruption()
    except Exception as error:
        # An interruption during an import of another library may surface as any of its errors.
        if getattr(interrupts, "came", False):
            return _report_interruption()
        if debug:
            raise
        return _report(error)
    return status


def _complete_words() -> None:
    """Answer the shell's request for completions, if this call is one."""
    import os

    if "_ARGCOMPLETE" in os.environ:
        from plainfilm._optional import require

        require("argcomplete", "completion").autocomplete(build_parser())


def _refuse_verb(parser: argparse.ArgumentParser, verb: str) -> None:
    import difflib

    close = difflib.get_close_matches(verb.lower(), _VERBS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(_VERBS)}"
    parser.error(f"there is no verb {verb!r}; {hint}")


def _refuse_words(parser: argparse.ArgumentParser, words: list[str]) -> None:
    import difflib
    import re

    word = words[0].partition("=")[0]
    known = re.findall(r"--[a-z-]+", parser.format_usage())
    close = difflib.get_close_matches(word, known, n=1) if word.startswith("-") else []
    kind = "option" if word.startswith("-") else "argument"
    parser.error(f"unknown {kind} {word!r}" + (f"; did you mean {close[0]!r}?" if close else ""))


def stop_writing() -> int:
    """End normally when the reader of the output has closed it (``... | head``)."""
    import contextlib
    import os

    # What is still buffered must not raise again when the interpreter ends.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _report_interruption() -> int:
    return _fail("interrupted; finished work is kept, the same command continues", _INTERRUPTED)


def _report(error: Exception) -> int:
    """Print an error without a traceback and return its exit status."""
    from plainfilm.cli.terminal import with_options
    from plainfilm.errors import PlainfilmError, UsageError

    if isinstance(error, PlainfilmError):
        return _fail(with_options(str(error)), 2 if isinstance(error, UsageError) else 1)
    if isinstance(error, MemoryError) or type(error).__name__ in _OUT_OF_MEMORY:
        return _fail("there is not enough memory\n  remedy: take a smaller recipe or data set", 1)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    # Only the type: the message of an unforeseen error may quote a file.
    return _fail(
        f"a defect in plainfilm: {type(error).__name__}\n"
        "  remedy: run the command again with --debug and report its output",
        1,
    )


def _fail(message: str, status: int) -> int:
    sys.stdout.flush()  # what was printed before comes first, also in a file
    print(f"plainfilm: {message}", file=sys.stderr)
    return status
