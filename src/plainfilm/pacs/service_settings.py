"""Settings of the main process: what it predicts with, where it keeps and sends the results."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from plainfilm.inference.limits import InferenceLimits
from plainfilm.pacs.settings import MIB, Destination, TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Settings of the main process.

    Attributes
    ----------
    bundle
        Folder of a run or bundle, as ``[NAME=]PATH``.
    state
        Folder of ledger, spool, outbox and quarantine; one service uses it at a time.
    title
        The own AE title.
    destinations
        Archives that get every result.
    tls, plain
        Certificates, and whether unencrypted connections to other machines are allowed.
    credentials
        File with the credentials of DICOMweb servers.
    secondary_capture
        Whether Secondary Capture images are predicted in addition to CR and DX.
    codes
        TOML file with the codes of labels.
    capture
        Whether a picture with the heat map is written in addition to the report.
    quiet
        Seconds without a further image after which a study is answered.
    commit
        Whether archives are asked to confirm the storage of results.
    http_port
        Port of health and metrics on the loopback; None for none.
    reserve
        Bytes of the disk that stay free.
    workers, threads
        Decoding processes, and concurrent runs of the network; 0 uses one for each core.
    """

    bundle: str
    state: Path
    title: str = "PLAINFILM"
    destinations: tuple[Destination, ...] = ()
    tls: TlsFiles | None = None
    plain: bool = False
    credentials: Path | None = None
    secondary_capture: bool = False
    codes: Path | None = None
    capture: bool = True
    quiet: float = 10.0
    commit: bool = False
    http_port: int | None = 9104
    reserve: int = 1024 * MIB
    workers: int = 0
    threads: int = 0
    limits: InferenceLimits = field(default_factory=InferenceLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOptions:
    """What is polled, and how often.

    Attributes
    ----------
    url
        Root of the DICOMweb service.
    days
        Days before today whose studies are searched for.
    every
        Seconds between two rounds.
    once
        Whether the service ends after one round, when its images are answered and their results
        were sent.
    """

    url: str
    days: int = 3
    every: float = 60.0
    once: bool = False
