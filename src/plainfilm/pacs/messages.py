"""Checks DICOM messages while they arrive, before pynetdicom decodes them.

pynetdicom keeps a message of any length, decodes a command set of any length, and loses its reader
thread on commands that it does not know. Only the requests of this service pass: C-ECHO, C-STORE
and N-EVENT-REPORT, one at a time, each as one command followed by its data set.
"""

from __future__ import annotations

from struct import Struct, unpack_from

C_STORE, C_ECHO, N_EVENT_REPORT, N_ACTION = 0x0001, 0x0030, 0x0100, 0x0130
_LONGEST_COMMAND = 4096  # bytes; a C-STORE command has about 200
LONGEST_REPORT = 16 << 10  # bytes; a result that is named has about 200, and there are 16
_MOST_VALUES = 64  # in a PDU; there is usually one
_NO_DATA_SET = 0x0101
_GROUP_LENGTH, _SOP_CLASS, _FIELD, _MESSAGE_ID = 0x0000, 0x0002, 0x0100, 0x0110
_DATA_SET_TYPE, _SOP_INSTANCE, _EVENT_TYPE = 0x0800, 0x1000, 0x1002
_NUMBERS = (_FIELD, _MESSAGE_ID, _DATA_SET_TYPE, _EVENT_TYPE)

_VALUE_HEAD = Struct(">LBB")  # of a presentation data value: length, context, control header
_ELEMENT_HEAD = Struct("<HHL")


class ProtocolError(Exception):
    """The peer broke a rule of the protocol or a limit; its association ends."""


class MessageCheck:
    """Follows the messages of one association.

    Parameters
    ----------
    longest
        Bytes of the data set of a C-STORE request.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self.reset()

    def reset(self) -> None:
        """Expect the next command."""
        self.is_complete = False
        self._command = bytearray()
        self._context: int | None = None
        self._left: int | None = None  # bytes of the data set that may follow

    def feed(self, pdu: bytearray) -> None:
        """Check the values of a P-DATA-TF PDU; raise a ProtocolError."""
        at = count = 0
        if not pdu:
            raise ProtocolError("a PDU without values")
        while at < len(pdu):
            count += 1
            if count > _MOST_VALUES:
                raise ProtocolError("a PDU with too many values")
            if len(pdu) - at < _VALUE_HEAD.size:
                raise ProtocolError("an incomplete value")
            length, context, control = _VALUE_HEAD.unpack_from(pdu, at)
            start, at = at + _VALUE_HEAD.size, at + 4 + length
            if length < 2 or at > len(pdu):
                raise ProtocolError("a value with an invalid length")
            if self.is_complete:
                raise ProtocolError("a request before the response to the last one")
            if self._context not in (None, context):
                raise ProtocolError("a message in two presentation contexts")
            self._context = context
            last = bool(control & 2)
            if control & 1:
                self._add_command(pdu[start:at], last)
            else:
                self._add_data(at - start, last)

    def _add_command(self, part: bytearray, last: bool) -> None:
        """Add a part of the command."""
        if self._left is not None:
            raise ProtocolError("a command within a data set")
        self._command += part
        if len(self._command) > _LONGEST_COMMAND:
            raise ProtocolError("a command that is too long")
        if last:
            field, self.is_complete = _read_command(self._command)
            self._left = self._longest if field == C_STORE else LONGEST_REPORT

    def _add_data(self, count: int, last: bool) -> None:
        """Count a part of the data set."""
        if self._left is None:
            raise ProtocolError("data before a command")
        self._left -= count
        if self._left < 0:
            raise ProtocolError("a message that is too long")
        self.is_complete = last


def _read_command(command: bytearray) -> tuple[int, bool]:
    """Return the command field, and whether the message has no data set."""
    found: dict[int, bytes] = {}
    at, last = 0, -1
    while at < len(command):
        if len(command) - at < _ELEMENT_HEAD.size:
            raise ProtocolError("an incomplete command")
        group, element, length = _ELEMENT_HEAD.unpack_from(command, at)
        start, at = at + _ELEMENT_HEAD.size, at + _ELEMENT_HEAD.size + length
        if group or element <= last or at > len(command):
            raise ProtocolError("a damaged command")
        found[element], last = bytes(command[start:at]), element
    numbers = {
        key: unpack_from("<H", found[key])[0] for key in _NUMBERS if len(found.get(key, ())) == 2
    }
    field, has_data = numbers.get(_FIELD), numbers.get(_DATA_SET_TYPE) != _NO_DATA_SET
    needed = {
        C_ECHO: has_data is False,
        C_STORE: has_data and bool(found.get(_SOP_INSTANCE)),
        N_EVENT_REPORT: has_data and _EVENT_TYPE in numbers,
    }
    if field is None or not needed.get(field, False):
        raise ProtocolError("a command that this service does not have")
    if not {_MESSAGE_ID, _DATA_SET_TYPE} <= numbers.keys() or not found.get(_SOP_CLASS):
        raise ProtocolError("an incomplete command")
    return field, not has_data
