"""What a data set holds that would fool its evaluation, before anything is learnt from it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plainfilm import __version__, _files
from plainfilm._progress import Progress, silent
from plainfilm.audit.baselines import Probe, probe
from plainfilm.audit.clusters import cluster, join, links_of, same_files, superfluous
from plainfilm.audit.copies import Copies, find_copies
from plainfilm.audit.evidence import SIDE, Evidence, glance, look
from plainfilm.audit.files import (
    check_colour,
    check_formats,
    check_origin,
    check_readable,
    check_sizes,
)
from plainfilm.audit.labels import (
    check_balance,
    check_precision,
    check_prevalence,
    check_unknown,
)
from plainfilm.audit.leaks import (
    check_copies,
    check_likeness,
    check_patient_keys,
    check_patients,
)
from plainfilm.audit.quality import (
    check_contrast,
    check_letters,
    check_poses,
    check_strangers,
)
from plainfilm.audit.shortcuts import check_shift, check_shortcuts
from plainfilm.data.cache import Cache, default_folder
from plainfilm.data.file_hashes import hash_files
from plainfilm.data.fill import fill_cache
from plainfilm.data.manifest import LeftOut, Manifest
from plainfilm.data.sources import load_dataset
from plainfilm.errors import SourceError
from plainfilm.pixels import read_image_and_colour
from plainfilm.records import Finding, PixelSpec

__all__ = ["SCHEMA", "Audit", "audit_dataset"]

SCHEMA = 1
_FEW_COPIES = 0.01
_SAME_AS = {"patient-leak": "patient-overlap", "validation-too-small": "validation-too-small"}
_SEVERITY = {"serious": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """What an audit found.

    Attributes
    ----------
    manifest
        What was audited.
    findings
        The most severe first.
    probes
        Every question to a cheat, also those with a harmless answer.
    images
        Number of images that were looked at.
    quick
        Whether no image was opened.
    """

    manifest: Manifest
    findings: tuple[Finding, ...]
    probes: tuple[Probe, ...]
    images: int
    quick: bool = False

    @property
    def serious(self) -> tuple[Finding, ...]:
        """The findings that make an evaluation worthless, or the data unusable in part."""
        return tuple(f for f in self.findings if f.severity == "serious")

    @property
    def exclusions(self) -> Mapping[str, str]:
        """Id of every record that is better left out, to the check that says so."""
        return {
            identity: finding.check
            for finding in reversed(self.findings)
            for identity in finding.exclude
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "schema": SCHEMA,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "plainfilm": __version__,
            "quick": self.quick,
            "dataset": {"name": self.manifest.name, "hash": self.manifest.hash},
            "counts": self.manifest.describe(),
            "images": self.images,
            "findings": [
                {
                    "check": f.check,
                    "severity": f.severity,
                    "problem": f.problem,
                    "count": f.count,
                    "consequence": f.consequence,
                    "remedy": f.remedy,
                    "files": [*f.files],
                    "groups": [[*group] for group in f.groups],
                }
                for f in self.findings
            ],
            "probes": [one.to_json() for one in self.probes],
            "excludable": len(self.exclusions),
        }

    def write(self, path: str | Path) -> None:
        """Write it as JSON."""
        _files.write_json(Path(path), self.to_json())

    def write_exclusions(self, path: str | Path) -> int:
        """Write what is better left out as CSV (id, check), and return how many records that is.

        `plainfilm.train` takes the file: ``exclude=``.
        """
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["id", "check"])
        rows.writerows(sorted(self.exclusions.items()))
        _files.write_text(Path(path), text.getvalue())
        return len(self.exclusions)


def audit_dataset(
    data: Manifest | str | Path | Sequence[str | Path],
    *,
    quick: bool = False,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Audit:
    """Audit a data set.

    Parameters
    ----------
    data
        A manifest, or what `plainfilm.load_dataset` takes.
    quick
        Whether to open no image: file sizes, names, labels, patients and exact copies alone.
    cache, workers
        As for `plainfilm.train`.

    Returns
    -------
    audit
        Nothing is changed or left out: what to do is said, and done by whoever asks for it.

    Raises
    ------
    SourceError
        If not one of the files is an image.
    """
    if isinstance(data, Manifest):
        manifest = data
    else:
        manifest = load_dataset(*([data] if isinstance(data, str | Path) else data))
    evidence = (_glance if quick else _look)(manifest, cache, workers, progress)
    if not len(evidence):
        raise SourceError(
            f"none of the files of {manifest.name} is an image",
            received=evidence.left_out[0].problem if evidence.left_out else "no files",
            remedy="give the folder or table of the radiographs",
        )
    progress("auditing", 0, 1)
    # Side by side on several cores, each with its own small products: a product that is itself
    # spread over the cores waits for all of them, again and again.
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max_workers=3) as pool:
        known = same_files(evidence.hashes)
        search = pool.submit(find_copies, evidence)
        questions = pool.submit(probe, cluster(evidence, known))
        checked = _check_images(evidence)
        copies, probes = search.result(), questions.result()
        near = [(pair.first, pair.second) for pair in copies.near]
        every = join([*links_of(known), *links_of(copies.exact), *near])
        if superfluous(every) - superfluous(known) > _FEW_COPIES * len(evidence):
            # So many more copies than were known by their bytes would pass for evidence.
            probes = probe(cluster(evidence, every))
    checked += _check_set(evidence, copies, probes)
    # What the listing or the parting has said already in other words is not said twice.
    said = {_SAME_AS.get(finding.check) for finding in checked}
    findings = [*(f for f in manifest.findings if f.check not in said), *checked]
    findings.sort(key=lambda finding: _SEVERITY[finding.severity])
    progress("auditing", 1, 1)
    return Audit(manifest, tuple(findings), probes, len(evidence), quick)


def _look(
    manifest: Manifest, folder: str | Path | None, workers: int | None, progress: Progress
) -> Evidence:
    cache: Cache = fill_cache(
        manifest,
        PixelSpec(SIDE),
        folder=folder,
        workers=workers,
        progress=progress,
        reader=read_image_and_colour,
    )
    return look(manifest, cache)


def _glance(
    manifest: Manifest, folder: str | Path | None, workers: int | None, progress: Progress
) -> Evidence:
    place = Path(folder) if folder is not None else default_folder()
    files, unread = hash_files(manifest.records, place, progress)
    digests = {identity: content.digest for identity, content in files.items()}
    gone = [
        LeftOut(record.id, record.path, unread[record.id].reason, unread[record.id].problem)
        for record in manifest.records
        if record.id in unread
    ]
    return glance(manifest, digests, gone)


def _check_images(evidence: Evidence) -> list[Finding]:
    return [
        *check_readable(evidence),
        *check_formats(evidence),
        *check_colour(evidence),
        *check_sizes(evidence),
        *check_origin(evidence),
        *check_contrast(evidence),
        *check_poses(evidence),
        *check_strangers(evidence),
        *check_letters(evidence),
    ]


def _check_set(evidence: Evidence, copies: Copies, probes: Sequence[Probe]) -> list[Finding]:
    return [
        *check_copies(evidence, copies),
        *check_likeness(evidence, copies),
        *check_patients(evidence),
        *check_patient_keys(evidence),
        *check_unknown(evidence),
        *check_balance(evidence),
        *check_prevalence(evidence),
        *check_precision(evidence),
        *check_shortcuts(evidence, probes),
        *check_shift(evidence, probes),
    ]
