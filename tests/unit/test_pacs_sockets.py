"""A peer that sends a message in two pieces does not wait for our acknowledgement."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from plainfilm.pacs.sockets import acknowledge_at_once


def round_trips(*, at_once: bool) -> float:
    """Return the seconds of the fastest of ten requests in two pieces, each with a response."""

    def respond() -> None:
        own, _ = server.accept()
        with own:
            for piece in range(20):
                own.recv(1)
                if at_once:
                    acknowledge_at_once(own)
                if piece % 2:
                    own.sendall(b"r")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=respond)
        thread.start()
        took = []
        with socket.create_connection(server.getsockname(), timeout=10) as peer:
            for _ in range(10):
                began = time.perf_counter()
                peer.sendall(b"a")
                peer.sendall(b"b")
                peer.recv(1)
                took.append(time.perf_counter() - began)
        thread.join()
    return min(took[5:])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the option is of Linux")
def test_the_second_piece_of_a_message_does_not_wait() -> None:
    assert round_trips(at_once=True) < 0.035 < round_trips(at_once=False)


def test_a_connection_that_is_gone_is_no_error() -> None:
    own = socket.socket()
    own.close()
    acknowledge_at_once(own)
