"""Options of sockets that decide how long small messages take."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


def acknowledge_at_once(own: Any) -> None:
    """Acknowledge what was received, and what comes next, without a delay.

    A peer that sends a message in two pieces, as Orthanc and pynetdicom do, may wait with the
    second one for the acknowledgement of the first, which Linux delays by 40 ms. The system
    switches the option off again, so it is set for each piece. Other systems do not have it.
    """
    if _QUICK_ACK is not None:
        with contextlib.suppress(OSError):  # the connection is gone, or not of TCP
            own.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
