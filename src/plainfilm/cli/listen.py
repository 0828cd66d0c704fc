"""Receive chest X-rays in the hospital network, and send structured reports back to the archive."""

from __future__ import annotations

import argparse

from plainfilm.cli.hospital_options import add_service_arguments, port_number, service_settings
from plainfilm.cli.sources import options_of

EXAMPLE = "plainfilm listen runs/first --state /srv/plainfilm --to ORTHANC@localhost:4242"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_service_arguments(parser)
    add = options_of(parser.add_argument_group("about the peers"))
    words = "system that may send images: its AE title and its IP address; can be repeated "
    words += "(default: every title, from this machine only)"
    add("--peer TITLE=ADDRESS", words, action="append", default=[])
    words = "address to listen on (default: 127.0.0.1, or 0.0.0.0 if a peer is another machine)"
    add("--host HOST", words)
    words = "port to listen on (default: 11112); 0 selects a free one"
    add("--port PORT", words, type=port_number, default=11112)
    words = "keep results until the archive, which must be a peer, confirms that it has stored them"
    add("--commit", words)


def run(args: argparse.Namespace) -> int:
    from plainfilm.pacs import run_listen
    from plainfilm.pacs.settings import ListenSettings, default_host, parse_peer

    settings = service_settings(args, commit=args.commit)
    peers = tuple(map(parse_peer, args.peer))
    listening = ListenSettings(
        title=settings.title,
        host=args.host or default_host(peers),
        port=args.port,
        state=settings.state,
        peers=peers,
        tls=settings.tls,
        secondary_capture=settings.secondary_capture,
        commitments=settings.commit,
        reserve=settings.reserve,
    )
    return run_listen(settings, listening)
