"""The audit page, the audit's part of a report, and the audit as lines of text."""
