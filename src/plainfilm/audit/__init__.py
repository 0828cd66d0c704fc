"""Checks a data set for problems that would make an evaluation misleading.

`audit_dataset` collects the evidence and runs all checks; each check returns findings.
"""

from plainfilm.audit.document import AuditDocument, Baseline
from plainfilm.audit.pipeline import Audit, audit_dataset

__all__ = ["Audit", "AuditDocument", "Baseline", "audit_dataset"]
