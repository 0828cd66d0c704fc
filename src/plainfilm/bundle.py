"""Bundles: write, verify and read the sealed folder that is shipped.

::

    bundle/
      bundle.json           schema, task, pixel spec, temperature, operating points, provenance
      network.onnx          uint8 images in; probabilities, logits, activation maps, novelty out
      weights.safetensors   the network's weights, to train on from
      MODEL_CARD.md         the same for people, and for model hubs
      SHA256SUMS            of every other file; `sha256sum --check` reads it too

Nothing in a bundle is ever executed or unpickled. A file that the sums do not list is an error:
what nobody vouches for must not lie beside what is vouched for.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plainfilm import _files
from plainfilm._json import Format, from_json
from plainfilm.card import model_card
from plainfilm.errors import BundleError, ConfigError
from plainfilm.records import LockedPoint, OperatingPoint, PixelSpec, Task

__all__ = ["SCHEMA", "Bundle", "IndeterminateRange", "Rejection", "read_bundle", "write_bundle"]

SCHEMA = 1
_DESCRIPTION, _GRAPH, _WEIGHTS, _SUMS = (
    "bundle.json",
    "network.onnx",
    "weights.safetensors",
    "SHA256SUMS",
)
_CARD = "MODEL_CARD.md"
# What file managers leave wherever a person looks; nothing of ours opens them.
_IGNORED = frozenset({".ds_store", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class Rejection:
    """From which novelty on an image is not like what the network was trained on.

    Attributes
    ----------
    threshold
        An image is rejected where its novelty is at least this.
    rule
        The rule that chose it, in words.
    validation_share
        Share of the validation images, as they are, that it rejects, 0 to 1.
    """

    threshold: float
    rule: str
    validation_share: float


@dataclass(frozen=True, slots=True)
class IndeterminateRange:
    """Probabilities between which a label is called neither way with confidence.

    Attributes
    ----------
    low, high
        From ``low`` on and below ``high`` an image is indeterminate, 0 to 1.
    rule
        The rule that chose them, in words.
    """

    low: float
    high: float
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    folder
        Where it lies.
    id
        SHA-256 of ``SHA256SUMS``: names everything in the bundle at once.
    task
        What it tells apart.
    pixels
        How a file becomes the image that the network sees.
    temperature
        What the logits are divided by; already applied in the graph.
    points
        Operating points, locked on validation.
    has_activation_map
        Whether the graph has the output ``activation``.
    provenance
        Recipe, seed, versions, manifest hash, dates: how it came to be.
    rejection
        When an image is not like what the network was trained on; None if it cannot tell.
    indeterminate
        Label to the band of probabilities in which it is indeterminate; a label may have none.
    """

    folder: Path
    id: str
    task: Task
    pixels: PixelSpec
    temperature: float
    points: tuple[LockedPoint, ...]
    has_activation_map: bool
    provenance: Mapping[str, Any]
    rejection: Rejection | None = None
    indeterminate: Mapping[str, IndeterminateRange] = field(default_factory=dict)

    @property
    def graph(self) -> Path:
        """Return the path of the ONNX graph."""
        return self.folder / _GRAPH

    @property
    def weights(self) -> Path:
        """Return the path of the network's weights."""
        return self.folder / _WEIGHTS

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """Return the operating points without what is known about how firm they are."""
        return tuple(locked.point for locked in self.points)


