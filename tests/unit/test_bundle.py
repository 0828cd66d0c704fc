"""A bundle is read as it was written, or refused with the reason."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from locked_points import evidence
from plainfilm._machine import describe_machine
from plainfilm.bundle import (
    Bundle,
    BundleMetadata,
    IndeterminateRange,
    Provenance,
    Rejection,
    read_bundle,
    write_bundle,
)
from plainfilm.config import load_recipe
from plainfilm.errors import BundleError, StorageError
from plainfilm.records import LockedPoint, OperatingPoint, PixelSpec, Task, ValidationRates

FILES = ("bundle.json", "network.onnx", "weights.safetensors", "MODEL_CARD.md")
TASK = Task("multilabel", ("effusion", "masse é"), ("effusion", "masse é"))
POINTS = (
    LockedPoint(
        OperatingPoint("balanced", "balanced", "effusion", 0.123456789012345, "by hand"),
        evidence(0.1, 0.2, "few images", unchanged=ValidationRates(0.9, math.nan)),
    ),
)
METADATA = BundleMetadata(
    task=TASK,
    pixels=PixelSpec(33, "pad", trim=True),
    temperature=1.25,
    points=POINTS,
    has_activation_map=True,
    provenance=Provenance(
        seed=3,
        recipe=load_recipe("swift"),
        machine=describe_machine(),
        training_prevalence={"effusion": 0.25, "masse é": None},
    ),
    rejection=Rejection(1.5, "a rule", 0.01),
    indeterminate={"effusion": IndeterminateRange(0.1, 0.3, "a rule")},
)


def write(folder: Path, **changes: Any) -> Bundle:
    files = {"graph": b"a graph", "weights": b"weights"}
    files |= {name: changes.pop(name) for name in files if name in changes}
    return write_bundle(folder, replace(METADATA, **changes), **files)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write(tmp_path / "bundle")


def reseal(folder: Path) -> None:
    """Write SHA256SUMS for the changed files."""
    sums = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in FILES
    )
    (folder / "SHA256SUMS").write_text(sums, encoding="ascii")


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the metadata and seal the bundle again."""
    path = folder / "bundle.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    change(described)
    path.write_text(json.dumps(described), encoding="utf-8")
    reseal(folder)


def test_a_bundle_is_read_as_it_was_written(bundle: Bundle) -> None:
    back = read_bundle(bundle.folder)
    assert (back.task, back.pixels, back.temperature) == (TASK, PixelSpec(33, "pad", True), 1.25)
    assert back.has_activation_map is True
    assert back.provenance == METADATA.provenance
    assert back.rejection == METADATA.rejection
    assert back.indeterminate == METADATA.indeterminate
    assert back.graph.read_bytes() == b"a graph"
    assert back.weights.read_bytes() == b"weights"
    (point,) = back.points
    assert math.isnan(point.validation.unchanged.specificity)
    known = ValidationRates(0.9, 0.8)
    assert [
        replace(one, validation=replace(one.validation, unchanged=known))
        for one in (point, POINTS[0])
    ] == [replace(point, validation=replace(point.validation, unchanged=known))] * 2
    assert back.operating_points == (POINTS[0].point,)
    assert back.id == hashlib.sha256((bundle.folder / "SHA256SUMS").read_bytes()).hexdigest()


