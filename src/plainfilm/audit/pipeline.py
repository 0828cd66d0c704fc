"""Runs an audit: collects the evidence, runs all checks and returns the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from plainfilm import __version__, _files
from plainfilm._csv import csv_text
from plainfilm._progress import Progress, silent
from plainfilm.audit.baselines import fit_baselines
from plainfilm.audit.clusters import (
    connected_groups,
    count_redundant,
    equal_files,
    links_of,
    merge_patients,
)
from plainfilm.audit.columns import measure_columns
from plainfilm.audit.document import (
    AuditDocument,
    Baseline,
    ColumnResult,
    MarkedImage,
    Style,
    TextGroup,
)
from plainfilm.audit.duplicates import find_duplicates
from plainfilm.audit.evidence import SIDE, Evidence, evidence_from_cache, evidence_from_files
from plainfilm.audit.files import FILE_CHECKS
from plainfilm.audit.labels import LABEL_CHECKS
from plainfilm.audit.leaks import check_duplicates, check_similar_patients
from plainfilm.audit.patient_keys import PATIENT_CHECKS
from plainfilm.audit.quality import IMAGE_CHECKS
from plainfilm.audit.shortcuts import check_columns, check_shift, check_shortcuts
from plainfilm.audit.style_checks import check_styles, measure_styles
from plainfilm.audit.text import check_text_ties, find_recurring_text, mark_images
from plainfilm.data.cache import default_folder
from plainfilm.data.file_hashes import hash_files
from plainfilm.data.fill import fill_cache
from plainfilm.data.manifest import Manifest
from plainfilm.data.sources import load_dataset
from plainfilm.errors import SourceError
from plainfilm.pixels import read_image_and_text
from plainfilm.records import Finding, PixelSpec

_FEW_DUPLICATES = 0.01
_REPLACED_BY = {
    "patient-overlap": "patient-in-several-splits",
    "validation-too-small": "validation-too-small",
}
"""Findings of the split, and the findings of the audit that replace them."""
_SEVERITIES = ("serious", "warning", "note")


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """Burnt-in text and acquisition styles; see `AuditDocument`."""

    texts: tuple[TextGroup, ...] = ()
    marked: tuple[MarkedImage, ...] = ()
    styles: tuple[Style, ...] = ()
    style_results: tuple[ColumnResult, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """Results of an audit: findings, the most severe first, and all baseline models.

    ``images`` is the number of images that could be read; in a ``quick`` audit none was decoded.
    ``columns`` are the further columns of the data set that are not close to chance; ``traces`` is
    what devices and operators left in the images.
    """

    manifest: Manifest
    findings: tuple[Finding, ...]
    baselines: tuple[Baseline, ...]
    images: int
    quick: bool = False
    columns: tuple[ColumnResult, ...] = ()
    traces: Traces = field(default_factory=Traces)

    @property
    def serious(self) -> tuple[Finding, ...]:
        """Findings that invalidate an evaluation or make part of the data unusable."""
        return tuple(f for f in self.findings if f.severity == "serious")

    @property
    def exclusions(self) -> Mapping[str, str]:
        """Ids of the records to exclude, with the finding that recommends it."""
        return {
            identity: finding.check
            for finding in reversed(self.findings)
            for identity in finding.exclude
        }

    @property
    def document(self) -> AuditDocument:
        """The content of ``audit.json``."""
        return AuditDocument(
            plainfilm=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            quick=self.quick,
            dataset=self.manifest.describe(),
            hash=self.manifest.hash,
            images=self.images,
            findings=tuple(replace(finding, exclude=()) for finding in self.findings),
            baselines=self.baselines,
            excludable=len(self.exclusions),
            columns=self.columns,
            texts=self.traces.texts,
            marked=self.traces.marked,
            styles=self.traces.styles,
            style_results=self.traces.style_results,
        )

    def write(self, path: str | Path) -> None:
        """Write the results as JSON."""
        self.document.write(Path(path))

    def write_exclusions(self, path: str | Path) -> int:
        """Write the records to exclude as CSV (id, check), and return their number.

        `plainfilm.train` accepts the file as ``exclude``.
        """
        rows = [("id", "check"), *sorted(self.exclusions.items())]
        _files.write_text(Path(path), csv_text(rows))
        return len(self.exclusions)


def audit_dataset(
    data: Manifest | str | Path | Sequence[str | Path],
    *,
    quick: bool = False,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Audit:
    """Check a data set for problems that would make an evaluation misleading.

    Nothing is changed or excluded.

    Parameters
    ----------
    data
        A manifest, or a source that `plainfilm.load_dataset` accepts.
    quick
        If true, no image is decoded: only file sizes, names, labels, patients and equal files are
        checked.
    cache
        Folder for decoded images; None uses the user's cache folder.
    workers
        Number of decoding processes; None uses one per core.
    progress
        Callback for progress.

    Raises
    ------
    SourceError
        If none of the files is an image.
    """
    if isinstance(data, Manifest):
        manifest = data
    else:
        roots = [data] if isinstance(data, str | Path) else data
        manifest = load_dataset(*roots, one_class=True)
    if quick:
        evidence = _hash_files(manifest, cache, progress)
    else:
        images = fill_cache(
            manifest,
            PixelSpec(SIDE),
            folder=cache,
            workers=workers,
            progress=progress,
            reader=read_image_and_text,
        )
        evidence = evidence_from_cache(manifest, images)
    return audit_evidence(evidence, quick=quick, progress=progress)


def audit_evidence(
    evidence: Evidence, *, quick: bool = False, progress: Progress = silent
) -> Audit:
    """Run all checks on the evidence of a data set, as `audit_dataset` does."""
    manifest = evidence.manifest
    if not len(evidence):
        raise SourceError(
            f"none of the files of {manifest.name} is an image",
            received=evidence.left_out[0].problem if evidence.left_out else "no files",
            remedy="give the folder or table of the radiographs",
        )
    progress("auditing", 0, 1)
    findings, baselines, columns, traces = _run_checks(evidence)
    made = {finding.check for finding in findings}
    listed = [f for f in manifest.findings if _REPLACED_BY.get(f.check) not in made]
    findings = sorted([*listed, *findings], key=lambda f: _SEVERITIES.index(f.severity))
    progress("auditing", 1, 1)
    return Audit(manifest, tuple(findings), baselines, len(evidence), quick, columns, traces)


def _hash_files(manifest: Manifest, folder: str | Path | None, progress: Progress) -> Evidence:
    place = Path(folder) if folder is not None else default_folder()
    paths = manifest.records.paths
    return evidence_from_files(manifest, hash_files(paths, place, progress))


def _run_checks(
    evidence: Evidence,
) -> tuple[list[Finding], tuple[Baseline, ...], tuple[ColumnResult, ...], Traces]:
    """Run all checks; those of files and images run while threads do those that take longest."""
    from threadpoolctl import threadpool_limits

    # The matrices are small: one BLAS thread per task is faster than all cores for one product.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max_workers=3) as pool:
        known = equal_files(evidence.hashes)
        search = pool.submit(find_duplicates, evidence)
        merged = merge_patients(evidence, known)
        fit = pool.submit(fit_baselines, merged)
        style = pool.submit(measure_styles, merged)
        columns = measure_columns(merged)
        texts = find_recurring_text(merged)
        findings = [f for check in (*FILE_CHECKS, *IMAGE_CHECKS) for f in check(evidence)]
        duplicates, baselines = search.result(), fit.result()
        styles, style_results = style.result()
        near = [(pair.first, pair.second) for pair in duplicates.near]
        groups = connected_groups([*links_of(known), *links_of(duplicates.exact), *near])
        if count_redundant(groups) - count_redundant(known) > _FEW_DUPLICATES * len(evidence):
            # Copies in different folds of the cross-validation would look like evidence.
            baselines = fit_baselines(merge_patients(evidence, groups))
    findings += check_duplicates(evidence, duplicates)
    findings += check_similar_patients(evidence, duplicates)
    findings += [f for check in (*PATIENT_CHECKS, *LABEL_CHECKS) for f in check(evidence)]
    findings += check_shortcuts(evidence, baselines)
    findings += check_shift(evidence, baselines)
    findings += check_columns(columns)
    findings += check_text_ties(evidence, texts)
    findings += check_styles(style_results)
    traces = Traces(texts, mark_images(evidence), styles, style_results)
    return findings, baselines, columns, traces
