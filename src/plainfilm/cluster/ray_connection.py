"""Connects to Ray, and explains why a cluster or a node is refused."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from typing import Any

from plainfilm._files import reason_of
from plainfilm._machine import cores
from plainfilm._optional import require
from plainfilm._text import printable
from plainfilm.errors import PlainfilmError, UsageError

_CONNECTING = 10.0  # seconds
_OBJECTS = 80 << 20  # bytes of shared memory, about the least that Ray takes; results are small


def connect(address: str | None, workers: int | None, folder: str) -> Any:
    """Return Ray, connected to a cluster or to an own Ray with its files in ``folder``."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_USAGE_STATS_ENABLED="0")
    if address is None:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # runs the same code
    else:
        _find(address)
    ray = require("ray", "cluster")
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address is None:
        import ray._private.ray_constants as constants

        # This makes Ray listen on the loopback address only, as on macOS and Windows.
        constants.ENABLE_RAY_CLUSTER = False
        ray.init(
            "local",
            num_cpus=workers or cores(),
            include_dashboard=False,
            object_store_memory=_OBJECTS,
            _temp_dir=folder,
            **quiet,
        )
        return ray
    try:
        ray.init(address, **quiet)
    except ray.exceptions.AuthenticationError as error:
        raise UsageError(
            f"the Ray cluster at {address} does not accept this machine's token",
            received=printable(str(error).strip().partition("\n")[0], 200),
            remedy="set RAY_AUTH_TOKEN_PATH to a file with the token of the cluster",
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"the Ray cluster at {address} does not accept the connection",
            received=printable(str(error).strip().partition("\n")[0], 200),
            remedy="run this command on a machine on which `ray start` has joined the cluster, "
            "with the same token and the same versions of Ray and Python",
        ) from error
    return ray


def _find(address: str) -> None:
    """Raise a UsageError unless something listens at an address; Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECTING).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"no Ray cluster at {printable(address)}",
            received=reason_of(error) if isinstance(error, OSError) else "not HOST:PORT",
            remedy="give the address that `ray start --head` printed, as HOST:PORT",
        ) from error


def refuse(
    node: str, found: Mapping[str, str | None], expected: Mapping[str, str | None]
) -> PlainfilmError:
    """Return the error of a node that has other versions or no authentication."""
    if "RAY_AUTH_MODE" in found:
        return UsageError(
            f"the Ray node {node} runs code for anyone who can connect to it",
            received=f"RAY_AUTH_MODE={found['RAY_AUTH_MODE'] or ''}",
            remedy="set RAY_AUTH_MODE=token on every machine before `ray start`",
        )
    return UsageError(
        f"the Ray node {node} has other versions than this machine",
        received="; ".join(
            f"{package}: {version or 'missing'}, here: {expected[package] or 'missing'}"
            for package, version in found.items()
        ),
        remedy="install the same versions on every machine, with constraints.txt",
    )
