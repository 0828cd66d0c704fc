"""Searches an archive for radiographs and fetches them, by QIDO-RS and WADO-RS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import urlencode

from plainfilm.pacs.web_get import WebError, WebReader

MODALITIES = ("CR", "DX")
_PAGE = 100
_MOST_RESULTS = 20_000
_SEARCH_BYTES = 16 << 20
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_NO_SUCH_SEARCH = ("http-400", "http-404", "http-405", "http-501")
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_SOP_CLASS, _MODALITY, _STUDY_DATE, _COUNT = "00080016", "00080060", "00080020", "00201209"


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series; ``count`` is the number of its instances, if the archive states it."""

    study: str
    series: str
    count: int | None

    @property
    def path(self) -> str:
        """Path of the series below the root of the service."""
        return f"/studies/{self.study}/series/{self.series}"


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """An instance, and its class, if the archive states it."""

    uid: str
    sop_class: str


@dataclass(slots=True)
class Archive:
    """Searches one archive.

    Attributes
    ----------
    problems
        Codes of what could not be read completely: ``too-many-results`` (the first are used) and
        ``invalid-uid`` (such an entry is left out).
    """

    reader: WebReader
    problems: set[str] = field(default_factory=set)
    _by_study: bool = field(default=False, init=False)

    def series(self, first: date, last: date) -> Iterator[FoundSeries]:
        """Search for series of CR and DX by their study's date; both days are included.

        An archive that does not search for series of all studies is asked for the studies first.
        Studies without a date are not found.
        """
        days = f"{first:%Y%m%d}", f"{last:%Y%m%d}"
        if not self._by_study:
            try:
                yield from self._all_series(days)
                return
            except WebError as error:
                if error.code not in _NO_SUCH_SEARCH:
                    raise
            self._by_study = True
        for study in self._search("/studies", {"StudyDate": "-".join(days)}, _STUDY):
            if _within(study, days):
                yield from self._found(f"/studies/{_text(study, _STUDY)}/series", {}, days, study)

    def _all_series(self, days: tuple[str, str]) -> Iterator[FoundSeries]:
        """Search for series of all studies, once for each modality."""
        for modality in MODALITIES:
            query = {"StudyDate": "-".join(days), "Modality": modality}
            yield from self._found("/series", query, days, {})

    def _found(
        self, path: str, query: Mapping[str, str], days: tuple[str, str], study: Mapping[str, Any]
    ) -> Iterator[FoundSeries]:
        """Return the series of a search; the archive may have ignored its filters."""
        for one in self._search(path, {**query, "includefield": _COUNT}, _SERIES):
            one = {**study, **one}
            if not _is_uid(_text(one, _STUDY)):
                self.problems.add("invalid-uid")
            elif _text(one, _MODALITY) in MODALITIES and _within(one, days):
                count = _text(one, _COUNT)
                number = int(count) if count.isdecimal() and len(count) < 10 else None
                yield FoundSeries(_text(one, _STUDY), _text(one, _SERIES), number)

    def instances(self, series: FoundSeries) -> Iterator[FoundInstance]:
        """Return the instances of a series."""
        for one in self._search(f"{series.path}/instances", {}, _INSTANCE):
            yield FoundInstance(_text(one, _INSTANCE), _text(one, _SOP_CLASS))

    def fetch(self, series: FoundSeries, uid: str, most: int) -> memoryview:
        """Return the file of an instance, of at most ``most`` bytes."""
        return self.reader.file(f"{series.path}/instances/{uid}", most)

    def _search(self, path: str, query: Mapping[str, str], key: str) -> Iterator[dict[str, Any]]:
        """Read a search page by page.

        An archive may return fewer results than asked for, so a search ends with a page without
        new ones. One that returns more has ignored the limit, and has no further page.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            words = urlencode({**query, "limit": _PAGE, "offset": offset})
            page = self.reader.json(f"{path}?{words}", _SEARCH_BYTES)
            before = len(seen)
            for one in page:
                uid = _text(one, key)
                if not _is_uid(uid):
                    self.problems.add("invalid-uid")
                elif len(seen) >= _MOST_RESULTS:
                    self.problems.add("too-many-results")
                    return
                elif uid not in seen:
                    seen.add(uid)
                    yield one
            offset += len(page)
            if len(seen) == before or len(page) > _PAGE:
                return


def _is_uid(text: str) -> bool:
    """Return whether a text can be a UID; it becomes part of a path."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def _text(found: Mapping[str, Any], tag: str) -> str:
    """Return the first value of an element of DICOM JSON as text, or ''."""
    element = found.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    first = values[0] if isinstance(values, list) and values else ""
    return str(first).strip(" \0") if isinstance(first, str | int) else ""


def _within(found: Mapping[str, Any], days: tuple[str, str]) -> bool:
    """Return whether a study has a date in a range; a date that is not stated is in it."""
    stated = _text(found, _STUDY_DATE)
    return not re.fullmatch(r"\d{8}", stated) or days[0] <= stated <= days[1]
