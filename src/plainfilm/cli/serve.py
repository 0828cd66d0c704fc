"""Answer over HTTP, from a bundle: a web page for people, an interface for programs."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path

from plainfilm.cli.sources import worker_count

EXAMPLE = "plainfilm serve runs/first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm serve``."""
    parser.add_argument(
        "bundles",
        nargs="+",
        metavar="[NAME=]RUN_OR_BUNDLE",
        help="folder; the first one answers where none is named",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1, this machine alone); another needs a token",
    )
    parser.add_argument(
        "--port", type=_port, default=8000, help="default: 8000; 0 takes a free one"
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file whose first line clients must show as a bearer token (or set PLAINFILM_TOKEN)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name by which clients call the service, beside localhost; may be given again",
    )
    parser.add_argument(
        "--workers",
        type=worker_count,
        default=0,
        metavar="N",
        help="decoding processes (default: one per core)",
    )
    parser.add_argument(
        "--threads",
        type=worker_count,
        default=0,
        metavar="N",
        help="runs of the network at a time, each on one core (default: one per core)",
    )
    parser.add_argument(
        "--audit-log", type=Path, metavar="FILE", help="append a line here for every image answered"
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="change a limit, such as pixels=30000000; may be given again",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``plainfilm serve``."""
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
    """Return the token; never an argument, which every user of the machine can see."""
    if path is None:
        return os.environ.get("PLAINFILM_TOKEN") or None
    from plainfilm.errors import UsageError

    _warn_of_readers(path)
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"the token file {path} cannot be read", received=reason) from error


def _warn_of_readers(path: Path) -> None:
    """Say it where others of this machine may read the token."""
    if os.name == "nt":  # its permissions are not told by these bits
        return
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # told by who reads it
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        told = f"plainfilm: warning: others can read {path}; chmod 600 keeps the token to its owner"
        print(told, file=sys.stderr)
