"""The notebook runs from top to bottom on phantoms and shows its figures and images."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "xray_classification_and_evaluation.ipynb"


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_has_no_outputs(notebook: Any) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_its_links_resolve(notebook: Any) -> None:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#:]+)", text)
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link).exists(), link


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the client's libraries raise warnings
def test_it_runs_on_phantoms(
    notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAINFILM_NOTEBOOK_SMALL", "1")
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLAINFILM_NOTEBOOK_DATA", raising=False)
    output = nbformat.v4.new_code_cell(
        "import dataclasses, json\n"
        "values = evaluation.metrics.items()\n"
        "print(json.dumps({name: dataclasses.asdict(one) for name, one in values}))"
    )
    notebook.cells.append(output)

    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()

    kinds = [
        kind
        for cell in notebook.cells
        for shown in cell.get("outputs", ())
        for kind in shown.get("data", {})
    ]
    # Loss and accuracy, AUROC, confusion matrix, ROC; samples, augmented, worst errors, one image.
    assert kinds.count("image/svg+xml") == 4
    assert kinds.count("image/png") == 4
    metrics = json.loads(output.outputs[0].text)
    for name in ("auroc", "accuracy", "sensitivity", "specificity"):
        metric = metrics[name]
        assert 0 <= metric["low"] <= metric["value"] <= metric["high"] <= 1
        assert metric["low"] < metric["high"]
        assert "95 %" in metric["method"]
