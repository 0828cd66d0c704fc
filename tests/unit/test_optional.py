"""Errors, optional imports, progress, records and properties of the machine."""

from __future__ import annotations

import inspect
import math
import pickle
from dataclasses import fields
from pathlib import Path

import pytest

from plainfilm import _machine, errors
from plainfilm._optional import require
from plainfilm._progress import silent
from plainfilm.errors import ConfigError, ImageError, MissingExtraError, PlainfilmError, UsageError
from plainfilm.records import PixelSpec, Task

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, PlainfilmError)
]


def make(kind: type[PlainfilmError]) -> PlainfilmError:
    if kind is ImageError:
        return ImageError("truncated", "it ends early", received=3, remedy="copy it again")
    return kind("it ends early", received=3, remedy="copy it again")


def test_all_errors_are_public_and_documented() -> None:
    assert sorted(kind.__name__ for kind in KINDS) == errors.__all__
    assert errors.__doc__ is not None
    for kind in KINDS:
        assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_has_the_value_received_and_a_remedy(kind: type[PlainfilmError]) -> None:
    error = make(kind)
    assert str(error) == "it ends early\n  received: 3\n  remedy: copy it again"
    assert str(PlainfilmError("only this")) == "only this"
    assert str(PlainfilmError("zero counts", received=0)) == "zero counts\n  received: 0"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_pickled_completely(kind: type[PlainfilmError]) -> None:
    error = make(kind)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == str(error)
    assert vars(back) == vars(error)
    assert back.args == error.args


def test_usage_errors_differ_from_data_errors() -> None:
    usage = {kind.__name__ for kind in KINDS if issubclass(kind, UsageError)}
    assert usage == {"UsageError", "ConfigError", "MissingExtraError"}
    assert issubclass(errors.MetricError, ValueError)


def test_require_imports() -> None:
    assert require("math", "train") is math


def test_require_names_the_package_and_the_extra() -> None:
    with pytest.raises(MissingExtraError, match="'plainfilm_absent'") as caught:
        require("plainfilm_absent.part", "dicom")
    assert caught.value.remedy.startswith("pip install '.[dicom]'")


def test_require_names_a_missing_dependency_of_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plainfilm_needy.py").write_text("import plainfilm_deeper\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="'plainfilm_deeper'"):
        require("plainfilm_needy", "train")


def test_require_does_not_hide_a_broken_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plainfilm_broken.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        require("plainfilm_broken", "train")


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    silent("stage", 1, 2)
    silent("stage", 1, 2, "note")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_the_machine_is_described() -> None:
    machine = _machine.describe_machine()
    assert machine.cores >= 1
    assert machine.cores == _machine.cores()
    assert machine.memory_gib is None or 0 < machine.memory_gib < 1e5
    # No name of the machine or its user.
    names = {field.name for field in fields(machine)}
    assert names == {"system", "processor", "cores", "memory_gib", "python"}


def test_versions_of_what_is_installed() -> None:
    found = _machine.versions("numpy", "plainfilm-absent", "pillow")
    assert list(found) == ["numpy", "pillow"]


@pytest.mark.parametrize("size", [7, 4097, 0, -1])
def test_a_pixel_spec_has_a_valid_size(size: int) -> None:
    with pytest.raises(ConfigError, match="between 8 and 4096"):
        PixelSpec(size)


def test_pixel_specs_have_different_keys() -> None:
    specs = [PixelSpec(64), PixelSpec(65), PixelSpec(64, "pad"), PixelSpec(64, trim=True)]
    keys = {spec.key for spec in specs}
    assert len(keys) == 4
    assert all(key.replace("-", "").isalnum() for key in keys)
    assert PixelSpec(64).key == PixelSpec(64, "squash", False).key
    with pytest.raises(ConfigError, match="squash, pad or crop"):
        PixelSpec(64, "stretch")  # type: ignore[arg-type]


def test_class_of_labels() -> None:
    binary = Task("binary", ("sick",), ("well", "sick"))
    assert [binary.class_of([v]) for v in (0.0, 1.0, math.nan)] == ["well", "sick", "unknown"]
    many = Task("multilabel", ("a", "b"), ("a", "b"))
    assert many.class_of([1.0, 1.0]) == "a, b"
    assert many.class_of([0.0, 0.0]) == "none"
    assert many.class_of([0.0, math.nan]) == "unknown"
    assert many.class_of([1.0, math.nan]) == "a"
