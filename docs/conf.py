"""Configures the documentation site; `script/docs` builds it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from sphinx.application import Sphinx

import plainfilm

project = "plainfilm"
author = "The plainfilm developers"
project_copyright = author
version = release = plainfilm.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
templates_path = ["_templates"]
nitpicky = True

# MyST: headings get the anchors that GitHub gives them.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# The reference of the Python interface is generated from docstrings.
autosummary_generate = True
autosummary_ignore_module_all = False  # a module's `__all__` is its public interface
autosummary_imported_members = True
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "plainfilm"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "icon_links": [
        {
            "name": "GitHub",
            "url": "https://github.com/plainfilm-dev/plainfilm",
            "icon": "fa-brands fa-github",
        }
    ],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

# Pages of the repository that are pages of the site, too.
_ROOT = Path(__file__).parents[1]
_REPOSITORY = "https://github.com/plainfilm-dev/plainfilm/blob/main/"
_PAGES = {
    "CHANGELOG.md": "/project/changelog.md",
    "CONTRIBUTING.md": "/project/contributing.md",
    "README.md": "/index.md",
    "SECURITY.md": "/project/security.md",
}
_OUTSIDE = r"\]\((?:\.\./)*((?:[A-Z]+\.md|(?:benchmarks|examples|src)/)[^)#]*)(#[^)]*)?\)"


def _read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Show the repository's own pages, and link to its other files on GitHub."""

    def link(match: re.Match[str]) -> str:
        return f"]({_PAGES.get(match[1], _REPOSITORY + match[1])}{match[2] or ''})"

    text = source[0]
    for name, page in _PAGES.items():
        if f"/{docname}.md" == page and docname != "index":
            app.env.note_dependency(str(_ROOT / name))
            text = (_ROOT / name).read_text("utf-8").replace("](docs/", "](/")
    source[0] = re.sub(_OUTSIDE, link, text)


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", _read_source)
