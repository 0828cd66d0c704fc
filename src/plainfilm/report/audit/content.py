"""What an audit holds for a page or a report, from the audit itself or from its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm import _files
from plainfilm.audit.run import SCHEMA
from plainfilm.data import Manifest
from plainfilm.records import Finding
from plainfilm.report.audit.pictures import Thumbnails

__all__ = ["AuditContent", "read_audit", "unreadable"]

_SEVERITIES = ("serious", "warning", "note")
_UNREADABLE = {
    "corrupt",
    "empty",
    "missing",
    "needs-codec",
    "no-pixels",
    "not-an-image",
    "too-large",
    "truncated",
    "unreadable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContent:
    """What a report shows of an audit.

    Attributes
    ----------
    findings
        The most severe first.
    probes
        Plain values, as `Probe.to_json` writes them.
    quick
        Whether no image was opened.
    thumbnails
        Gives pictures of the files concerned; None shows none.
    problem
        Why there is nothing to show although there is a file, or an empty string.
    """

    findings: tuple[Finding, ...] = ()
    probes: tuple[Mapping[str, Any], ...] = ()
    quick: bool = False
    thumbnails: Thumbnails | None = None
    problem: str = ""

    def beyond(self, known: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return the serious findings that are not among those known already."""
        told = {(finding.check, finding.problem) for finding in known}
        return tuple(
            finding
            for finding in self.findings
            if finding.severity == "serious" and (finding.check, finding.problem) not in told
        )


def read_audit(path: Path, manifest: Manifest) -> AuditContent | None:
    """Read what a training's audit left; None where it left none.

    Parameters
    ----------
    path
        ``audit.json`` of a run.
    manifest
        Where the files lie that the findings name.
    """
    if not path.is_file():
        return None
    again = "audit the data again: plainfilm audit DATA"
    try:
        values = _files.read_json(path)
        if not isinstance(values, Mapping) or values.get("schema") != SCHEMA:
            return AuditContent(problem=f"audit.json is of another version of plainfilm; {again}")
        findings = [_finding(row) for row in values["findings"]]
        probes = tuple(dict(row) for row in values["probes"])
    except (OSError, ValueError, KeyError, TypeError):
        return AuditContent(problem=f"audit.json is damaged; {again}")
    findings.sort(key=lambda finding: _SEVERITIES.index(finding.severity))
    return AuditContent(
        findings=tuple(findings),
        probes=probes,
        quick=bool(values.get("quick")),
        thumbnails=Thumbnails(manifest, unreadable(findings)),
    )


def unreadable(findings: Sequence[Finding]) -> set[str]:
    """Return the ids of the files that could not be read."""
    return {name for finding in findings if finding.check in _UNREADABLE for name in finding.files}


def _finding(row: Mapping[str, Any]) -> Finding:
    if row["severity"] not in _SEVERITIES:
        raise ValueError(row["severity"])
    return Finding(
        check=str(row["check"]),
        severity=row["severity"],
        problem=str(row["problem"]),
        count=int(row["count"]),
        files=tuple(map(str, row.get("files") or ())),
        consequence=str(row.get("consequence") or ""),
        remedy=str(row.get("remedy") or ""),
        groups=tuple(tuple(map(str, group)) for group in row.get("groups") or ()),
    )
