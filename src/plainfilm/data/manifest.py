"""Defines the manifest, the table of records that all later stages use."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm._files import canonical_json, write_bytes
from plainfilm._json import Format, from_json
from plainfilm._text import plural
from plainfilm.data.counts import Description, describe
from plainfilm.data.parquet import decode_records, encode_records, labels_to_json, read_parquet
from plainfilm.data.record_table import Records, invalid_labels
from plainfilm.errors import LabelError, SourceError, SplitError
from plainfilm.records import SPLITS, Finding, Split, Task

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
        The images, with unique ids, in a reproducible order. Any sequence of
        :class:`~plainfilm.records.Record` can be given.

    Raises
    ------
    LabelError
        If ids repeat, the number of labels of a record differs from the task's, or a label is not
        1, 0 or NaN.
    """

    name: str
    task: Task
    records: Records
    left_out: tuple[LeftOut, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        width = len(self.task.labels)
        records = Records.of(self.records, width)
        object.__setattr__(self, "records", records)
        if repeated := records.repeated_id():
            raise LabelError("ids of records repeat", received=repeated)
        labels = records.labels
        valid = ((labels == 0) | (labels == 1) | np.isnan(labels)).all(axis=1)
        if labels.shape[1] != width or not valid.all():
            raise invalid_labels(records[int(np.argmin(valid))], width)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def ids(self) -> NDArray[np.str_]:
        """Ids of the records, (n,)."""
        return self.records.ids

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patient keys, (n,)."""
        return self.records.patients

    @property
    def splits(self) -> NDArray[np.str_]:
        """Splits, (n,); an empty string for a record without one."""
        return self.records.splits

    def label_array(self) -> NDArray[np.float32]:
        """Return the labels, (n, labels): 1, 0 or NaN for unknown."""
        return self.records.labels.copy()

    @property
    def is_split(self) -> bool:
        """Whether there are records and each has a split."""
        return bool(self.records) and bool((self.splits != "").all())

    def select(self, split: Split) -> Manifest:
        """Return the manifest of one split; raises `SplitError` if the split has no record."""
        if split not in SPLITS:
            raise SplitError(f"the split must be one of {', '.join(SPLITS)}", received=repr(split))
        chosen = self.records.where(self.splits == split)
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
        known = {item.id for item in self.left_out}
        return replace(
            self,
            records=self.records.where(~self.records.contains_ids([item.id for item in new])),
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
        ordered = self.records.take(self.records.order())
        ids, groups = ordered.table["id"], ordered.groups
        first = np.unique(groups, return_index=True)[1][groups]
        splits = ordered.splits
        # The hash of one canonical JSON text, built in pieces to save memory.
        digest = hashlib.sha256(b'{"rows":[')
        for start in range(0, len(ordered), _HASHED_AT_ONCE):
            part = slice(start, start + _HASHED_AT_ONCE)
            rows = [
                [own, patient, split or None, labels_to_json(labels)]
                for own, patient, split, labels in zip(
                    ids[part].to_pylist(),
                    ids.take(first[part]).to_pylist(),
                    splits[part].tolist(),
                    ordered.labels[part].tolist(),
                    strict=True,
                )
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
