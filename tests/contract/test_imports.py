"""Commands load few modules: the core starts fast and needs no training framework."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import plainfilm
from plainfilm.bundle import Bundle

MakeBundle = Callable[..., Bundle]
Draw = Callable[[Path, float], Path]

FRAMEWORKS = ("jax", "keras", "tensorflow", "torch")
HEAVY = (
    *FRAMEWORKS,
    "PIL",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "pydicom",
    "rich",
    "scipy",
)

LOADED = """
import json, sys
modules = {modules!r}
{body}
sys.stdout.flush()
print("\\nLOADED " + json.dumps([name for name in modules if name in sys.modules]))
"""

# The same with nothing imported that the command might import.
LOADED_BARE = """
import sys
{body}
sys.stdout.flush()
print()
print([name for name in {modules!r} if name in sys.modules])
"""

BLOCKED = """
import sys
for name in ("jax", "keras", "tensorflow", "torch"):
    sys.modules[name] = None  # as if it were not installed
from plainfilm.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def python(
    code: str, *arguments: object, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"},
    )


def loaded(body: str, modules: tuple[str, ...], *arguments: object) -> list[str]:
    done = python(LOADED.format(modules=modules, body=body), *arguments)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    names: list[str] = json.loads(last.removeprefix("LOADED "))
    return names


@pytest.fixture
def data(tmp_path: Path, draw_grey: Draw) -> Path:
    root = tmp_path / "data"
    for n in range(24):
        grey = 128 + (1 if n % 2 else -1) * (n % 5 * 12 - 10)
        draw_grey(root / ("bright" if n % 2 else "dark") / f"{n}.png", grey)
    return root


def test_importing_plainfilm_loads_nothing() -> None:
    assert loaded("import plainfilm; plainfilm.__version__; dir(plainfilm)", HEAVY) == []


HELP = """
from plainfilm.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert stop.code == 0
"""


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("--version",)])
def test_help_loads_nothing(arguments: tuple[str, ...]) -> None:
    assert loaded(HELP, HEAVY, *arguments) == []


def test_help_of_all_verbs_imports_little() -> None:
    # Each of these takes longer than all that is needed.
    slow = ("typing", "pathlib", "platform", "shutil", "csv", "importlib.metadata")
    slow += ("plainfilm.cli.train",)
    for arguments in (("--help",), ("--version",)):
        done = python(LOADED_BARE.format(modules=slow, body=HELP), *arguments)
        assert done.stdout.splitlines()[-1] == "[]", done.stdout


MAIN = """
from plainfilm.cli.main import main
assert main(sys.argv[1:]) == 0
"""


def test_predict_loads_no_framework(data: Path, make_bundle: MakeBundle) -> None:
    found = loaded(MAIN, HEAVY, "predict", make_bundle().folder, data)
    assert not {*found} & {*FRAMEWORKS, "onnx", "matplotlib"}
    # Nor what JPEG and PNG do not need.
    assert "pydicom" not in found
    assert {"numpy", "onnxruntime"} <= {*found}, "the test looks at the wrong process"


def test_no_other_verb_but_training_loads_a_framework(
    data: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    for arguments in (
        ("evaluate", make_bundle().folder, data, "--out", tmp_path / "e"),
        ("show", data, "--out", tmp_path / "a.png"),
        ("show", data, "--out", tmp_path / "b.png", "--augmented", "swift"),
    ):
        assert not {*loaded(MAIN, HEAVY, *arguments)} & {*FRAMEWORKS, "onnx"}


def test_all_but_training_works_without_a_framework(
    data: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle().folder
    for arguments in (
        ("predict", bundle, data),
        ("predict", bundle, data, "--heatmaps", tmp_path / "maps"),
        ("evaluate", bundle, data, "--out", tmp_path / "e"),
        ("show", data, "--out", tmp_path / "a.png"),
        ("show", data, "--out", tmp_path / "b.png", "--augmented", "swift"),
        ("doctor",),
        ("doctor", "--json"),
    ):
        done = python(BLOCKED, *arguments)
        assert done.returncode == 0, done.stderr


def test_disturbing_images_loads_no_framework() -> None:
    code = """
import numpy as np
from plainfilm.training.thresholds import disturbed_images
assert disturbed_images(np.zeros((3, 8, 8), np.uint8)).shape == (15, 8, 8)
"""
    assert python(LOADED.format(modules=FRAMEWORKS, body=code)).stdout.split() == ["LOADED", "[]"]


def test_training_without_a_framework_says_what_to_install(data: Path, tmp_path: Path) -> None:
    for arguments in (
        ("train", data, "--positive", "bright", "--recipe", "swift", "--out", tmp_path / "run"),
        ("demo", "--out", tmp_path / "demo"),
    ):
        done = python(BLOCKED, *arguments)
        assert done.returncode == 2, done.stderr
        assert "pip install '.[train]'" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "demo").exists()


def test_importing_has_no_side_effects(tmp_path: Path) -> None:
    code = """
import logging, os, random, sys, warnings
before = (dict(os.environ), list(warnings.filters), list(logging.root.handlers),
          random.getstate(), os.getcwd())
import plainfilm, plainfilm.cli.main, plainfilm.data, plainfilm.evaluation, plainfilm.report
import plainfilm.runtime, plainfilm.training, plainfilm.phantom, plainfilm.explain
import numpy, PIL, scipy  # what these do themselves is not ours
ours = [f for f in warnings.filters if f not in before[1] and "plainfilm" in str(f)]
assert not ours, ours
assert dict(os.environ) == before[0]
assert list(logging.root.handlers) == before[2]
assert random.getstate() == before[3]
"""
    done = python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_public_names_are_there() -> None:
    assert plainfilm.__all__ == [
        "ProgressLines",
        "__version__",
        "adapt",
        "add_readers",
        "audit_dataset",
        "augmented_images",
        "compare",
        "cross_validate",
        "evaluate",
        "evaluate_predictions",
        "import_model",
        "load",
        "load_dataset",
        "score",
        "train",
        "validate",
    ]
    for name in plainfilm.__all__:
        assert getattr(plainfilm, name) is not None
    assert dir(plainfilm) == sorted(plainfilm.__all__)
    with pytest.raises(AttributeError, match="'plainfilm' has no attribute 'trian'"):
        _ = plainfilm.trian


def _modules() -> list[str]:
    """Return the name of every module, without importing any."""
    top = Path(plainfilm.__path__[0])
    places = (path.relative_to(top.parent).with_suffix("") for path in top.rglob("*.py"))
    names = (".".join(place.parts).removesuffix(".__init__") for place in places)
    return sorted(name for name in names if name != "plainfilm.__main__")


@pytest.mark.parametrize("name", _modules())
def test_every_module_has_a_docstring_and_keeps_its_promises(name: str) -> None:
    if name.startswith(("plainfilm.models", "plainfilm.training")):
        pytest.importorskip("keras")
    module = importlib.import_module(name)
    assert module.__doc__, "a module says what it is for"
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.__all__ promises {public}"
