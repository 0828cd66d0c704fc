"""Checks the address at which the ranks of a training find each other."""

from __future__ import annotations

import socket

from plainfilm._files import reason_of
from plainfilm.errors import ConfigError


def check_coordinator(coordinator: str, *, listens: bool) -> None:
    """Raise a ConfigError unless an address is one of a machine, with a port.

    With ``listens`` it must be one of this machine, and the port free: JAX would crash.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(
            "the coordinator must be an address with a port",
            received=coordinator,
            remedy="give HOST:PORT of the machine of rank 0, with a free port",
        )
    own_address(coordinator)
    if listens:
        with socket.socket(_family(host)) as server:
            try:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((host.strip("[]"), int(port)))
                server.listen()
            except OSError as error:
                raise ConfigError(
                    "rank 0 cannot listen at the address of the coordinator",
                    received=f"{coordinator}: {reason_of(error)}",
                    remedy="give an address of this machine with a free port, on every machine",
                ) from error


def own_address(coordinator: str) -> str:
    """Return the address of this machine that a coordinator is reached from.

    Raises
    ------
    ConfigError
        If there is no such coordinator.
    """
    host, _, port = coordinator.rpartition(":")
    with socket.socket(_family(host), socket.SOCK_DGRAM) as probe:  # sends nothing
        try:
            probe.connect((host.strip("[]"), int(port)))
        except (OSError, ValueError) as error:
            raise ConfigError(
                "the coordinator is not an address of a machine",
                received=coordinator,
                remedy="give HOST:PORT of the machine of rank 0",
            ) from error
        own: str = probe.getsockname()[0]
    return own


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if host.startswith("[") else socket.AF_INET
