"""Searches for the best settings of a recipe, and exports runs to experiment trackers."""

from plainfilm.search.document import SearchDocument
from plainfilm.search.page import write_search_page
from plainfilm.search.pipeline import search

__all__ = ["SearchDocument", "search", "write_search_page"]
