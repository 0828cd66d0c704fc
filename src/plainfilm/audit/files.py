"""Checks of the files: readability, format, colour, size, and what the header says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import images, join_names, make_finding, share
from plainfilm.bundle.rejection import CHEST, RADIOGRAPHS
from plainfilm.pixels.metadata import CORRECTIONS
from plainfilm.records import Finding

_REASONS = {
    "empty": "the file is empty",
    "truncated": "the file ends before the image is complete",
    "not-an-image": "the file is not an image",
    "missing": "the file does not exist",
    "corrupt": "the file is damaged",
    "no-pixels": "the file contains no pixel data",
    "too-large": "the image exceeds the size limit",
    "needs-codec": "the decoder for its compression is not installed",
}
UNREADABLE = frozenset({*_REASONS, "unreadable"})
"""Finding ids of files that cannot be read."""
_REPORTED = frozenset({"copy", "excluded", "mask"})  # by the listing, or asked for by the user
_WITHOUT_LABEL = frozenset({"no-label", "uncertain"})
_REMEDIES = {
    "needs-codec": "install the decoders (pip install '.[dicom]') and repeat the audit",
    "no-pixels": "none needed: DICOM reports, plans and directories contain no image",
    "not-an-image": "none needed if they are not radiographs; otherwise obtain the files again",
    "unsupported-format": "convert the files to another format",
    "too-large": "if they are radiographs, save them at a smaller size",
    "strange-name": "rename the files",
    "missing": "check whether the files were moved",
}
_MANY_UNREADABLE = 0.02
_FORMATS = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), "jpeg"),
    "png": "png",
    **dict.fromkeys(("tif", "tiff"), "tiff"),
    **dict.fromkeys(("bmp", "dib"), "bmp"),
    "webp": "webp",
    **dict.fromkeys(("dcm", "dicom", "dic", "ima"), "dicom"),
}
_SMALL = 96  # pixels
_SMALL_SHARE = 0.2  # of the median shorter side
_MAX_ASPECT_RATIO = 2.5
_LATERAL = {"LL", "RL", "LATERAL", "LAT", "LLD", "RLD"}


def check_readable(evidence: Evidence) -> Iterator[Finding]:
    """Report files that cannot be read, by reason."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for item in evidence.left_out:
        if item.reason not in _REPORTED:
            reasons[item.reason].append(item.id)
    total = len(evidence) + len(evidence.left_out)
    for reason, ids in sorted(reasons.items(), key=lambda item: -len(item[1])):
        yield make_finding(
            reason if reason in _REASONS else "unreadable",
            "serious" if len(ids) > max(1, _MANY_UNREADABLE * total) else "warning",
            f"{len(ids):,} of {total:,} files "
            f"{'are not used' if reason in _WITHOUT_LABEL else 'cannot be read'}: "
            f"{_REASONS.get(reason, reason.replace('-', ' '))}",
            ids,
            consequence="these files are excluded; if the cause is related to the label, the rest "
            "of the data is biased",
            remedy=_REMEDIES.get(
                reason,
                "check the labels" if reason in _WITHOUT_LABEL else "obtain the files again",
            ),
            exclude=ids,
        )


def check_formats(evidence: Evidence) -> Iterator[Finding]:
    """Report files whose extension does not match their format."""
    ids, mismatches = [], set()
    for identity, found in zip(evidence.ids, evidence.metadata.values("format"), strict=True):
        actual = str(found or "")
        extension = identity.rpartition(".")[2].lower()
        if actual and _FORMATS.get(extension, actual) != actual:
            ids.append(identity)
            mismatches.add(f"{actual} named .{extension}")
    if ids:
        yield make_finding(
            "wrong-file-extension",
            "note",
            f"{images(len(ids), 'have')} a file extension that does not match the format "
            f"({join_names(sorted(mismatches))})",
            ids,
            consequence="plainfilm reads these files by their content, but other software may fail",
            remedy="rename the files, and find the cause: if one class is affected more often, the "
            "cause is a shortcut",
        )


def check_colour(evidence: Evidence) -> Iterator[Finding]:
    """Report images in colour."""
    if ids := evidence.ids_where(np.nan_to_num(evidence.numbers("coloured")) > 0):
        yield make_finding(
            "colour-image",
            "note" if len(ids) > len(evidence) / 2 else "warning",
            f"colour in {len(ids):,} of {images(len(evidence))}; radiographs are greyscale",
            ids,
            consequence="a colour image may be a photograph of a screen or an annotated copy, and "
            "a model may learn the difference",
            remedy="view these images, and exclude those that are not original radiographs",
        )


