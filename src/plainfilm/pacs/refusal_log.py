"""Logs what the network process refuses, with a remedy and without naming who was refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from plainfilm.inference.log import Log

REMEDIES = {
    "refused_address": "add the address of the sender with --peer TITLE=ADDRESS",
    "refused_title": "the sender must call the AE title of --aet, and have the title that --peer "
    "gives for its address",
    "refused_tls": "the sender must use TLS and a certificate of the authority of --tls-ca",
    "refused_limit": "the sender opens too many connections at once; set a lower number there",
    "refused_memory": "several senders sent large images at once, too slowly; set a lower number "
    "of connections there",
    "no_resources": "free space on the disk of --state; the sender keeps the image",
    "mismatched": "the UIDs of the command and of the data set differ, or that of the study is not "
    "valid; correct the sender",
    "unsupported": "send CR and DX images only, or add --secondary-capture",
    "unreadable": "the sender's data set is damaged; check its transfer syntax",
    "ignored": "an image came with more than 5 different contents; check what forwards it",
}
"""What to do, by the name of the event."""

_PAUSE = 60.0  # seconds between two lines about the same event


class RefusalLog:
    """Writes a line for the first event of a name, and then at most one a minute."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._said: dict[str, tuple[int, float]] = {}

    def write(self, counts: Mapping[str, int]) -> None:
        """Compare the counts with what was said before."""
        for reason, remedy in REMEDIES.items():
            count, now = counts.get(reason, 0), self._clock()
            before, when = self._said.get(reason, (0, now - _PAUSE))
            if count > before and now - when >= _PAUSE:
                self._said[reason] = count, now
                self._log.write("refused", reason=reason, count=count, remedy=remedy)
