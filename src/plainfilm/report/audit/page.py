"""The audit as an HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from plainfilm import __version__
from plainfilm._files import write_text
from plainfilm.audit import Audit, Baseline
from plainfilm.data.manifest import Manifest
from plainfilm.records import SPLITS, Record
from plainfilm.report.audit.baselines import baseline_cards, forest
from plainfilm.report.audit.cards import finding_card, finding_links
from plainfilm.report.audit.pictures import Thumbnails
from plainfilm.report.audit.wording import counted, verdict
from plainfilm.report.html.markup import Html, element, join, lead, quiet
from plainfilm.report.html.page import page_header, render_page
from plainfilm.report.html.table import Row, Table
from plainfilm.report.wording import capitalised, when

_MAX_ROWS = 8  # baseline models that fit on the first screen
_MAX_CLASSES = 8  # columns that fit on a phone


def write_audit_page(audit: Audit, path: str | Path) -> Path:
    """Write an audit as one HTML file without scripts or external resources.

    The page contains thumbnails of the images that findings concern. Protect it like the images.

    Parameters
    ----------
    audit
        Result of `plainfilm.audit_dataset`.
    path
        The file to write; missing folders are created.

    Returns
    -------
    path
        The written file.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    thumbnails = Thumbnails(audit.manifest, audit.findings)
    cards = [finding_card(finding, thumbnails, n) for n, finding in enumerate(audit.findings)]
    shortcuts = [baseline for baseline in audit.baselines if baseline.kind == "shortcut"]
    shifts = [baseline for baseline in audit.baselines if baseline.kind == "shift"]
    sections = [
        ("Findings", join(cards) or lead("No check reported a finding.")),
        (
            "Shortcuts",
            _baselines(
                "Baseline models are small models that predict the label from features that show "
                "little or no disease. They are cross-validated by patient. A network can learn "
                "the same shortcuts: compare its AUROC with these.",
                shortcuts,
                audit,
            ),
        ),
        (
            "Differences between splits",
            _baselines(
                "The same baseline models predict the split of an image, within one class, so that "
                "the prevalence plays no part. If they succeed, the splits come from different "
                "sources or times, and results on one may not hold on the other.",
                shifts,
                audit,
            ),
        ),
    ]
    footer = element(
        "p",
        "Written by plainfilm ",
        element("code", __version__),
        ". This page contains no scripts and loads nothing. It contains thumbnails of images: "
        "protect it like the images.",
    )
    page = render_page(
        f"{audit.manifest.name} – plainfilm audit",
        _first(audit, shortcuts),
        sections,
        footer,
        styles=("report.css", "audit.css"),
    )
    path = Path(path)
    write_text(path, page)
    return path


def _baselines(text: str, baselines: Sequence[Baseline], audit: Audit) -> Html:
    parts = [lead(text)]
    if audit.quick:
        note = "This was a quick audit: the models see only the size of the files."
        parts.append(quiet(note))
    if baselines:
        parts += [forest(baselines), baseline_cards(baselines, baselines[0].kind)]
    else:
        note = "Not checked: no two groups have at least 10 images each."
        parts.append(lead(note))
    return join(parts)


def _first(audit: Audit, shortcuts: Sequence[Baseline]) -> Html:
    """Return the first screen: the verdict, the findings, the data and the shortcuts."""
    severity, headline, text = verdict(audit.findings, baselines=len(shortcuts), quick=audit.quick)
    about = [
        f"{counted(audit.images, 'image')} {'not decoded' if audit.quick else 'examined'}",
        when(datetime.now(UTC).isoformat()),
        f"data set {audit.manifest.hash[:12]}",
    ]
    plot = []
    if 0 < len(shortcuts) <= _MAX_ROWS:
        title = element("h2", "AUROC of the baseline models (0.5 is chance)", class_="next")
        plot = [title, forest(shortcuts, small=True)]
    findings = element(
        "section",
        element("h2", "Serious findings and warnings", id="doubt"),
        finding_links(audit.findings) or lead("None."),
        aria_labelledby="doubt",
    )
    data = element(
        "section",
        element("h2", "Data set", id="holds"),
        _counts(audit.manifest),
        *plot,
        aria_labelledby="holds",
    )
    headline = element("p", capitalised(headline), class_=f"verdict {severity}")
    about_data = quiet(" · ".join(about))
    header = page_header("audit", audit.manifest.name, headline, lead(text), about_data)
    return join([header, element("div", findings, data, class_="first")])


def _counts(manifest: Manifest) -> Html:
    """Return images, patients and classes of each split."""
    splits: dict[str, list[Record]] = {}
    for record in manifest.records:
        splits.setdefault(record.split or record.official or "not split", []).append(record)
    rows = [(name, splits[name]) for name in (*SPLITS, "not split") if name in splits]
    if len(rows) > 1:
        rows.append(("all", list(manifest.records)))
    task = manifest.task
    classes = task.classes if task.kind == "binary" else task.labels
    cells: list[Row] = []
    for name, records in rows:
        patients = len({record.patient for record in records})
        row: dict[str, str | int] = {"Split": name, "Images": len(records), "Patients": patients}
        for index, title in enumerate(classes[:_MAX_CLASSES]):
            column, value = (0, index) if task.kind == "binary" else (index, 1)
            row[title] = sum(record.labels[column] == value for record in records)
        cells.append(row)
    parts = [Table("splits", "Images and patients", cells).to_html()]
    if len(classes) > _MAX_CLASSES:
        text = f"The first {_MAX_CLASSES} of {len(classes)} labels."
        parts.append(quiet(text))
    if manifest.left_out:
        text = f"{counted(len(manifest.left_out), 'file')} left out of the list."
        parts.append(quiet(text))
    return join(parts)
