"""The audit as an HTML page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from plainfilm import __version__
from plainfilm._files import write_text
from plainfilm.audit import Audit
from plainfilm.data.characteristics import characterise_splits
from plainfilm.data.counts import count
from plainfilm.data.manifest import Manifest
from plainfilm.records import SPLITS
from plainfilm.report.audit.baselines import baseline_cards, forest
from plainfilm.report.audit.columns import columns_section
from plainfilm.report.audit.findings import finding_card, finding_links
from plainfilm.report.audit.pictures import Thumbnails
from plainfilm.report.audit.traces import styles_section, text_section
from plainfilm.report.audit.wording import counted, verdict
from plainfilm.report.characteristics_table import characteristics_table
from plainfilm.report.file_counts import split_rows
from plainfilm.report.html.markup import Html, element, join, lead, quiet
from plainfilm.report.html.page import page_header, render_page
from plainfilm.report.html.table import Table
from plainfilm.report.wording import capitalised, when

_MAX_ROWS = 8  # baseline models that fit on the first screen
_MAX_CLASSES = 8  # columns that fit on a phone
_SHORTCUTS = (
    "Baseline models are small models that predict the label from features that show little or no "
    "disease. They are cross-validated by patient. A network can learn the same shortcuts: compare "
    "its AUROC with these."
)
_SHIFTS = (
    "The same baseline models predict the split of an image, within one class, so that the "
    "prevalence plays no part. If they succeed, the splits come from different sources or times, "
    "and results on one may not hold on the other."
)


def write_audit_page(audit: Audit, path: str | Path) -> Path:
    """Write an audit as one HTML file without scripts or external resources, and return its path.

    The page contains thumbnails of the images that findings concern. Protect it like the images.

    Parameters
    ----------
    audit
        The audit.
    path
        File of the page; missing folders are created.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    thumbnails = Thumbnails(audit.manifest, audit.findings, audit.traces.marked)
    cards = [finding_card(finding, thumbnails, n) for n, finding in enumerate(audit.findings)]
    sections = [
        ("Findings", join(cards) or lead("No check reported a finding.")),
        ("Shortcuts", _baselines(_SHORTCUTS, audit, "shortcut")),
        ("Differences between splits", _baselines(_SHIFTS, audit, "shift")),
    ]
    groups = characterise_splits(audit.manifest)
    if any(own.has_traits for own in groups):
        sections.insert(1, ("Patients and images", characteristics_table(groups).to_html()))
    if audit.traces.texts:
        sections.insert(-1, ("Burnt-in text", text_section(audit.traces.texts, thumbnails)))
    if audit.traces.styles:
        own = (audit.traces.styles, audit.traces.style_results)
        sections.insert(-1, ("Acquisition styles", styles_section(*own, thumbnails)))
    if audit.columns:
        sections.insert(-1, ("Columns", columns_section(audit.columns)))
    footer = element(
        "p",
        "Written by plainfilm ",
        element("code", __version__),
        ". This page contains no scripts and loads nothing. It contains thumbnails of images: "
        "protect it like the images.",
    )
    page = render_page(
        f"{audit.manifest.name} – plainfilm audit",
        _first(audit),
        sections,
        footer,
        styles=("report.css", "audit.css"),
    )
    path = Path(path)
    write_text(path, page)
    return path


def _baselines(text: str, audit: Audit, kind: str) -> Html:
    parts = [lead(text)]
    if audit.quick:
        parts.append(quiet("This was a quick audit: the models see only the size of the files."))
    if baselines := [baseline for baseline in audit.baselines if baseline.kind == kind]:
        parts += [forest(baselines), baseline_cards(baselines, kind)]
    else:
        parts.append(lead("Not checked: no two groups have at least 10 images each."))
    return join(parts)


def _first(audit: Audit) -> Html:
    """Return the first screen: the verdict, the findings, the data and the shortcuts."""
    shortcuts = [baseline for baseline in audit.baselines if baseline.kind == "shortcut"]
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
    task, records = manifest.task, manifest.records
    splits = records.known_splits
    names: dict[str, str] = {**dict(zip(SPLITS, SPLITS, strict=True)), "": "not split"}
    counts = {
        name: count(task, records.where(splits == split))
        for split, name in names.items()
        if split in splits
    }
    if len(counts) > 1:
        counts["all"] = count(task, records)
    rows = split_rows(counts, limit=_MAX_CLASSES)
    parts = [Table("splits", "Images and patients", rows).to_html()]
    labels = len(next(iter(counts.values())).classes)
    if labels > _MAX_CLASSES:
        parts.append(quiet(f"The first {_MAX_CLASSES} of {labels} labels."))
    if manifest.left_out:
        parts.append(quiet(f"{counted(len(manifest.left_out), 'file')} left out of the list."))
    return join(parts)