def check_sizes(evidence: Evidence) -> Iterator[Finding]:
    """Report images that are much smaller than the rest, or unusually long."""
    width, height = evidence.numbers("width"), evidence.numbers("height")
    if not np.isfinite(width).any():
        return
    shorter, longer = np.fmin(width, height), np.fmax(width, height)
    median = float(np.nanmedian(shorter))
    # In a data set of small images, only those clearly below its median are reported.
    small = shorter < (min(_SMALL, 0.75 * median) if median < 2 * _SMALL else _SMALL)
    small |= shorter < _SMALL_SHARE * median
    if ids := evidence.ids_where(small):
        yield make_finding(
            "small-image",
            "warning",
            f"{images(len(ids), 'are')} much smaller than the rest (the median of the shorter side "
            f"is {median:.0f} pixels)",
            ids,
            consequence="details that are lost at this size can be neither learnt nor recognised",
            remedy="obtain the images at full size, or exclude them",
            exclude=ids,
        )
    if ids := evidence.ids_where((longer / shorter > _MAX_ASPECT_RATIO) & ~small):
        yield make_finding(
            "unusual-aspect-ratio",
            "warning",
            f"{images(len(ids), 'have')} a longer side of more than {_MAX_ASPECT_RATIO:g} times "
            "the shorter side",
            ids,
            consequence="such a strip is a part of a radiograph, or not a radiograph",
            remedy="view these images, and exclude those that are not complete radiographs",
        )


def check_header(evidence: Evidence) -> Iterator[Finding]:
    """Report images whose header does not describe a frontal chest radiograph."""
    modality, body_part, lateral = [], [], []
    cells = (evidence.metadata.values(name) for name in ("modality", "body_part", "view"))
    for identity, kind, part, view in zip(evidence.ids, *cells, strict=True):
        if kind and kind not in RADIOGRAPHS:
            modality.append((identity, str(kind)))
        elif part and part not in CHEST:
            body_part.append((identity, str(part)))
        elif view in _LATERAL:
            lateral.append((identity, str(view)))
    for check, rows, description in (
        ("wrong-modality", modality, "a modality other than radiography"),
        ("wrong-body-part", body_part, "a body part other than the chest"),
        ("lateral-view", lateral, "a lateral view"),
    ):
        if rows:
            ids = [identity for identity, _ in rows]
            values = join_names(sorted({value for _, value in rows}))
            yield make_finding(
                check,
                "warning",
                f"{images(len(ids), 'have')} a file header that states {description}: {values} "
                f"({share(len(ids), len(evidence))} of all images)",
                ids,
                consequence="a classifier of frontal chest radiographs is not valid for these "
                "images",
                remedy="exclude them, unless the header is wrong",
                exclude=ids,
            )


def check_corrections(evidence: Evidence) -> Iterator[Finding]:
    """Report images that are not displayed as their header states, because the data overrule it."""
    found: dict[str, list[str]] = defaultdict(list)
    for identity, text in zip(evidence.ids, evidence.metadata.values("corrected"), strict=True):
        for word in str(text or "").split():
            found[word].append(identity)
    for check, words, consequence in _CORRECTED:
        # The words in their order, so that the text does not depend on the order of the images.
        counts = [f"{CORRECTIONS[word]} ({len(found[word]):,})" for word in words if word in found]
        if counts:
            ids = sorted({identity for word in words for identity in found[word]})
            yield make_finding(
                check,
                "note" if check == "extreme-pixels" else "warning",
                f"{images(len(ids), 'have')} {'; '.join(counts)}",
                ids,
                consequence=consequence,
                remedy="view some of these images; if one class is affected more often, the cause "
                "is a shortcut",
            )


_UNUSED = ("window",)
_EXTREME = ("outliers",)
_CORRECTED = (
    (
        "contradictory-header",
        tuple(word for word in CORRECTIONS if word not in (*_UNUSED, *_EXTREME)),
        "plainfilm decodes these images as the data are; other software may show them differently "
        "or not at all",
    ),
    (
        "unused-window",
        _UNUSED,
        "plainfilm uses another window of the file, or the range of its values; other software "
        "shows these images as almost uniform",
    ),
    (
        "extreme-pixels",
        _EXTREME,
        "these pixels become black or white; the grey scale of the image is that of all others",
    ),
)

FILE_CHECKS = (
    check_readable,
    check_formats,
    check_colour,
    check_sizes,
    check_header,
    check_corrections,
)