def write_bundle(
    folder: Path,
    *,
    task: Task,
    pixels: PixelSpec,
    temperature: float,
    points: tuple[LockedPoint, ...],
    graph: bytes,
    has_activation_map: bool,
    weights: bytes,
    provenance: Mapping[str, Any],
    rejection: Rejection | None = None,
    indeterminate: Mapping[str, IndeterminateRange] | None = None,
) -> Bundle:
    """Write a bundle and read it back, verified.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    _files.make_folder(folder)
    # The sums go first and come last: a folder that is half written has none, so it is no bundle.
    (folder / _SUMS).unlink(missing_ok=True)
    for left in folder.glob(".*.part"):  # by a writer that was killed
        left.unlink()
    description = {
        "schema": SCHEMA,
        "task": dataclasses.asdict(task),
        "pixels": dataclasses.asdict(pixels),
        "temperature": temperature,
        "operating_points": [locked.to_json() for locked in points],
        "has_activation_map": has_activation_map,
        "rejection": None if rejection is None else dataclasses.asdict(rejection),
        "indeterminate": {
            label: dataclasses.asdict(band) for label, band in (indeterminate or {}).items()
        },
        "provenance": dict(provenance),
    }
    _files.write_json(folder / _DESCRIPTION, description)
    _files.write_bytes(folder / _GRAPH, graph)
    _files.write_bytes(folder / _WEIGHTS, weights)
    _files.write_text(folder / _CARD, model_card(description))
    names = (_DESCRIPTION, _GRAPH, _WEIGHTS, _CARD)
    sums = "".join(f"{_files.hash_file(folder / name)}  {name}\n" for name in names)
    _files.write_text(folder / _SUMS, sums)
    return read_bundle(folder)


def read_bundle(folder: str | Path) -> Bundle:
    """Read a bundle, or the one inside a run folder, after verifying every file.

    Raises
    ------
    BundleError
        If it is no bundle, a file was changed, is missing or is not listed in its sums, or it has
        a newer schema.
    """
    folder = Path(folder)
    if not (folder / _SUMS).is_file() and (folder / "bundle").is_dir():
        folder = folder / "bundle"
    _verify(folder)
    try:
        text = (folder / _DESCRIPTION).read_text(encoding="utf-8")
        description = json.loads(text)
        schema = description["schema"]
        if not isinstance(schema, int) or schema > SCHEMA:
            raise BundleError(
                f"the bundle {folder} has a newer schema than this version of plainfilm reads",
                received=f"schema {schema}; known up to {SCHEMA}",
                remedy="upgrade plainfilm",
            )
        task, rejection = description["task"], description.get("rejection")
        return Bundle(
            folder=folder,
            id=_files.hash_file(folder / _SUMS),
            task=from_json(Task, task, "the task", Format(ConfigError, "key", "an object")),
            pixels=PixelSpec(**description["pixels"]),
            temperature=float(description["temperature"]),
            points=tuple(map(_locked_point, description["operating_points"])),
            has_activation_map=bool(description["has_activation_map"]),
            provenance=description["provenance"],
            # A bundle may be older than these.
            rejection=None if rejection is None else Rejection(**rejection),
            indeterminate={
                label: IndeterminateRange(**band)
                for label, band in description.get("indeterminate", {}).items()
            },
        )
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise BundleError(
            f"{folder / _DESCRIPTION} does not describe a bundle", received=repr(error)
        ) from error


def _locked_point(value: Mapping[str, Any]) -> LockedPoint:
    """Read what `LockedPoint.to_json` wrote."""
    rates = {
        name: math.nan if value[name] is None else value[name]
        for name in ("sensitivity", "specificity")
    }
    return LockedPoint(**{**value, **rates, "point": OperatingPoint(**value["point"])})


def _verify(folder: Path) -> None:
    if not folder.is_dir():
        raise BundleError(f"there is no bundle at {folder}", remedy="give a run or bundle folder")
    try:
        lines = (folder / _SUMS).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{folder} is not a bundle: it has no readable {_SUMS}",
            remedy="give a bundle folder, or a run folder whose training has finished",
        ) from error
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in (_DESCRIPTION, _GRAPH, _WEIGHTS):
        if name not in sums:
            raise BundleError(f"the bundle {folder} is damaged: {_SUMS} does not list {name}")
    for name, digest in sums.items():
        _verify_file(folder, name, digest)
    strangers = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in {*sums, _SUMS} and path.name.casefold() not in _IGNORED
    )
    if strangers:
        more = f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""
        raise BundleError(
            f"the bundle {folder} was changed after it was sealed: it holds what {_SUMS} does "
            "not list",
            received=", ".join(map(repr, strangers[:5])) + more,
            remedy="move it out of the folder, or take an unchanged copy",
        )


def _verify_file(folder: Path, name: str, sealed: str) -> None:
    path = folder / name
    if Path(name).name != name:
        raise BundleError(
            f"the bundle {folder} is damaged: {_SUMS} lists what is not a file of its folder",
            received=repr(name),
        )
    if not path.is_file():
        raise BundleError(f"the bundle {folder} is incomplete: {name} is missing")
    try:
        digest = _files.hash_file(path)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read", received=error.strerror or str(error)
        ) from error
    if digest != sealed:
        raise BundleError(
            f"the bundle {folder} was changed after it was sealed: {name}",
            received=f"SHA-256 {digest[:16]}…, sealed as {sealed[:16]}…",
            remedy="take an unchanged copy, or train again",
        )
