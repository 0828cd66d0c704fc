"""Adds human readers to an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from plainfilm.data.sources.tables.files import table_name
from plainfilm.evaluation.readers import describe_readers
from plainfilm.evaluation.reads import load_reads
from plainfilm.evaluation.result import Evaluation


def add_readers(
    evaluation: Evaluation | str | Path,
    tables: str | Path | Sequence[str | Path],
    *,
    reader_columns: Sequence[str] | None = None,
    reader_threshold: float | None = None,
    n_bootstrap: int = 2000,
) -> Evaluation:
    """Compare an evaluated model with human readers of the same images.

    Parameters
    ----------
    evaluation
        The result of `evaluate`, or the folder of an evaluation or of a run that was evaluated. Its
        ``evaluation.json`` is written again, with the readers.
    tables
        A table with a row for each image and a column for each reader; or with a row for each read,
        with a column of the reader and one of the call, or one for each label. The cells are calls
        (1 and 0, yes and no, or classes) or ratings (other numbers; the higher, the more likely).
        Two ways of reading, such as with and without the model, are two tables or a column
        ``modality``.
    reader_columns
        Names of the readers to use; by default the columns that are named as readers
        (``reader_1``, ``R2``, ...), or all readers of a table with a row for each read.
    reader_threshold
        Lowest rating that is a positive call. Without it, ratings have an AUROC only.
    n_bootstrap
        Number of resamples of each bootstrap.

    Returns
    -------
    Evaluation
        The same evaluation with ``document.readers``.

    Raises
    ------
    SourceError, UsageError
        If a table cannot be read, or its images, readers or labels are not found.
    """
    found = evaluation if isinstance(evaluation, Evaluation) else Evaluation.read(evaluation)
    paths = [Path(tables)] if isinstance(tables, str | Path) else [*map(Path, tables)]
    own, document = found.predictions, found.document
    reads, unmatched = load_reads(paths, own.ids, document.task, columns=reader_columns)
    readers = describe_readers(
        document.task,
        own.labels,
        own.probabilities,
        own.patients,
        document.thresholds,
        reads,
        source=[table_name(path) for path in paths],
        unmatched=unmatched,
        reader_threshold=reader_threshold,
        n_bootstrap=n_bootstrap,
    )
    found = replace(found, document=replace(document, readers=readers))
    found.write_document()
    return found
