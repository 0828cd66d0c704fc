"""Matches the answers of archives with the requests that they answer."""

from __future__ import annotations

from pynetdicom import evt

from plainfilm.pacs.messages import N_EVENT_REPORT

_RESPONSE = 0x8000  # in a command field


class Answers:
    """Compares the messages of an archive with the one request that waits for its response.

    pynetdicom takes whatever message comes as the response to the latest request.

    Attributes
    ----------
    is_faulty
        Whether a message came that is not the next response; nothing is known after it.
    """

    def __init__(self) -> None:
        self.is_faulty = False
        self._latest = 0
        self._expected: tuple[int, int, str] | None = None

    def expect(self, request: int, uid: str) -> int:
        """Expect the response to a request about an instance; return the message ID to use."""
        self._latest = self._latest % 0xFFFF + 1
        self._expected = request | _RESPONSE, self._latest, uid
        return self._latest

    def receive(self, event: evt.Event) -> None:
        """Check a message before pynetdicom passes it on."""
        command = event.message.command_set
        if command.get("CommandField") == N_EVENT_REPORT:  # of storage commitment
            return
        expected, self._expected = self._expected, None
        was_faulty, self.is_faulty = self.is_faulty, True  # also if an attribute cannot be read
        if expected is not None:
            names = ("CommandField", "MessageIDBeingRespondedTo", "AffectedSOPInstanceUID")
            field, number, uid = (command.get(name) for name in names)
            self.is_faulty = was_faulty or (field, number, uid or expected[2]) != expected
