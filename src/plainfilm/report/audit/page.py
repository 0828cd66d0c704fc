"""One HTML file that shows an audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plainfilm import __version__
from plainfilm._files import write_text
from plainfilm.audit.run import Audit
from plainfilm.data.manifest import Manifest
from plainfilm.records import SPLITS, Record
from plainfilm.report.audit.baselines import probe_cards
from plainfilm.report.audit.cards import finding_cards, finding_links
from plainfilm.report.audit.content import unreadable
from plainfilm.report.audit.forest import forest
from plainfilm.report.audit.pictures import Thumbnails
from plainfilm.report.audit.wording import counted, verdict
from plainfilm.report.html.markup import Html, element, join
from plainfilm.report.html.page import render_page
from plainfilm.report.html.tables import table
from plainfilm.report.wording import count, when

__all__ = ["write_audit_page"]

_FEW = 8  # probes that fit the first screen
_CLASSES = 8  # columns of a table that can be read on a phone, scrolling


def write_audit_page(audit: Audit, path: str | Path) -> Path:
    """Write an audit as one self-contained HTML page.

    The page loads nothing and runs nothing. It holds small copies of the images that findings are
    about: treat it like the images.

    Parameters
    ----------
    audit
        What `plainfilm.audit` found.
    path
        Where the file goes; folders are made as needed.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    StorageError
        If the disk does not take the file.
    """
    probes = [probe.to_json() for probe in audit.probes]
    shortcuts = [probe for probe in probes if probe["about"] == "shortcut"]
    shifts = [probe for probe in probes if probe["about"] != "shortcut"]
    thumbnails = Thumbnails(audit.manifest, unreadable(audit.findings))
    sections = [
        ("Findings", _findings(audit, thumbnails)),
        ("How far does a cheat get?", _shortcuts(shortcuts, audit)),
        ("Can the splits be told apart?", _shifts(shifts, audit)),
    ]
    footer = element(
        "p",
        "Written by plainfilm ",
        element("code", __version__),
        ". This page loads nothing and runs nothing. It holds small copies of images: treat it "
        "like the images.",
    )
    written = render_page(
        f"{audit.manifest.name} – plainfilm audit",
        _first(audit, shortcuts),
        sections,
        footer,
        styles=("report.css", "audit.css"),
    )
    path = Path(path)
    write_text(path, written)
    return path


def _first(audit: Audit, shortcuts: Sequence[dict[str, Any]]) -> Html:
    grave, told, words = verdict(
        audit.findings, images=audit.images, probes=len(shortcuts), quick=audit.quick
    )
    about = [
        f"{counted(audit.images, 'image')} looked at"
        if not audit.quick
        else f"{counted(audit.images, 'image')}, none of them opened",
        when(datetime.now(UTC).isoformat()),
        f"data set {audit.manifest.hash[:12]}",
    ]
    shown = finding_links(audit.findings)
    nothing = "Nothing that was found." if grave == "clean" else "Too few images to tell."
    picture = []
    if 0 < len(shortcuts) <= _FEW:
        title = element("h2", "How far a cheat gets: 0.5 is guessing", class_="next")
        picture = [title, forest(shortcuts, small=True)]
    return join(
        [
            element(
                "header",
                element("p", "plainfilm · audit", class_="kicker"),
                element("h1", audit.manifest.name),
                element("p", f"{told[0].upper()}{told[1:]}", class_=f"verdict {grave}"),
                element("p", words, class_="lead"),
                element("p", " · ".join(about), class_="quiet"),
                class_="top",
            ),
            element(
                "div",
                element(
                    "section",
                    element("h2", "What would fool an evaluation", id="doubt"),
                    shown or element("p", nothing, class_="lead"),
                    aria_labelledby="doubt",
                ),
                element(
                    "section",
                    element("h2", "What it holds", id="holds"),
                    _counts(audit.manifest),
                    *picture,
                    aria_labelledby="holds",
                ),
                class_="first",
            ),
        ]
    )


def _counts(manifest: Manifest) -> Html:
    """Return images, patients and classes of every split, as given or as split."""
    places: dict[str, list[Record]] = {}
    for record in manifest.records:
        places.setdefault(record.split or record.official or "not split", []).append(record)
    order = [*SPLITS, "not split"]
    names = sorted(places, key=order.index)
    rows = [(name, places[name]) for name in names]
    rows = [*rows, ("all", list(manifest.records))] if len(rows) > 1 else rows
    task = manifest.task
    classes = task.classes if task.kind == "binary" else task.labels
    kept = classes[:_CLASSES]
    cells = [(name, *_row(records, manifest, kept)) for name, records in rows]
    head = ("Split", "Images", "Patients", *kept)
    parts = [table("Images and patients", head, cells)]
    if len(classes) > len(kept):
        words = f"The first {len(kept)} of {len(classes)} labels."
        parts.append(element("p", words, class_="quiet"))
    if manifest.left_out:
        words = f"{counted(len(manifest.left_out), 'file')} left out while listing."
        parts.append(element("p", words, class_="quiet"))
    return join(parts)


def _row(records: Sequence[Record], manifest: Manifest, classes: Sequence[str]) -> list[str]:
    task = manifest.task
    patients = len({record.patient for record in records})
    numbers = [len(records), patients]
    for place, _ in enumerate(classes):
        column, value = (0, place) if task.kind == "binary" else (place, 1)
        numbers.append(sum(record.labels[column] == value for record in records))
    return [count(number) for number in numbers]


def _findings(audit: Audit, thumbnails: Thumbnails) -> Html:
    if not audit.findings:
        return element("p", "No check found anything.", class_="lead")
    return finding_cards(audit.findings, thumbnails)


def _shortcuts(probes: Sequence[dict[str, Any]], audit: Audit) -> Html:
    words = element(
        "p",
        "Small models that see nothing of the lungs, or next to nothing, are asked for the label, "
        "each image by a model that has not seen its patient. What they can tell, a network can "
        "tell too, and it need not look any further. Hold the AUROC of your network against these.",
        class_="lead",
    )
    return _asked(words, probes, audit, "cheat")


def _shifts(probes: Sequence[dict[str, Any]], audit: Audit) -> Html:
    words = element(
        "p",
        "The same models are asked which split an image is from, within one class, so that "
        "the share of the disease gives nothing away. Where they succeed, the splits come "
        "from different places or times, and results on one need not hold on the other.",
        class_="lead",
    )
    return _asked(words, probes, audit, "shift")


def _asked(words: Html, probes: Sequence[dict[str, Any]], audit: Audit, prefix: str) -> Html:
    if not probes:
        few = "Cannot tell: no two groups have at least 10 images each."
        return join([words, element("p", few, class_="lead")])
    parts = [words, forest(probes), probe_cards(probes, prefix)]
    if audit.quick:
        note = "This was a quick audit: only the files' sizes were seen. The others see the pixels."
        parts.insert(1, element("p", note, class_="quiet"))
    return join(parts)
