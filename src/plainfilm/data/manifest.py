"""Defines the manifest, the table of records that all later stages use."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import canonical_json, write_bytes
from plainfilm._json import Format, from_json
from plainfilm._text import plural
from plainfilm.data.counts import Description, describe
from plainfilm.data.parquet import decode_records, encode_records, labels_to_json, read_parquet
from plainfilm.errors import LabelError, SourceError, SplitError
from plainfilm.records import SPLITS, Finding, Record, Split, Task

MANIFEST_SCHEMA = 3
"""Version of the Parquet layout; files of other versions are rejected."""

_HASHED_AT_ONCE = 4096  # rows
_JSON = Format(SourceError, "key", "an object")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not used.

    ``id`` and ``path`` are as in :class:`~plainfilm.records.Record`, and ``reason`` is a stable
    code in kebab case: ``empty``, ``missing``, ``truncated``, ...
    """

    id: str
    path: str
    reason: str
    problem: str


@dataclass(frozen=True)
class Manifest:
    """The records of a data set, the files left out, and the findings of listing and splitting.

    Attributes
    ----------
    task
        Labels and classes; the labels are the columns of :meth:`label_array`.
    records
        The images, with unique ids, in a reproducible order.

    Raises
    ------
    LabelError
        If ids repeat, the number of labels of a record differs from the task's, or a label is not
        1, 0 or NaN.
    """

    name: str
    task: Task
    records: tuple[Record, ...]
    left_out: tuple[LeftOut, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if len({record.id for record in self.records}) != len(self.records):
            counts = Counter(record.id for record in self.records)
            raise LabelError("ids of records repeat", received=counts.most_common(1)[0][0])
        width = len(self.task.labels)
        for record in self.records:
            valid = all(value in (0, 1) or math.isnan(value) for value in record.labels)
            if len(record.labels) != width or not valid:
                raise LabelError(
                    f"a record must have {plural(width, 'label')} of 1, 0 or NaN",
                    received=f"{record.id}: {record.labels}",
                )

    def __len__(self) -> int:
        return len(self.records)

    @property
    def ids(self) -> NDArray[np.str_]:
        """Ids of the records, (n,)."""
        return np.array([record.id for record in self.records], dtype=np.str_)

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patient keys, (n,)."""
        return np.array([record.patient for record in self.records], dtype=np.str_)

    @property
    def splits(self) -> NDArray[np.str_]:
        """Splits, (n,); an empty string for a record without one."""
        return np.array([record.split or "" for record in self.records], dtype=np.str_)

    def label_array(self) -> NDArray[np.float32]:
        """Return the labels, (n, labels): 1, 0 or NaN for unknown."""
        rows = [record.labels for record in self.records]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(self.task.labels))

    @property
    def is_split(self) -> bool:
        """Whether there are records and each has a split."""
        return bool(self.records) and all(record.split for record in self.records)

    def select(self, split: Split) -> Manifest:
        """Return the manifest of one split; raises `SplitError` if the split has no record."""
        if split not in SPLITS:
            raise SplitError(f"the split must be one of {', '.join(SPLITS)}", received=repr(split))
        chosen = tuple(record for record in self.records if record.split == split)
        if not chosen:
            raise SplitError(
                f"the split {split!r} has no image",
                received=f"{plural(len(self.records), 'image')} of {self.name}",
                remedy="split the manifest with make_splits, "
                "or give a data set that has this split",
            )
        return replace(self, records=chosen)

    def drop(self, left_out: Iterable[LeftOut]) -> Manifest:
        """Move the records in ``left_out`` from the records to the files left out."""
        new = tuple({item.id: item for item in left_out}.values())
        gone = {item.id for item in new}
        known = {item.id for item in self.left_out}
        return replace(
            self,
            records=tuple(record for record in self.records if record.id not in gone),
            left_out=self.left_out + tuple(item for item in new if item.id not in known),
        )

    def with_findings(self, findings: Iterable[Finding]) -> Manifest:
        """Return the manifest with additional findings."""
        return replace(self, findings=self.findings + tuple(findings))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content: task, ids, labels, splits, and which images share a patient.

        It does not depend on the order of the records, on the folder of the files, or on the
        spelling of patient keys (and so not on the salt).
        """
        ordered = sorted(self.records, key=attrgetter("id"))
        first = {record.patient: record.id for record in reversed(ordered)}
        # The hash of one canonical JSON text, built in pieces to save memory.
        digest = hashlib.sha256(b'{"rows":[')
        for start in range(0, len(ordered), _HASHED_AT_ONCE):
            rows = [
                [record.id, first[record.patient], record.split, labels_to_json(record.labels)]
                for record in ordered[start : start + _HASHED_AT_ONCE]
            ]
            digest.update(b"," * bool(start) + canonical_json(rows)[1:-1].encode())
        digest.update(f'],"task":{canonical_json(asdict(self.task))}}}'.encode())
        return digest.hexdigest()

    def describe(self) -> Description:
        """Count images, patients and classes, in total and in each split."""
        left_out = Counter(item.reason for item in self.left_out)
        return describe(self.name, self.task, self.records, left_out)

    def write(self, path: Path | str) -> None:
        """Write the manifest to a Parquet file, atomically.

        Raises `StorageError` if the disk is full or the folder is not writable.
        """
        write_bytes(Path(path), self.to_parquet())

    def to_parquet(self) -> bytes:
        """Return the content of the file that :meth:`write` writes."""
        metadata = {
            "schema": str(MANIFEST_SCHEMA),
            "name": self.name,
            "task": canonical_json(asdict(self.task)),
            "hash": self.hash,
            "left_out": canonical_json([asdict(item) for item in self.left_out]),
            "findings": canonical_json([asdict(item) for item in self.findings]),
        }
        return encode_records(self.records, self.task.labels, metadata)

    @classmethod
    def read(cls, path: Path | str) -> Manifest:
        """Read a manifest that :meth:`write` wrote.

        Raises `SourceError` if the file is missing, has another schema, or its content does not
        match its hash.
        """
        path = Path(path)
        table, metadata = read_parquet(path)
        if "schema" not in metadata:
            raise SourceError(
                "this Parquet file is not a manifest",
                received=path,
                remedy="read it as a table of images with load_dataset",
            )
        if metadata["schema"] != str(MANIFEST_SCHEMA):
            raise SourceError(
                f"the manifest has schema {metadata['schema']}; this version of plainfilm reads "
                f"schema {MANIFEST_SCHEMA}",
                received=path,
                remedy="update plainfilm, or create the manifest again from the data",
            )
        try:
            task = from_json(Task, json.loads(metadata["task"]), "the task", _JSON)
            manifest = Manifest(
                name=metadata["name"],
                task=task,
                records=decode_records(table, task.labels),
                left_out=_read_list(LeftOut, metadata["left_out"]),
                findings=_read_list(Finding, metadata["findings"]),
            )
        except (KeyError, TypeError, ValueError, SourceError) as error:
            raise SourceError(
                "the manifest is damaged",
                received=f"{path}: {error}",
                remedy="create it again from the data",
            ) from error
        if manifest.hash != metadata.get("hash"):
            raise SourceError(
                "the manifest was changed after it was written: "
                "its content does not match its hash",
                received=path,
                remedy="create it again from the data",
            )
        return manifest


def _read_list(kind: type[_T], text: str) -> tuple[_T, ...]:
    return tuple(from_json(kind, item, kind.__name__, _JSON) for item in json.loads(text))
