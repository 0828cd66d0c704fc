"""The processes that train one network together with JAX: what they share and exchange.

Each process is a rank. It computes its part of every batch, and JAX adds the gradients of all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm._optional import require
from plainfilm.errors import ConfigError, RunError
from plainfilm.training.address import own_address
from plainfilm.training.plan import differences

_JOIN = 300  # seconds in which all ranks must have started
_HEARTBEAT = 7  # seconds of silence after which a rank is lost
_FOREVER = 30 * 24 * 3600 * 1000  # milliseconds
_FAREWELL = 1.0  # seconds in which the other ranks notice the same contradiction
_SMALLEST = 12  # bits of the length of the shortest message; each length compiles a program


class Group:
    """The ranks of one training; this process is one of them.

    A group of one exchanges nothing, and trains on any backend. ``here`` of its ranks are on this
    machine.
    """

    def __init__(self, rank: int = 0, size: int = 1, here: int = 1) -> None:
        self.rank, self.size, self.here = rank, size, here

    def rows(self, count: int) -> slice:
        """Return which of ``count`` rows this rank computes."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def broadcast(self, data: bytes | None) -> bytes | None:
        """Return the data of rank 0 on every rank."""
        if self.size == 1:
            return data
        length = -1 if data is None else len(data)
        high, low = self._broadcast(np.array([length >> 24, length & 0xFFFFFF], np.int32)).tolist()
        length = (high << 24) + low
        if length < 0:
            return None
        padded = np.zeros(1 << max(_SMALLEST, length.bit_length()), np.uint8)
        if data is not None and self.rank == 0:
            padded[:length] = np.frombuffer(data, np.uint8)
        return self._broadcast(padded)[:length].tobytes()

    def agree(self, values: dict[str, float]) -> dict[str, float]:
        """Return the numbers of rank 0, which may differ in the last digit on another machine."""
        if self.size == 1:
            return values
        data = self.broadcast(json.dumps(values).encode())
        agreed: dict[str, float] = json.loads(data or b"{}")
        return agreed

    def gather(self, part: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Return all ``count`` rows, from the `rows` of each rank."""
        if self.size == 1:
            return part
        padded = np.zeros((-(-count // self.size), *part.shape[1:]), np.float32)
        padded[: len(part)] = part
        every = np.asarray(_exchange().process_allgather(padded))
        parts = (Group(rank, self.size).rows(count) for rank in range(self.size))
        return np.concatenate(
            [rows[: part.stop - part.start] for rows, part in zip(every, parts, strict=True)]
        )

    def compare(self, topic: str, values: Mapping[str, Any]) -> None:
        """Raise a RunError on every rank whose values differ from those of rank 0, and there."""
        if self.size == 1:
            return
        client = _client()
        client.key_value_set(f"{topic}/{self.rank}", json.dumps(values))
        for rank in range(1, self.size) if self.rank == 0 else [0]:
            other = json.loads(client.blocking_key_value_get(f"{topic}/{rank}", _FOREVER))
            found = differences(values, other)
            if found:
                time.sleep(_FAREWELL)
                raise RunError(
                    f"ranks {self.rank} and {rank} would not train the same",
                    received="; ".join(found[:4]),
                    remedy="run the same command on the same data on every machine, except for "
                    "rank=",
                )

    def announce(self, event: str) -> None:
        """Let the ranks that `wait_for` an event continue."""
        _client().key_value_set(event, "1")

    def wait_for(self, event: str) -> None:
        """Wait until a rank announces an event."""
        _client().blocking_key_value_get(event, _FOREVER)

    def leave(self) -> None:
        """Wait until all ranks have finished, and compute alone from now on."""
        if self.size > 1:
            require("jax", "jax").distributed.shutdown()
            self.rank, self.size, self.here = 0, 1, 1

    @staticmethod
    def _broadcast(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(_exchange().broadcast_one_to_all(values))


def join(
    rank: int,
    size: int,
    coordinator: str,
    *,
    device: int,
    here: int,
    identity: Mapping[str, Any],
) -> Group:
    """Connect this process with the other ranks, before JAX computes anything.

    Rank 0 listens at ``coordinator`` (host:port). ``device`` is the number of the GPU of this rank,
    if there are any, ``here`` the number of ranks on this machine, and ``identity`` what all ranks
    must have in common.

    Raises
    ------
    ConfigError
        If JAX cannot do this, or the ranks have more or fewer devices than one each.
    RunError
        If the ranks do not find each other or would not train the same.
    """
    jax = require("jax", "jax")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    _bind_collectives(coordinator)
    try:
        jax.distributed.initialize(
            coordinator,
            size,
            rank,
            local_device_ids=[device],
            cluster_detection_method="deactivate",
            coordinator_bind_address=coordinator,  # by default JAX listens on every interface
            initialization_timeout=_JOIN,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except TypeError as error:
        raise ConfigError(
            "this version of JAX cannot train with several ranks",
            received=jax.__version__,
            remedy="install a newer version of jax",
        ) from error
    except RuntimeError as error:
        raise RunError(
            f"rank {rank} of {size} cannot join the others at {coordinator}",
            received=str(error).partition("\n")[0][:300],
            remedy="start every rank from 0 to ranks - 1 once, each with the same ranks= and an "
            "address of the machine of rank 0 that it can reach",
        ) from error
    group = Group(rank, size, here)
    group.compare("identity", identity)
    if jax.device_count() != size or jax.local_device_count() != 1:
        raise ConfigError(
            "each rank must have one device",
            received=f"{jax.device_count()} devices for {size} ranks",
            remedy="use as many ranks as GPUs, one on each",
        )
    return group


def _bind_collectives(coordinator: str) -> None:
    """Exchange gradients at the address of this machine that the coordinator is reached from.

    JAX has no option for it: it listens at the address of the host name, which may be one that
    other machines cannot reach, or that they can although all ranks are on this machine.
    """
    own = own_address(coordinator)
    jaxlib: Any = require("jax._src.lib", "jax")._jax
    if hasattr(jaxlib, "make_gloo_tcp_collectives"):
        make = jaxlib.make_gloo_tcp_collectives
        jaxlib.make_gloo_tcp_collectives = partial(make, hostname=own)


def _client() -> Any:
    return require("jax._src.distributed", "jax").global_state.client


def _exchange() -> Any:
    return require("jax.experimental.multihost_utils", "jax")
