"""Files that are no image, or not the kind of image that their name or neighbours promise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from plainfilm.audit.evidence import Evidence
from plainfilm.audit.findings import found, images, listed, share
from plainfilm.records import Finding

__all__ = ["check_colour", "check_formats", "check_origin", "check_readable", "check_sizes"]

_MANY = 0.02
_REASONS = {
    "empty": "hold nothing at all",
    "truncated": "end before the image is complete",
    "not-an-image": "are no image",
    "missing": "are not there",
    "corrupt": "are damaged",
    "no-pixels": "describe an image but hold none",
    "too-large": "are larger than may be read",
    "needs-codec": "need a decoder that is not installed",
}
_NAMED = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), "jpeg"),
    "png": "png",
    **dict.fromkeys(("tif", "tiff"), "tiff"),
    **dict.fromkeys(("bmp", "dib"), "bmp"),
    "webp": "webp",
    **dict.fromkeys(("dcm", "dicom", "dic", "ima"), "dicom"),
}
_TINY = 96
_TINY_SHARE = 0.2
_LONG = 2.5
_RADIOGRAPHS = {"CR", "DX", "DR", "RG", "OT", "SC", "XC", "PX"}
_CHESTS = ("CHEST", "THORAX", "LUNG", "RIB", "HEART")
_SIDEWAYS = {"LL", "RL", "LATERAL", "LAT", "LLD", "RLD"}


_ADVICE = {
    "needs-codec": "pip install '.[dicom]', and audit again; until then they are left out",
    "no-pixels": "nothing: reports, plans and directories have no pixels; they are left out",
    "not-an-image": "nothing, if they are none; else fetch them again",
    "unsupported-format": "save them in another format; until then they are left out",
    "too-large": "save them smaller, if they are radiographs; until then they are left out",
    "strange-name": "rename them; until then they are left out",
    "missing": "see whether they were moved; until then they are left out",
}


def check_readable(evidence: Evidence) -> Iterator[Finding]:
    """Report files that could not be read, by reason."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in evidence.left_out:
        if row.reason != "excluded":  # that was somebody's wish
            reasons[row.reason].append(row.id)
    total = len(evidence) + len(evidence.left_out)
    for reason, ids in sorted(reasons.items(), key=lambda item: -len(item[1])):
        how = _REASONS.get(reason, f"cannot be read ({reason})")
        verb = how if len(ids) > 1 else _singular(how)
        yield found(
            reason if reason in _REASONS else "unreadable",
            "serious" if len(ids) > max(1, _MANY * total) else "warning",
            f"{len(ids):,} of {total:,} files {verb}",
            ids,
            consequence="what is left out may be left out for a reason that has to do with the label",
            remedy=_ADVICE.get(reason, "fetch them again; until then they are left out"),
            exclude=ids,
        )


def _singular(how: str) -> str:
    first, _, rest = how.partition(" ")
    one = {"are": "is", "hold": "holds", "end": "ends", "describe": "describes", "need": "needs"}
    return f"{one.get(first, first)} {rest}".replace("but hold ", "but holds ")


def check_formats(evidence: Evidence) -> Iterator[Finding]:
    """Report files whose content is of another format than their name says."""
    wrong, kinds = [], set()
    for identity, metadata in zip(evidence.ids, evidence.metadata, strict=True):
        kind = str(metadata.get("format", ""))
        ending = identity.rpartition(".")[2].lower()
        if kind and _NAMED.get(ending, kind) != kind:
            wrong.append(identity)
            kinds.add(f"{kind} named .{ending}")
    if wrong:
        yield found(
            "mislabelled-format",
            "note",
            f"{images(len(wrong))} of another format than the name says ({listed(sorted(kinds))})",
            wrong,
            consequence="they are read by their content, but other software may read them wrongly or not",
            remedy="rename them, and find out where they come from: it may go with the label",
        )


def check_colour(evidence: Evidence) -> Iterator[Finding]:
    """Report images that show colour among grey ones."""
    colour = np.nan_to_num(evidence.fact("coloured")) > 0
    ids = [evidence.ids[row] for row in np.flatnonzero(colour)]
    if ids:
        most = len(ids) > len(evidence) / 2
        yield found(
            "colour",
            "note" if most else "warning",
            f"{images(len(ids))} of {len(evidence):,} in colour: a radiograph has none",
            ids,
            consequence="a photograph of a screen or a drawn-on picture is no radiograph of its own kind",
            remedy="look at them, and leave out what is no radiograph",
        )


def check_sizes(evidence: Evidence) -> Iterator[Finding]:
    """Report images that are tiny, or of a shape that no radiograph has."""
    width, height = evidence.fact("width"), evidence.fact("height")
    if not np.isfinite(width).any():
        return
    shorter, longer = np.fmin(width, height), np.fmax(width, height)
    typical = float(np.nanmedian(shorter))
    # Where all are small, that is how the set was made.
    tiny = shorter < (min(_TINY, 0.75 * typical) if typical < 2 * _TINY else _TINY)
    tiny |= shorter < _TINY_SHARE * typical
    ids = [evidence.ids[row] for row in np.flatnonzero(tiny)]
    if ids:
        yield found(
            "tiny",
            "warning",
            f"{images(len(ids))} much smaller than the others (the typical shorter side has "
            f"{typical:.0f} pixels)",
            ids,
            consequence="what cannot be seen in a thumbnail cannot be learnt from it",
            remedy="fetch them in full size, or leave them out",
            exclude=ids,
        )
    long = (longer / shorter > _LONG) & ~tiny
    ids = [evidence.ids[row] for row in np.flatnonzero(long)]
    if ids:
        yield found(
            "odd-shape",
            "warning",
            f"{images(len(ids))} more than {_LONG:g} times as long as wide",
            ids,
            consequence="a strip is a part of a radiograph, or something else",
            remedy="look at them",
        )


def check_origin(evidence: Evidence) -> Iterator[Finding]:
    """Report what the files themselves say is no frontal radiograph of the chest."""
    modality, part, lateral = [], [], []
    for identity, metadata in zip(evidence.ids, evidence.metadata, strict=True):
        kind = str(metadata.get("modality", ""))
        body = str(metadata.get("body_part", ""))
        if kind and kind not in _RADIOGRAPHS:
            modality.append((identity, kind))
        elif body and not any(word in body for word in _CHESTS):
            part.append((identity, body))
        elif str(metadata.get("view", "")) in _SIDEWAYS:
            lateral.append((identity, str(metadata["view"])))
    for check, rows, what in (
        ("wrong-modality", modality, "another modality than a radiograph"),
        ("wrong-body-part", part, "another body part than the chest"),
        ("lateral-view", lateral, "a lateral view"),
    ):
        if rows:
            named = listed(sorted({name for _, name in rows}))
            yield found(
                check,
                "warning",
                f"{images(len(rows))} ({share(len(rows), len(evidence))}) of {what}, by their own "
                f"header: {named}",
                [identity for identity, _ in rows],
                consequence="a classifier of frontal chest radiographs has no answer for them",
                remedy="leave them out, unless the header is wrong",
                exclude=[identity for identity, _ in rows],
            )
