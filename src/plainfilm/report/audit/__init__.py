"""The audit as an HTML page, as a section of a report, and as lines of text."""