def test_the_card_shows_status_counts_and_both_rates(tmp_path: Path) -> None:
    rule = "the same threshold as balanced: validation separates the classes too well"
    known = evidence(
        0.4,
        0.6,
        rule,
        positives=1,
        positive_patients=1,
        negatives=1200,
        target=0.95,
        same_as_balanced=True,
        copies=5,
        unchanged=ValidationRates(0.99, 0.95),
        all_copies=ValidationRates(0.97, 0.95),
    )
    point = LockedPoint(OperatingPoint("rule-in", "rule-in", "effusion", 0.5, rule), known)
    folder = write(tmp_path / "bundle", points=(point,)).folder
    card = (folder / "MODEL_CARD.md").read_text("utf-8")
    row = next(line for line in card.splitlines() if line.startswith("| effusion"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "effusion",
        "rule-in",
        "0.500",
        "not determined",
        "0.990 (0.970 with disturbed copies)",
        "0.950",
        "1 positive image of 1 patient, 1,200 negative images of 80 patients",
        rule,
    ]


def test_a_bundle_has_the_documented_files(bundle: Bundle) -> None:
    assert sorted(p.name for p in bundle.folder.iterdir()) == sorted([*FILES, "SHA256SUMS"])


def test_the_same_content_has_the_same_id(tmp_path: Path, bundle: Bundle) -> None:
    assert write(tmp_path / "twin").id == bundle.id
    assert write(tmp_path / "other", temperature=1.5).id != bundle.id
    assert write(tmp_path / "another", weights=b"other").id != bundle.id


def test_the_sums_are_those_of_sha256sum(bundle: Bundle) -> None:
    listed = {}
    for line in (bundle.folder / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        digest, name = line[:64], line[66:]
        assert line[64:66] == "  "
        listed[name] = digest
    assert listed == {
        name: hashlib.sha256((bundle.folder / name).read_bytes()).hexdigest() for name in FILES
    }


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_itself_agrees(bundle: Bundle) -> None:
    def check() -> int:
        return subprocess.run(
            ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
            cwd=bundle.folder,
            check=False,
            capture_output=True,
        ).returncode

    assert check() == 0
    (bundle.folder / "network.onnx").write_bytes(b"A graph")
    assert check() != 0


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_noticed(bundle: Bundle, name: str) -> None:
    path = bundle.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="changed after it was sealed") as caught:
        read_bundle(bundle.folder)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_an_appended_byte_is_noticed(bundle: Bundle, name: str) -> None:
    with open(bundle.folder / name, "ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError, match="changed after it was sealed"):
        read_bundle(bundle.folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Bundle, name: str) -> None:
    (bundle.folder / name).unlink()
    with pytest.raises(BundleError, match="incomplete") as caught:
        read_bundle(bundle.folder)
    assert name in str(caught.value)


def test_without_sums_it_is_not_a_bundle(bundle: Bundle) -> None:
    (bundle.folder / "SHA256SUMS").unlink()
    with pytest.raises(BundleError, match="is not a bundle"):
        read_bundle(bundle.folder)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no sums at all\n"])
def test_invalid_sums(bundle: Bundle, content: bytes) -> None:
    (bundle.folder / "SHA256SUMS").write_bytes(content)
    with pytest.raises(BundleError):
        read_bundle(bundle.folder)


@pytest.mark.parametrize("name", FILES[:3])
def test_sums_that_omit_a_file(bundle: Bundle, name: str) -> None:
    sums = bundle.folder / "SHA256SUMS"
    lines = [line for line in sums.read_text(encoding="ascii").splitlines() if name not in line]
    sums.write_text("\n".join(lines) + "\n", encoding="ascii")
    with pytest.raises(BundleError, match=f"does not list {name}"):
        read_bundle(bundle.folder)


@pytest.mark.parametrize("schema", [BundleMetadata.SCHEMA + 1, 99])
def test_a_bundle_of_a_newer_version(bundle: Bundle, schema: int) -> None:
    edit(bundle.folder, lambda metadata: metadata.update(schema=schema, new_key=1))
    with pytest.raises(BundleError, match="cannot read") as caught:
        read_bundle(bundle.folder)
    assert caught.value.remedy == "upgrade plainfilm"


@pytest.mark.parametrize("schema", [2, 1, 0])
def test_a_bundle_of_an_older_version(bundle: Bundle, schema: int) -> None:
    # Schema 1 had other keys, and another name for the version of the program.
    edit(bundle.folder, lambda metadata: metadata.update(schema=schema, old_key=1))
    with pytest.raises(BundleError, match="cannot read") as caught:
        read_bundle(bundle.folder)
    assert caught.value.remedy == "train again with this version"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '"bundle"', "null", "{}", f'{{"schema": {BundleMetadata.SCHEMA}}}']
)
def test_json_that_is_not_the_metadata_of_a_bundle(bundle: Bundle, text: str) -> None:
    (bundle.folder / "bundle.json").write_text(text, encoding="utf-8")
    reseal(bundle.folder)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(bundle.folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("task"),
        lambda d: d["task"].pop("labels"),
        lambda d: d.update(task=None),
        lambda d: d["pixels"].update(size=3),
        lambda d: d["pixels"].update(geometry="stretch"),
        lambda d: d["pixels"].update(window="auto"),
        lambda d: d.pop("schema"),
        lambda d: d.update(schema=str(BundleMetadata.SCHEMA)),
        lambda d: d.update(temperature="warm"),
        lambda d: d.update(temperature=None),
        lambda d: d.update(points=[3]),
        lambda d: d["points"][0]["validation"].pop("low"),
        lambda d: d["points"][0].update(strange=1),
        lambda d: d["points"][0]["point"].pop("threshold"),
        lambda d: d["provenance"].update(seed="three"),
        lambda d: d["provenance"]["recipe"]["fit"].update(epochs=0),
        lambda d: d["provenance"]["recipe"]["network"].pop("name"),
    ],
)
def test_invalid_metadata_are_refused(
    bundle: Bundle, change: Callable[[dict[str, Any]], Any]
) -> None:
    edit(bundle.folder, change)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(bundle.folder)


