"""Settings of the hospital network: peers, destinations, certificates and limits.

The main process passes the settings of its network process as JSON, see ``ListenSettings.to_json``.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from plainfilm.errors import UsageError
from plainfilm.inference.addresses import is_loopback

MIB = 1 << 20
STOP = b"stop\n"
"""What the main process writes after the settings when it stops in order."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")  # PS3.5, VR AE: no backslash
_TLS_OPTIONS = "--tls-cert, --tls-key and --tls-ca"


@dataclass(frozen=True, slots=True)
class Peer:
    """A system that may send images: its AE title, accepted from its address only."""

    title: str
    address: str


@dataclass(frozen=True, slots=True)
class DicomDestination:
    """An archive that results are sent to by C-STORE."""

    title: str
    host: str
    port: int
    tls: bool = False

    @property
    def name(self) -> str:
        """The text that ``parse_destination`` reads."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls:' if self.tls else ''}{self.title}@{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class WebDestination:
    """An archive that results are sent to by STOW-RS."""

    url: str

    @property
    def name(self) -> str:
        """The text that ``parse_destination`` reads."""
        return self.url


Destination = DicomDestination | WebDestination


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files in PEM format: the own certificate, its key, and the authority of all peers."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLimits:
    """Limits of the network process.

    Attributes
    ----------
    connections, connections_per_address
        Connections at the same time; further ones are closed at once.
    pdu
        Bytes of a PDU of an association, offered to the peer.
    first_pdu
        Bytes of a PDU before the association is established.
    message
        Bytes of one image.
    all_messages
        Bytes of all messages that are being received. Those of one image are reserved for a large
        one; the others share the rest.
    pdu_seconds, handshake_seconds, idle_seconds
        Deadlines: of each PDU received or sent, of the TLS handshake, and between two PDUs.
    message_seconds
        Deadline of a message, from its first byte to its response.
    turn_seconds
        Deadline of a large message that others wait for.
    stop_seconds
        Time that running associations have to end when the service stops.
    memory
        Bytes of memory that the process may reserve (``RLIMIT_DATA``); 0 sets no limit. It
        uses far less; the limit stops a defect before the machine has no memory left.
    """

    connections: int = 16
    connections_per_address: int = 4
    pdu: int = 128 << 10
    first_pdu: int = 64 << 10
    message: int = 96 * MIB
    all_messages: int = 128 * MIB
    pdu_seconds: float = 10.0
    handshake_seconds: float = 5.0
    idle_seconds: float = 30.0
    message_seconds: float = 300.0
    turn_seconds: float = 60.0
    stop_seconds: float = 10.0
    memory: int = 512 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Settings of the network process.

    Attributes
    ----------
    title
        The own AE title, which peers must call.
    host, port
        Address to listen on. Port 0 selects a free one.
    peers
        Systems that may connect. Without any, every AE title may, from the loopback only.
    state
        Folder of spool and ledger.
    tls
        Certificates; None accepts unencrypted connections.
    secondary_capture
        Whether Secondary Capture images are accepted in addition to CR and DX.
    commitments
        Whether reports of storage commitment are accepted.
    reserve
        Bytes of the disk that stay free: images are refused below.
    """

    title: str
    host: str
    port: int
    state: Path
    peers: tuple[Peer, ...] = ()
    tls: TlsFiles | None = None
    secondary_capture: bool = False
    commitments: bool = False
    reserve: int = 1024 * MIB
    limits: NetworkLimits = field(default_factory=NetworkLimits)

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> ListenSettings:
        """Read what ``to_json`` wrote."""
        values = json.loads(text)
        values["state"] = Path(values["state"])
        values["peers"] = tuple(Peer(**peer) for peer in values["peers"])
        if values["tls"] is not None:
            values["tls"] = TlsFiles(**{name: Path(path) for name, path in values["tls"].items()})
        values["limits"] = NetworkLimits(**values["limits"])
        return cls(**values)


def check_title(text: str) -> str:
    """Return an AE title, or raise a UsageError."""
    if not _TITLE.fullmatch(text):
        raise UsageError(
            "this is not an AE title",
            received=repr(text[:40]),
            remedy="use 1 to 16 letters, digits, underscores or hyphens: XRAY_1",
        )
    return text


