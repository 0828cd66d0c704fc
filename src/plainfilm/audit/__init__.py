"""Checks a data set for what would make its evaluation misleading.

`audit_dataset` collects the evidence and runs every check; each check returns findings.
"""

from plainfilm.audit.run import SCHEMA, Audit, audit_dataset

__all__ = ["SCHEMA", "Audit", "audit_dataset"]