def test_the_bundle_inside_a_run_is_found(tmp_path: Path) -> None:
    made = write(tmp_path / "run" / "bundle")
    assert read_bundle(tmp_path / "run").id == made.id
    assert read_bundle(str(tmp_path / "run" / "bundle")).id == made.id


def test_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no bundle"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="is not a bundle"):
        read_bundle(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="there is no bundle"):
        read_bundle(tmp_path / "file")


def test_an_incomplete_bundle_is_not_a_bundle(tmp_path: Path) -> None:
    """An interrupted write leaves neither the old nor the new bundle."""
    made = write(tmp_path / "bundle")

    (made.folder / "weights.safetensors").unlink()
    (made.folder / "weights.safetensors").mkdir()
    with pytest.raises(StorageError):
        write(tmp_path / "bundle", temperature=2.0)
    assert not (made.folder / "SHA256SUMS").exists()
    with pytest.raises(BundleError, match="is not a bundle"):
        read_bundle(made.folder)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "network.onnx.data", "more/"])
def test_files_that_the_sums_do_not_list_are_an_error(bundle: Bundle, name: str) -> None:
    if name.endswith("/"):
        (bundle.folder / name).mkdir()
    else:
        (bundle.folder / name).write_bytes(b"x")
    with pytest.raises(BundleError, match="does not list") as caught:
        read_bundle(bundle.folder)
    assert repr(name.rstrip("/")) in str(caught.value.received)


def test_files_of_file_managers_are_ignored(bundle: Bundle) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (bundle.folder / name).write_bytes(b"x")
    assert read_bundle(bundle.folder).id == bundle.id


def test_every_file_that_the_sums_list_is_verified(bundle: Bundle) -> None:
    sums, extra = bundle.folder / "SHA256SUMS", bundle.folder / "card.txt"
    extra.write_text("a", encoding="utf-8")
    line = f"{hashlib.sha256(b'a').hexdigest()}  card.txt\n"
    sums.write_text(sums.read_text(encoding="ascii") + line, encoding="ascii")
    assert read_bundle(bundle.folder).id != bundle.id
    extra.write_text("b", encoding="utf-8")
    with pytest.raises(BundleError, match=r"card\.txt"):
        read_bundle(bundle.folder)
    sums.write_text(sums.read_text(encoding="ascii").replace("card", "../card"), encoding="ascii")
    with pytest.raises(BundleError, match="a file outside the folder"):
        read_bundle(bundle.folder)


def test_files_of_an_interrupted_write_are_removed(bundle: Bundle) -> None:
    (bundle.folder / ".network.onnx.k2j3.part").write_bytes(b"half")
    assert write(bundle.folder).id == bundle.id


def test_writing_again_replaces(tmp_path: Path, bundle: Bundle) -> None:
    again = write(bundle.folder, temperature=3.0)
    assert again.id != bundle.id
    assert read_bundle(bundle.folder).temperature == 3.0


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"")
    with pytest.raises(StorageError, match="in the way"):
        write(tmp_path / "bundle")