def parse_peer(text: str) -> Peer:
    """Read a peer from ``TITLE=ADDRESS``."""
    title, _, address = text.rpartition("=")
    try:
        address = plain_address(address.strip("[]"))
    except ValueError:
        raise UsageError(
            "a peer has an AE title and an IP address",
            received=repr(text[:80]),
            remedy="write --peer ORTHANC=10.0.0.5; a host name is not accepted",
        ) from None
    return Peer(check_title(title), address)


def parse_destination(text: str) -> Destination:
    """Read a destination from ``TITLE@HOST:PORT``, ``tls:TITLE@HOST:PORT`` or a DICOMweb URL."""
    if text.partition("://")[0] in ("http", "https"):
        return _parse_url(text)
    rest = text.removeprefix("tls:")
    title, _, address = rest.rpartition("@")
    host, _, port = address.rpartition(":")
    if (
        not title
        or not _is_host(host)
        or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)
    ):
        raise UsageError(
            "this is not a destination",
            received=repr(text[:80]) if "//" not in text else "a URL of another scheme",
            remedy="write --to ORTHANC@host:4242, --to tls:ORTHANC@host:2762, "
            "or --to https://host/dicom-web",
        )
    return DicomDestination(check_title(title), host.strip("[]"), int(port), text != rest)


def _parse_url(text: str) -> WebDestination:
    """Read a DICOMweb URL; credentials in it are never repeated."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or not text.isprintable() or " " in text:
        raise UsageError(
            "this is not the URL of a DICOMweb service", remedy="write https://host/dicom-web"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "the URL has credentials, a query or a fragment",
            received=f"a URL of the host {host}",
            remedy="write https://host/dicom-web, and the credentials into the file of "
            "--credentials",
        )
    return WebDestination(text.rstrip("/"))


def _is_host(text: str) -> bool:
    """Return whether this is a host name, an IPv4 address, or an IPv6 address in brackets."""
    if not text.startswith("["):
        return bool(_HOST.fullmatch(text))
    try:
        return text.endswith("]") and ipaddress.ip_address(text[1:-1]).version == 6
    except ValueError:
        return False


def plain_address(text: str) -> str:
    """Return an IP address without a scope, and an IPv4 address that was mapped to IPv6."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return str(getattr(found, "ipv4_mapped", None) or found)


def default_host(peers: Sequence[Peer]) -> str:
    """Return the address to listen on: of the loopback if every peer uses it."""
    return "127.0.0.1" if all(is_loopback(peer.address) for peer in peers) else "0.0.0.0"


def check_encryption(
    destinations: Sequence[Destination],
    tls: TlsFiles | None,
    *,
    plain: bool,
    host: str | None = None,
) -> None:
    """Raise a UsageError if images or results would leave the machine without encryption.

    Parameters
    ----------
    destinations
        The archives that results are sent to.
    tls
        Certificates of ``--tls-cert``, ``--tls-key`` and ``--tls-ca``.
    plain
        Whether unencrypted connections are allowed.
    host
        Address to listen on; None if the service does not listen.
    """
    if tls is None and any(isinstance(to, DicomDestination) and to.tls for to in destinations):
        raise UsageError(
            "a destination uses TLS, which needs certificates",
            received="tls: without certificates",
            remedy=f"add {_TLS_OPTIONS}",
        )
    if plain:
        return
    if host is not None and tls is None and not is_loopback(host):
        raise UsageError(
            "other machines can reach this address, so connections must be encrypted",
            received=f"the address {host} and no certificates",
            remedy=f"add {_TLS_OPTIONS}; or --plain in a network that you trust",
        )
    for number, to in enumerate(destinations, 1):
        if not is_protected(to):
            raise UsageError(
                "results would be sent without encryption",
                received=f"destination {number}: {to.name}",
                remedy="write tls:TITLE@host:port or https://; "
                "or add --plain in a network that you trust",
            )


def is_protected(to: Destination) -> bool:
    """Return whether a destination uses encryption or is on this machine."""
    if isinstance(to, DicomDestination):
        return to.tls or is_loopback(to.host)
    parts = urlsplit(to.url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")
