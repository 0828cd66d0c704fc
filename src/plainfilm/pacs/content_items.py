"""Builds the content items of a structured report (PS3.3 C.17.3)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from plainfilm.pacs.codes import SHORT_VALUE, Code

__all__ = ["coded", "concept", "container", "image", "number", "text", "uid"]

Relation = str
"""Relationship with the item above, such as ``CONTAINS``."""


def concept(code: Code) -> Dataset:
    """Return the item of a code sequence."""
    item = Dataset()
    if len(code.value) <= SHORT_VALUE:
        item.CodeValue = code.value
    else:
        item.LongCodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def text(relation: Relation, name: Code, value: str) -> Dataset:
    """Return an item with a text."""
    item = _item(relation, "TEXT", name)
    item.TextValue = value
    return item


def coded(relation: Relation, name: Code, value: Code) -> Dataset:
    """Return an item with a code."""
    item = _item(relation, "CODE", name)
    item.ConceptCodeSequence = Items([concept(value)])
    return item


def number(relation: Relation, name: Code, value: str, unit: Code) -> Dataset:
    """Return an item with a number, given as decimal string, and its unit."""
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = Items([concept(unit)])
    measured.NumericValue = value
    item = _item(relation, "NUM", name)
    item.MeasuredValueSequence = Items([measured])
    return item


def uid(relation: Relation, name: Code, value: str) -> Dataset:
    """Return an item with a UID."""
    item = _item(relation, "UIDREF", name)
    item.UID = value
    return item


def image(relation: Relation, name: Code, sop_class: str, sop_uid: str) -> Dataset:
    """Return an item that refers to an image."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class
    reference.ReferencedSOPInstanceUID = sop_uid
    item = _item(relation, "IMAGE", name)
    item.ReferencedSOPSequence = Items([reference])
    return item


def container(
    relation: Relation | None, name: Code, items: Sequence[Dataset], template: str | None = None
) -> Dataset:
    """Return an item that contains others, of a template of PS3.16; the root has no relation."""
    item = _item(relation, "CONTAINER", name)
    item.ContinuityOfContent = "CONTINUOUS"
    if template is not None:
        own = Dataset()
        own.MappingResource = "DCMR"
        own.TemplateIdentifier = template
        item.ContentTemplateSequence = Items([own])
    item.ContentSequence = Items(items)
    return item


def _item(relation: Relation | None, kind: str, name: Code) -> Dataset:
    item = Dataset()
    if relation is not None:
        item.RelationshipType = relation
    item.ValueType = kind
    item.ConceptNameCodeSequence = Items([concept(name)])
    return item
