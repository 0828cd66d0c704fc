"""The network process: receives images and storage commitments, and has no model.

Standard input has ``sys.path`` in its first line and the settings in its second; the process ends
when the input ends, and so with the main process. Standard output has one line of JSON for each
change: the port once, then the counts of events. Nothing that a peer sent is ever written there.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import BinaryIO

from pynetdicom import AE, _config, evt

from plainfilm.decoding.sandbox import open_output
from plainfilm.errors import PlainfilmError
from plainfilm.pacs.guard import GuardedHandler, GuardedServer
from plainfilm.pacs.ledger import Ledger
from plainfilm.pacs.quiet import mute_libraries
from plainfilm.pacs.requests import Receiver
from plainfilm.pacs.settings import STOP, ListenSettings
from plainfilm.pacs.spool import Spool
from plainfilm.pacs.state_folder import LEDGER
from plainfilm.pacs.tls import server_context

_POLL_SECONDS = 0.1
_STACK = 512 << 10  # bytes of each thread


class Counts:
    """Counts events and writes them as lines, so that no connection waits for the reader."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    def add(self, name: str) -> None:
        """Count one event."""
        with self._changed:
            self._counts[name] += 1
            self._changed.notify()

    def write(self, **fields: object) -> None:
        """Write one line."""
        self._output.write(json.dumps(fields).encode() + b"\n")
        self._output.flush()

    def run(self, pause: float) -> None:
        """Write the counts when they have changed, not more often than once in a pause."""
        written: Counter[str] = Counter()
        with suppress(OSError, ValueError):  # the main process is gone
            while True:
                with self._changed:
                    while self._counts == written:
                        self._changed.wait()
                    written = Counter(self._counts)
                self.write(counts=written)
                time.sleep(pause)


def make_server(settings: ListenSettings, receiver: Receiver, counts: Counts) -> GuardedServer:
    """Return a server that listens; raise an OSError if the address cannot be used."""
    limits = settings.limits
    tls = server_context(settings.tls) if settings.tls else None
    ae = AE(settings.title)
    ae.maximum_pdu_size = limits.pdu
    ae.maximum_associations = 2 * limits.connections  # the server counts connections itself
    ae.acse_timeout, ae.network_timeout = limits.pdu_seconds, limits.idle_seconds
    ae.dimse_timeout = limits.idle_seconds
    server: GuardedServer = ae.make_server(
        (settings.host, settings.port),
        ae_title=settings.title,
        contexts=receiver.contexts(),
        evt_handlers=[
            (evt.EVT_C_ECHO, receiver.echo),
            (evt.EVT_C_STORE, receiver.store),
            (evt.EVT_N_EVENT_REPORT, receiver.commit),
        ],
        server_class=GuardedServer,
        request_handler=GuardedHandler,
    )
    server.configure(limits, settings.peers, tls, counts.add)
    return server


def configure_libraries() -> None:
    """Let pynetdicom keep messages in memory and be silent."""
    mute_libraries()
    _config.ENFORCE_UID_CONFORMANCE = False  # else the sender gets no status, but an abort
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.STORE_RECV_CHUNKED_DATASET = False


def restrict_process(memory: int) -> None:
    """Let this process write no core dump and take no more memory than the limit."""
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    threading.stack_size(_STACK)
    os.umask(0o077)


def accept_connections(server: GuardedServer, pause: float) -> None:
    """Accept connections until the server stops; a defect ends the process, which starts again."""
    try:
        server.serve_forever(pause)
    except BaseException:
        os._exit(2)


def receive(settings: ListenSettings, counts: Counts) -> None:
    """Receive until standard input ends; after `STOP`, let the messages that have begun end."""
    with (
        Ledger.open(settings.state / LEDGER) as ledger,
        Spool(settings.state, reserve=settings.reserve) as spool,
    ):
        receiver = Receiver(
            ledger,
            spool,
            counts.add,
            secondary_capture=settings.secondary_capture,
            commitments=settings.commitments,
        )
        server = make_server(settings, receiver, counts)
        counts.write(port=server.server_address[1])
        for run in (counts.run, lambda pause: accept_connections(server, pause)):
            threading.Thread(target=run, args=(_POLL_SECONDS,), daemon=True).start()
        asked = sys.stdin.buffer.read() == STOP
        server.shutdown()
        # If the main process died, the next one needs the state folder at once.
        end = time.monotonic() + (settings.limits.stop_seconds if asked else 0)
        while server.budget.connections and time.monotonic() < end:
            time.sleep(0.02)


def serve() -> None:
    """Run the network process."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the main process decides when to stop
    output = open_output()
    configure_libraries()
    settings = ListenSettings.from_json(sys.stdin.buffer.readline().decode())
    restrict_process(settings.limits.memory)
    counts, status = Counts(output), 1
    try:
        receive(settings, counts)
        status = 0
    except PlainfilmError:
        counts.write(error="storage")
    except socket.gaierror:
        counts.write(error="unknown-host")
    except OSError as error:
        counts.write(error=errno.errorcode.get(error.errno or 0, "OSError"))
    finally:
        os._exit(status)  # threads of connections that did not end in time end here
