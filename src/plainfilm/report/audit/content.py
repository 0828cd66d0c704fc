"""The part of an audit that a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm.audit.document import AuditDocument, Baseline
from plainfilm.data import Manifest
from plainfilm.errors import RunError
from plainfilm.records import Finding
from plainfilm.report.audit.pictures import Thumbnails

__all__ = ["AuditContent", "read_audit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContent:
    """The audit of the data that a model was trained on.

    Attributes
    ----------
    findings
        All findings, the most severe first.
    baselines
        All baseline models.
    quick
        Whether no image was decoded.
    thumbnails
        Source of thumbnails; None shows none.
    problem
        Why ``audit.json`` cannot be shown; empty if it can.
    """

    findings: tuple[Finding, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    quick: bool = False
    thumbnails: Thumbnails | None = None
    problem: str = ""

    def beyond(self, known: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return the serious findings that are not known already."""
        seen = {(finding.check, finding.problem) for finding in known}
        return tuple(
            finding
            for finding in self.findings
            if finding.severity == "serious" and (finding.check, finding.problem) not in seen
        )


def read_audit(path: Path, manifest: Manifest) -> AuditContent | None:
    """Read the audit of a run; None if it has none.

    Parameters
    ----------
    path
        ``audit.json`` of the run.
    manifest
        Manifest with the paths of the files.
    """
    if not path.is_file():
        return None
    try:
        audit = AuditDocument.read(path)
    except RunError as error:
        problem = f"audit.json cannot be shown ({error.problem}); repeat it: plainfilm audit DATA"
        return AuditContent(problem=problem)
    return AuditContent(
        findings=audit.findings,
        baselines=audit.baselines,
        quick=audit.quick,
        thumbnails=Thumbnails(manifest, audit.findings),
    )
