"""Sections of an evaluation report."""

from __future__ import annotations

from plainfilm.report.sections.listing import list_sections

__all__ = ["list_sections"]
