"""Fetch chest X-rays from a DICOMweb archive, and send structured reports back."""

from __future__ import annotations

import argparse

from plainfilm.cli.hospital_options import add_service_arguments, service_settings
from plainfilm.cli.sources import options_of

EXAMPLE = (
    "plainfilm dicomweb runs/first --from http://localhost:8042/dicom-web "
    "--state polled --to http://localhost:8042/dicom-web --once"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_service_arguments(parser)
    add = options_of(parser.add_argument_group("about the archive"))
    words = "root of the DICOMweb service whose radiographs are fetched: https://HOST/dicom-web"
    add("--from URL", words, dest="source", required=True)
    words = "days before today whose studies are searched for, by study date (default: 3; a day "
    words += "more is searched, for other time zones)"
    add("--days N", words, type=_days, default=3)
    words = "seconds between two searches (default: 60)"
    add("--every SECONDS", words, type=_pause, default=60.0)
    add("--once", "search once, send the results, and end: with status 1 if anything failed")


def run(args: argparse.Namespace) -> int:
    from plainfilm.pacs import run_dicomweb
    from plainfilm.pacs.service_settings import PollOptions

    options = PollOptions(url=args.source, days=args.days, every=args.every, once=args.once)
    return run_dicomweb(service_settings(args), options)


def _days(text: str) -> int:
    """Return a number of days: 0 to 100,000."""
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"must be days, 0 to 100000, not {text!r}")
    return int(text)


def _pause(text: str) -> float:
    """Return a number of seconds: 1 to one day."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"must be seconds, 1 to 86400, not {text!r}")
    return seconds
