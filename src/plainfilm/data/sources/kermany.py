"""Downloads and checks the public data set of Kermany, Zhang and Goldbaum (2018)."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from plainfilm._files import explain_oserror, make_folder, write_text
from plainfilm._optional import require
from plainfilm._progress import Progress, silent
from plainfilm._text import plural
from plainfilm.data.sources.folders.list_folder import list_folder
from plainfilm.data.sources.listing import Listing
from plainfilm.errors import PlainfilmError, SourceError


class Client(Protocol):
    """The part of the ``kagglehub`` module that is used."""

    def dataset_download(self, handle: str) -> str:
        """Download a data set and return its folder."""


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A public data set: source, licence, citation and number of images."""

    handle: str
    title: str
    licence: str
    citation: str
    counts: Mapping[tuple[str, str], int]  # images of each (split, class)

    @property
    def notice(self) -> str:
        """Title, licence and citation, to show when the data set is downloaded."""
        return f"{self.title}\nLicence: {self.licence}\nCite: {self.citation}\n"


KERMANY = PublicSet(
    handle="paultimothymooney/chest-xray-pneumonia",
    title="Chest X-Ray Images (Pneumonia): 5,856 radiographs of children of one to five years, "
    "Guangzhou Women and Children's Medical Center",
    licence="CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    citation="Kermany D, Zhang K, Goldbaum M (2018): Labeled Optical Coherence Tomography (OCT) "
    "and Chest X-Ray Images for Classification. Mendeley Data, V2, doi:10.17632/rscbjbr9sj.2; "
    "Kermany DS et al. (2018): Identifying Medical Diagnoses and Treatable Diseases by "
    "Image-Based Deep Learning. Cell 172:1122-1131, doi:10.1016/j.cell.2018.02.010",
    counts={
        ("train", "NORMAL"): 1341,
        ("train", "PNEUMONIA"): 3875,
        ("validation", "NORMAL"): 8,
        ("validation", "PNEUMONIA"): 8,
        ("test", "NORMAL"): 234,
        ("test", "PNEUMONIA"): 390,
    },
)
"""Kermany's data set in the Kaggle archive."""

# The optional last number is for one irregular name, person447_virus_921_1.jpeg.
_NAMES = {
    "NORMAL": re.compile(r"(NORMAL2-)?IM-\d+-\d+(-\d+)?\.jpe?g"),
    "PNEUMONIA": re.compile(r"person\d+_(bacteria|virus)_\d+(_\d+)?\.jpe?g"),
}


def verify_kermany(folder: Path | str) -> None:
    """Check the numbers and names of images against the published data set.

    Raises `SourceError` if a number differs, a name has another form, or a file is empty.
    """
    _verify(list_folder(Path(folder)), Path(folder), KERMANY.counts)


def _verify(listing: Listing, folder: Path, counts: Mapping[tuple[str, str], int]) -> None:
    found = Counter((str(item.official), str(item.label)) for item in listing.items)
    wrong = [
        f"{split}/{label}: {found[split, label]} instead of {expected}"
        for (split, label), expected in counts.items()
        if found[split, label] != expected
    ]
    wrong += [f"unexpected {split}/{label}" for split, label in sorted(set(found) - set(counts))]
    wrong += [f"{item.id} is {item.reason}" for item in listing.left_out[:5]]
    named = [(item.id, _NAMES.get(str(item.label))) for item in listing.items]
    unexpected = [i for i, known in named if known and not known.fullmatch(i.rsplit("/", 1)[-1])]
    if unexpected:
        wrong.append(f"{plural(len(unexpected), 'unexpected name')} such as {unexpected[0]}")
    if wrong:
        raise SourceError(
            "the folder is not the complete published data set",
            received=f"{folder}: {'; '.join(wrong)}",
            remedy="remove the folder and the download cache, and download it again",
        )


def fetch_kermany(
    out: Path | str,
    *,
    client: Client | None = None,
    progress: Progress = silent,
    counts: Mapping[tuple[str, str], int] | None = None,
) -> Path:
    """Download Kermany's chest radiographs (1.2 GB) and check that they are complete.

    The archive contains every image twice; one copy is kept. Licence and citation are in
    ``KERMANY.notice`` and in a file next to the images.

    Parameters
    ----------
    out
        Parent folder of ``chest_xray``. If that is complete, nothing is downloaded.
    client
        The ``kagglehub`` module or a replacement.
    progress
        Callback for the stages ``fetching`` and ``copying images``.
    counts
        Expected numbers of images; those of ``KERMANY`` if None.

    Returns ``out/chest_xray``, for :func:`load_dataset`.

    Raises
    ------
    MissingExtraError
        If ``kagglehub`` is not installed.
    SourceError
        If the download fails or differs from the published data set.
    StorageError
        If ``out`` cannot be written.
    """
    target = Path(out) / "chest_xray"
    expected = KERMANY.counts if counts is None else counts
    if target.exists():
        _verify(list_folder(target), target, expected)
        return target
    chosen = require("kagglehub", "fetch") if client is None else client
    make_folder(Path(out))
    progress("fetching", 0, 1, KERMANY.licence)
    try:
        source = Path(chosen.dataset_download(KERMANY.handle))
    except PlainfilmError:
        raise
    except Exception as error:  # the errors of the client are not documented
        raise SourceError(
            "the download failed",
            received=f"{type(error).__name__}: {error}",
            remedy="check the network connection, or download it from "
            f"https://www.kaggle.com/datasets/{KERMANY.handle} and give its folder",
        ) from error
    progress("fetching", 1, 1, KERMANY.licence)
    listing = list_folder(source)
    _verify(listing, source, expected)
    _copy(listing, target, progress)
    return target


def _copy(listing: Listing, target: Path, progress: Progress) -> None:
    """Copy the images to a temporary folder and rename it when all are copied."""
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".chest_xray.") as scratch:
            draft = Path(scratch) / target.name
            for done, item in enumerate(listing.items):
                copy = draft / item.id
                copy.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(item.real, copy)
                if done % 100 == 0:
                    progress("copying images", done, len(listing.items))
            write_text(draft / "NOTICE.txt", KERMANY.notice)
            draft.replace(target)
    except OSError as error:
        raise explain_oserror(error, target) from error
    progress("copying images", len(listing.items), len(listing.items))


def _link_or_copy(source: str, target: Path) -> None:
    try:
        os.link(source, target)  # saves a gigabyte if the download cache is on the same disk
    except OSError:
        shutil.copyfile(source, target)
