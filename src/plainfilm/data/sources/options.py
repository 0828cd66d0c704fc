"""Defines the options that describe a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from plainfilm.errors import UsageError


class SourceOptions(TypedDict, total=False):
    """How to read folders and tables; the keyword arguments of `plainfilm.load_dataset`.

    Attributes
    ----------
    labels
        For a table: the column of class names, or several columns of 1, 0 and blank for unknown.
    positive
        Positive class of two.
    class_map
        New names of classes or label columns by their old names; several classes may become one.
        The old name ``*`` stands for all other classes.
    label_pattern
        For a folder: a regular expression for the path below it, whose only group is the class, in
        place of class folders.
    patient
        A column, or a regular expression whose groups are the patient, searched in the file name
        or, if no name matches, in the path below the class folder. Default: a column with a usual
        name, DICOM headers, folders of patients, or a known naming convention.
    patient_folder
        Level of the folders whose names are the patients: 1 is the folder that a file is in, 2 the
        folder above it. 0 if no folder stands for a patient.
    path_column
        For a table: the column of paths or names of files, or a template that builds paths from
        several columns, such as ``p{subject:.2}/{study}/{image}.jpg``.
    split_column
        For a table: the column of splits.
    reduce
        What several rows of one image with different labels mean, such as boxes or readers: ``any``
        (a label is present if one row has it) or ``majority`` (of the readers, if a column such as
        ``rad_id`` names them, or else of the rows). Default: different labels are an error.
    split_lists
        Text files with one file name a line, with or without folders and endings, whose own names
        say the split: ``train_val_list.txt`` is training, ``test_list.txt`` test.
    images
        For a table: the base folder of relative paths. A file that does not exist there is searched
        for by its name, with or without ending, in all folders below. Default: the folder of the
        table, without a search.
    join
        For a table: further tables whose columns are added by the identifiers that both have, such
        as ``subject_id`` and ``study_id``.
    where
        For a table: an expression that selects rows, such as ``view in ("PA", "AP") and age >= 18``
        (see `plainfilm.data.sources.tables.where`).
    separator
        For a table: the text between several labels in one cell. Default: recognised.
    blank
        For a table: what a blank label of 1 and 0 counts as, ``unknown`` (default) or ``negative``.
    uncertain
        For a table: what an uncertain label (-1, ``maybe``) counts as, ``unknown`` (default),
        ``negative`` or ``positive``; with ``drop``, the image is left out.
    delimiter, encoding
        For a table of text: the character between cells, or its name (``tab``, ``semicolon``), and
        the encoding, such as ``cp1252``. Default: recognised, and UTF-8.
    header
        For a table without a header line: the names of its columns.
    one_class
        Whether a data set may have images of one class only, as one to evaluate on may.
    layout
        Name of a public data set whose columns, labels, patients and splits are known: ``nih``,
        ``chexpert``, ``mimic-cxr``, ``padchest``, ``vindr``, ``rsna``, ``siim``, ``covidx``,
        ``openi`` or ``kermany``. Options that are given replace those of the layout.
    """

    labels: str | Sequence[str] | None
    positive: str | None
    class_map: Mapping[str, str] | None
    label_pattern: str | None
    patient: str | None
    patient_folder: int | None
    path_column: str | None
    split_column: str | None
    reduce: str | None
    split_lists: str | Path | Sequence[str | Path] | None
    images: str | Path | None
    join: str | Path | Sequence[str | Path] | None
    where: str | None
    separator: str | None
    blank: str | None
    uncertain: str | None
    delimiter: str | None
    encoding: str | None
    header: str | Sequence[str] | None
    layout: str | None
    one_class: bool


TABLE_OPTIONS = (
    "labels",
    "path_column",
    "split_column",
    "images",
    "reduce",
    "join",
    "where",
    "separator",
    "blank",
    "uncertain",
    "delimiter",
    "encoding",
    "header",
)
"""Options that are for tables only."""


def compile_pattern(option: str, pattern: str, remedy: str) -> re.Pattern[str]:
    """Compile the regular expression of an option; an invalid one raises `UsageError`."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"{option}= is not a valid regular expression: {error}",
            received=repr(pattern),
            remedy=remedy,
        ) from error
