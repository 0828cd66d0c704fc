"""Sections of an evaluation report, in the order of the page."""

from __future__ import annotations

from plainfilm.report.sections.listing import Section, list_sections

__all__ = ["Section", "list_sections"]
