"""Serve predictions of a bundle over HTTP, with a web page and an interface for programs."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path

from plainfilm.cli.sources import options_of, worker_count

EXAMPLE = "plainfilm serve runs/first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = "folder of a run or bundle; requests that name none use the first one"
    parser.add_argument("bundles", nargs="+", metavar="[NAME=]RUN_OR_BUNDLE", help=words)
    add = options_of(parser)
    add(
        "--host HOST",
        "address to listen on (default: 127.0.0.1, this machine only); others need a token",
        default="127.0.0.1",
    )
    words = "port to listen on (default: 8000); 0 selects a free one"
    add("--port PORT", words, type=_port, default=8000)
    words = "file with the bearer token that clients must send (or set PLAINFILM_TOKEN)"
    add("--token-file FILE", words, type=Path)
    words = "further host name that clients may use; can be repeated"
    add("--allow-host NAME", words, action="append", default=[])
    add(
        "--workers N",
        "decoding processes besides a spare one (default: one per core)",
        type=worker_count,
        default=0,
    )
    words = "concurrent runs of the network, each on one core (default: one per core)"
    add("--threads N", words, type=worker_count, default=0)
    add("--audit-log FILE", "file that gets a line for every image", type=Path)
    words = "change a limit, such as pixels=30000000; can be repeated"
    add("--limit NAME=NUMBER", words, action="append", default=[])


def run(args: argparse.Namespace) -> int:
    from plainfilm.inference.limits import parse_limits
    from plainfilm.serve import ServiceLimits, Settings, run_service

    settings = Settings(
        host=args.host,
        port=args.port,
        token=_token(args.token_file),
        allowed_hosts=tuple(args.allow_host),
        workers=args.workers,
        threads=args.threads,
        audit_log=args.audit_log,
        limits=parse_limits(args.limit, ServiceLimits()),
    )
    return run_service(args.bundles, settings)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"must be a port, 0 to 65535, not {text!r}")
    return int(text)


def _token(path: Path | None) -> str | None:
    """Return the token; it is never an argument, which every user of the machine can see."""
    if path is None:
        return os.environ.get("PLAINFILM_TOKEN") or None
    from plainfilm._files import MEBI, read_regular
    from plainfilm.errors import UsageError

    _warn_if_readable(path)
    try:
        return read_regular(path, MEBI).decode().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UsageError(f"the token file {path} cannot be read", received=reason) from error


def _warn_if_readable(path: Path) -> None:
    """Warn if other users of this machine can read the token."""
    if os.name == "nt":  # its access rights are not in these bits
        return
    try:
        mode = path.stat().st_mode
    except OSError:  # reading the file reports it
        return
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        message = f"warning: other users can read {path}; run chmod 600 {path}"
        print(f"plainfilm: {message}", file=sys.stderr)
