"""No module of plainfilm imports itself through others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

grimp = pytest.importorskip("grimp")

FACE = "plainfilm"
"""The package itself; its public names are imported lazily, and everything may import it."""


def find_cycle(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the modules of one import cycle, or an empty list."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Return the modules that each module imports; imports for type checking count as well."""
    graph = grimp.build_graph("plainfilm", cache_dir=None)
    return {
        module: set(graph.find_modules_directly_imported_by(module)) - {FACE}
        for module in graph.modules - {FACE}
    }


def test_a_cycle_is_found() -> None:
    assert set(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_the_graph_is_not_empty(imports: dict[str, set[str]]) -> None:
    assert "plainfilm.records" in imports["plainfilm.data.manifest"]
    assert len(imports) > 100


def test_there_is_no_import_cycle(imports: dict[str, set[str]]) -> None:
    assert find_cycle(imports) == []
