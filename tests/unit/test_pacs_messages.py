"""Checks of messages, UIDs and budgets of the network process, without a connection."""

from __future__ import annotations

import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator

import pytest

from dicom_wire import (
    COMMAND,
    CR,
    ECHO,
    IMAGE,
    LAST,
    VERIFICATION,
    command,
    echo_command,
    element,
    image,
    value,
)
from pacs_files import chest, odd_chests

pytest.importorskip("pydicom")

from plainfilm.pacs.budget import Budget
from plainfilm.pacs.identifiers import is_uid, read_identifiers
from plainfilm.pacs.messages import MessageCheck, ProtocolError
from plainfilm.pacs.settings import NetworkLimits

WHOLE = COMMAND | LAST


def feed(*values: bytes, longest: int = 1000) -> MessageCheck:
    check = MessageCheck(longest)
    for one in values:
        check.feed(bytearray(one))
    return check


def test_messages_of_the_service() -> None:
    assert feed(value(ECHO, WHOLE, echo_command())).is_complete
    first, second = command()[:20], command()[20:]
    check = feed(value(IMAGE, COMMAND, first), value(IMAGE, WHOLE, second) + value(IMAGE, 0, b"ab"))
    assert not check.is_complete
    check.feed(bytearray(value(IMAGE, LAST, b"cd")))
    assert check.is_complete
    check.reset()
    check.feed(bytearray(value(ECHO, WHOLE, echo_command())))
    assert check.is_complete
    report = command(0x0100, "1.2.840.10008.1.20.1", "1.2", more=element(0x1002, b"\1\0"))
    assert feed(value(5, WHOLE, report), value(5, LAST, b"x")).is_complete


@pytest.mark.parametrize(
    "values",
    [
        [b""],
        [b"\0\0"],
        [struct.pack(">L", 0)],
        [struct.pack(">LB", 1, 1)],
        [struct.pack(">LBB", 0, 1, 3) + bytes(9)],
        [struct.pack(">LBB", 1 << 31, 1, 3)],
        [value(IMAGE, LAST, b"data before a command")],
        [value(IMAGE, WHOLE, command(0x7777))],
        [value(IMAGE, WHOLE, command(0x0020))],
        [value(IMAGE, WHOLE, command(0x8001))],
        [value(IMAGE, WHOLE, command(0x0FFF))],
        [value(IMAGE, WHOLE, command(uid=""))],
        [value(IMAGE, WHOLE, command(data=False))],
        [value(ECHO, WHOLE, command(0x0030, VERIFICATION, "", data=True))],
        [value(IMAGE, WHOLE, command(sop_class=""))],
        [value(IMAGE, WHOLE, command(0x0100))],
        [value(IMAGE, WHOLE, b"\xff" * 40)],
        [value(IMAGE, WHOLE, b"")],
        [value(IMAGE, WHOLE, command()[:-3])],
        [value(IMAGE, WHOLE, command() + command())],
        [value(IMAGE, COMMAND, bytes(3000))] * 2,
        [value(IMAGE, WHOLE, command()), value(IMAGE, WHOLE, command())],
        [value(IMAGE, WHOLE, command()), value(ECHO, LAST, b"x")],
        [value(IMAGE, WHOLE, command()), value(IMAGE, 0, bytes(600)), value(IMAGE, 0, bytes(600))],
        [value(ECHO, WHOLE, echo_command()) * 2],
        [value(IMAGE, WHOLE, command()) + value(IMAGE, 0, b"ab") * 64],
        [value(ECHO, WHOLE, echo_command()), value(ECHO, LAST, b"")],
    ],
)
def test_everything_else_ends_the_association(values: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        feed(*values)


def encodings() -> Iterator[tuple[str, bytes]]:
    """Yield transfer syntaxes and the data set of a drawn image in each."""
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )

    made = chest()
    inner = Dataset()
    inner.StudyInstanceUID, inner.SOPInstanceUID = "1.2.3", "1.2.4"
    made.ReferencedImageSequence = [inner, inner]
    made["ReferencedImageSequence"].is_undefined_length = True
    inner.is_undefined_length_sequence_item = True
    for syntax, implicit, little in (
        (ExplicitVRLittleEndian, False, True),
        (ImplicitVRLittleEndian, True, True),
        (ExplicitVRBigEndian, False, False),
    ):
        out = DicomBytesIO()
        out.is_implicit_VR, out.is_little_endian = implicit, little
        del made.PixelData
        write_dataset(out, made)
        made.PixelData = b"\0\0"
        yield syntax, out.getvalue()
        if syntax == ExplicitVRLittleEndian:
            packed = zlib.compressobj(wbits=-15)
            data = packed.compress(out.getvalue()) + packed.flush()
            yield DeflatedExplicitVRLittleEndian, data


