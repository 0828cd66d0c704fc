"""The manifest as a table of Parquet, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from plainfilm._files import canonical_json
from plainfilm.data.identity import Pseudonyms
from plainfilm.data.manifest import MANIFEST_SCHEMA, LeftOut, Manifest, hash_of, labels_to_json
from plainfilm.errors import SourceError
from plainfilm.records import Finding, Record, Task

__all__ = ["from_table", "to_table"]

_KEY = "plainfilm."
_LABEL = "label."
_COLUMN = "column."


def to_table(manifest: Manifest) -> Any:
    """Return a manifest as a `pyarrow.Table`: a row a record, the rest in its metadata."""
    import pyarrow as arrow

    records = manifest.records
    arrays: dict[str, Any] = {
        "id": arrow.array([r.id for r in records], arrow.string()),
        # Whoever reads it may be in another folder than whoever wrote it.
        "path": arrow.array([str(Path(r.path).absolute()) for r in records], arrow.string()),
        "patient": arrow.array([r.patient for r in records], arrow.string()),
        "split": arrow.array([r.split for r in records], arrow.string()),
        "official": arrow.array([r.official for r in records], arrow.string()),
    }
    for number, label in enumerate(manifest.task.labels):
        column = [labels_to_json(r.labels)[number] for r in records]
        arrays[_LABEL + label] = arrow.array(column, arrow.int8())
    names = sorted({name for record in records for name in record.columns})
    for name in names:
        cells: list[Any] = [record.columns.get(name) for record in records]
        # A column that is text in one source and numbers in another is text.
        text = any(isinstance(cell, str) for cell in cells)
        if text:
            cells = [None if cell is None else str(cell) for cell in cells]
        arrays[_COLUMN + name] = arrow.array(cells, arrow.string() if text else arrow.float64())
    metadata = {
        "schema": str(MANIFEST_SCHEMA),
        "name": manifest.name,
        "task": canonical_json(asdict(manifest.task)),
        "hash": manifest.hash,
        "left_out": canonical_json([asdict(item) for item in manifest.left_out]),
        "findings": canonical_json([asdict(item) for item in manifest.findings]),
    }
    table = arrow.table(arrays)
    return table.replace_schema_metadata({_KEY + key: value for key, value in metadata.items()})


def from_table(table: Any, path: Path) -> Manifest:
    """Return the manifest that a `pyarrow.Table` holds; ``path`` is for what may be wrong with it.

    Raises
    ------
    SourceError
        If it is no manifest, one of a newer schema, or its content does not match its hash.
    """
    import json

    raw: Mapping[bytes, bytes] = table.schema.metadata or {}
    meta = {
        key.decode()[len(_KEY) :]: value.decode()
        for key, value in raw.items()
        if key.startswith(_KEY.encode())
    }
    if "schema" not in meta:
        raise SourceError(
            "this Parquet file is not a manifest",
            received=path,
            remedy="load it as a table of images with load_dataset",
        )
    if int(meta["schema"]) > MANIFEST_SCHEMA:
        raise SourceError(
            f"the manifest has schema {meta['schema']}; this version reads up to {MANIFEST_SCHEMA}",
            received=path,
            remedy="update plainfilm, or make the manifest anew",
        )
    try:
        task = json.loads(meta["task"])
        manifest = Manifest(
            name=meta["name"],
            task=Task(task["kind"], tuple(task["labels"]), tuple(task["classes"])),
            records=_records(table, tuple(task["labels"])),
            left_out=tuple(LeftOut(**item) for item in json.loads(meta["left_out"])),
            findings=tuple(
                Finding(**{name: _to_tuples(value) for name, value in item.items()})
                for item in json.loads(meta["findings"])
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            "the manifest is damaged", received=f"{path}: {error!r}", remedy="make it anew"
        ) from error
    old = int(meta["schema"]) < 2
    written = {record.patient: record.patient for record in manifest.records}
    found = hash_of(manifest.task, manifest.records, written) if old else manifest.hash
    if found != meta.get("hash"):
        raise SourceError(
            "the manifest was changed after it was written: its content does not match its hash",
            received=path,
            remedy="make it anew from the data",
        )
    return _hide_patients(manifest) if old else manifest


def _hide_patients(manifest: Manifest) -> Manifest:
    """Hash the patient keys of a manifest that was written when they were identifiers."""
    pseudonyms = Pseudonyms()
    records = tuple(
        r if r.patient == r.id else replace(r, patient=pseudonyms.key(r.patient))
        for r in manifest.records
    )
    return replace(manifest, records=records)


def _to_tuples(value: Any) -> Any:
    """Turn the lists that JSON has into the tuples that they were."""
    return tuple(map(_to_tuples, value)) if isinstance(value, list) else value


def _records(table: Any, labels: tuple[str, ...]) -> tuple[Record, ...]:
    columns = table.to_pydict()
    truth = zip(*(columns[_LABEL + label] for label in labels), strict=True)
    extra = {n[len(_COLUMN) :]: cells for n, cells in columns.items() if n.startswith(_COLUMN)}
    # What many records have in common is one object: a hundred thousand are kept at once.
    shared: dict[Any, Any] = {}
    records = []
    for row, values in enumerate(truth):
        known = tuple(math.nan if value is None else float(value) for value in values)
        split, official = columns["split"][row], columns["official"][row]
        records.append(
            Record(
                id=columns["id"][row],
                path=columns["path"][row],
                labels=shared.setdefault(values, known),
                patient=columns["patient"][row],
                split=shared.setdefault(split, split),
                official=shared.setdefault(official, official),
                columns={n: c[row] for n, c in extra.items() if c[row] is not None},
            )
        )
    return tuple(records)
