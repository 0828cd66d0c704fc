"""Defines the options that `plainfilm listen` and `plainfilm dicomweb` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainfilm.cli.sources import options_of, worker_count

if TYPE_CHECKING:
    from plainfilm.pacs.service_settings import ServiceSettings
    from plainfilm.pacs.settings import TlsFiles


def add_service_arguments(parser: argparse.ArgumentParser) -> None:
    """Add BUNDLE and the options of the main process."""
    parser.add_argument("bundle", metavar="RUN_OR_BUNDLE", help="folder of a run or bundle")
    add = options_of(parser)
    words = "folder for received images, results that wait, and the ledger; one service uses it"
    add("--state FOLDER", words, type=Path, required=True)
    words = "archive that gets the results: TITLE@HOST:PORT, tls:TITLE@HOST:PORT or "
    words += "https://HOST/dicom-web; can be repeated"
    add("--to DESTINATION", words, action="append", required=True)
    add("--aet TITLE", "own AE title (default: PLAINFILM)", default="PLAINFILM")
    add("--tls-cert FILE", "own certificate, for connections with TLS", type=Path)
    add("--tls-key FILE", "its private key", type=Path)
    add("--tls-ca FILE", "authority that signed the certificates of all peers", type=Path)
    add("--plain", "allow connections to other machines without encryption")
    words = "file with the user name and password, or the token, of DICOMweb servers"
    add("--credentials FILE", words, type=Path)
    add("--secondary-capture", "predict on Secondary Capture images too, not only on CR and DX")
    add("--codes FILE", "codes of labels that are not in the built-in table, as TOML", type=Path)
    add("--no-capture", "send the report only, without the picture with the heat map")
    add(
        "--quiet-seconds S",
        "seconds without a further image after which a study is answered (default: 10)",
        type=_seconds,
        default=10.0,
    )
    words = "port for health and metrics, on this machine only, or off (default: 9104)"
    add("--http-port PORT", words, type=_http_port, default=9104)
    words = "megabytes of the disk that stay free: no image is accepted below (default: 1024)"
    add("--reserve-mb MB", words, type=worker_count, default=1024)
    words = "decoding processes besides a spare one (default: one per core)"
    add("--workers N", words, type=worker_count, default=0)
    words = "concurrent runs of the network, each on one core (default: one per core)"
    add("--threads N", words, type=worker_count, default=0)
    words = "change a limit, such as pixels=30000000; can be repeated"
    add("--limit NAME=NUMBER", words, action="append", default=[])


def service_settings(args: argparse.Namespace, **more: Any) -> ServiceSettings:
    """Return the settings of the main process."""
    from plainfilm.inference.limits import InferenceLimits, parse_limits
    from plainfilm.pacs.service_settings import ServiceSettings
    from plainfilm.pacs.settings import MIB, check_title, parse_destination

    return ServiceSettings(
        bundle=args.bundle,
        state=args.state,
        title=check_title(args.aet),
        destinations=tuple(dict.fromkeys(map(parse_destination, args.to))),
        tls=tls_files(args),
        plain=args.plain,
        credentials=args.credentials,
        secondary_capture=args.secondary_capture,
        codes=args.codes,
        capture=not args.no_capture,
        quiet=args.quiet_seconds,
        http_port=args.http_port,
        reserve=args.reserve_mb * MIB,
        workers=args.workers,
        threads=args.threads,
        limits=parse_limits(args.limit, InferenceLimits()),
        **more,
    )


def tls_files(args: argparse.Namespace) -> TlsFiles | None:
    """Return the three files of TLS, or None if none is given."""
    from plainfilm.errors import UsageError
    from plainfilm.pacs.settings import TlsFiles

    given = {"--tls-cert": args.tls_cert, "--tls-key": args.tls_key, "--tls-ca": args.tls_ca}
    if not any(given.values()):
        return None
    missing = [name for name, path in given.items() if path is None]
    if missing:
        raise UsageError(
            "TLS needs a certificate, its key and an authority",
            received=f"no {' and no '.join(missing)}",
            remedy="give --tls-cert, --tls-key and --tls-ca together",
        )
    return TlsFiles(args.tls_cert, args.tls_key, args.tls_ca)


def port_number(text: str) -> int:
    """Return a port: 0 to 65535.

    >>> port_number("104")
    104
    """
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"must be a port, 0 to 65535, not {text!r}")
    return int(text)


def _http_port(text: str) -> int | None:
    return None if text == "off" else port_number(text)


def _seconds(text: str) -> float:
    """Return a number of seconds: 0 to one hour."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be seconds, 0 to 3600, not {text!r}")
    return seconds