def test_uids_in_every_encoding() -> None:
    made = chest()
    seen = 0
    for syntax, data in encodings():
        found = read_identifiers(memoryview(data), syntax)
        assert found.sop_uid == made.SOPInstanceUID, syntax
        assert (found.sop_class, found.study_uid) == (made.SOPClassUID, made.StudyInstanceUID)
        seen += 1
    assert seen == 4
    # A peer that sends implicit VR in a context of explicit VR is understood.
    assert read_identifiers(memoryview(image()), "1.2.840.10008.1.2.1").sop_uid == "2.25.1"
    assert read_identifiers(memoryview(b""), "1.2.840.10008.1.2").sop_uid == ""


def test_damaged_data_sets_are_bounded() -> None:
    deep = element(0x00080016, CR.encode())
    deep += (b"\x08\0\x15\x11\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff") * 1000
    many = struct.pack("<HHL", 8, 1, 0) * 200_000
    big = zlib.compressobj(wbits=-15)
    bomb = big.compress(bytes(50_000_000)) + big.flush()
    for data, syntax in (
        (deep, "1.2.840.10008.1.2"),
        (many, "1.2.840.10008.1.2"),
        (image()[:30], "1.2.840.10008.1.2"),
        (b"\x08\0\x16\0\xff\xff\xff\xff" + bytes(50), "1.2.840.10008.1.2"),
        (b"\xff" * 100, "1.2.840.10008.1.2.1.99"),
        (bomb, "1.2.840.10008.1.2.1.99"),
    ):
        began = time.monotonic()
        with pytest.raises(ValueError, match="damaged"):
            read_identifiers(memoryview(data), syntax)
        assert time.monotonic() - began < 2


def test_uids_of_odd_files() -> None:
    import io

    from pydicom import dcmread

    for name, data in odd_chests("ordinary", "Korean name", "few attributes").items():
        made = dcmread(io.BytesIO(data))
        start = 144 + int.from_bytes(data[140:144], "little")
        found = read_identifiers(memoryview(data)[start:], made.file_meta.TransferSyntaxUID)
        assert found.sop_uid == made.SOPInstanceUID, name
        assert found.study_uid == made.StudyInstanceUID, name


@pytest.mark.parametrize("text", ["", "1..2", "../../x", "1.02", "1" * 65, "1.2\n", "1.2 "])
def test_invalid_uids(text: str) -> None:
    assert is_uid("2.25.1")
    assert not is_uid(text)


def test_one_address_never_has_everything() -> None:
    limits = NetworkLimits(connections=3, connections_per_address=2, message=100, all_messages=150)
    budget = Budget(limits)
    assert [budget.connect("a") for _ in range(3)] == [True, True, False]
    assert [budget.connect("b") for _ in range(2)] == [True, False]
    budget.disconnect("a")
    assert budget.connect("b")
    assert budget.connections == 3


def test_an_address_leaves_as_much_memory_as_it_takes() -> None:
    budget = Budget(NetworkLimits(message=100, all_messages=150, turn_seconds=0))
    taken: Counter[str] = Counter()

    def take(message: str, count: int) -> bool:
        found = budget.take(message, message[0], taken[message], count, lambda: False)
        taken[message] += count if found else 0
        return found

    assert take("a1", 15) and take("a2", 10)
    assert take("a1", 50)  # in the reserved room, and its other bytes too
    assert take("a2", 15) and not take("a2", 1) and not take("a3", 1)
    assert take("b1", 12) and not take("b1", 1)
    assert take("c1", 6)
    assert take("a1", 35)
    assert not budget.is_blocking("a1")  # no other message waits
    for message in ("a1", "a2", "b1", "c1"):
        budget.give_back(message, message[0], taken.pop(message))
    assert not any(budget._bytes.values()) and budget._large is None
    assert take("a1", 25) and take("b1", 12) and not budget._waiting


def test_addresses_take_turns_in_the_reserved_room() -> None:
    budget = Budget(NetworkLimits(message=100, all_messages=100, turn_seconds=0))
    order: list[str] = []

    def send(message: str) -> None:
        assert budget.take(message, message[0], 0, 100, lambda: True)
        order.append(message)
        while message == "a1" and len(budget._waiting) < 3:
            time.sleep(0.001)
        assert budget.is_blocking(message) == (len(order) < 4)
        budget.give_back(message, message[0], 100)

    threads = []
    for number, message in enumerate(("a1", "a2", "b1", "c1")):
        threads.append(threading.Thread(target=send, args=(message,)))
        threads[-1].start()
        while len(order) + len(budget._waiting) <= number:
            time.sleep(0.001)
    for thread in threads:
        thread.join(5)
    assert order == ["a1", "b1", "c1", "a2"]
