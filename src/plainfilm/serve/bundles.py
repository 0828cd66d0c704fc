"""The bundles that are served, by name; swapped without dropping a request.

A request takes hold of its bundle once, at its beginning. A swap replaces what the name means for
the requests that follow; the old bundle is gone when the last request that holds it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm import __version__
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.errors import PlainfilmError, UsageError
from plainfilm.runtime import Predictor
from plainfilm.serve.batching import Batcher
from plainfilm.serve.describe import describe, read_evaluation

__all__ = ["Named", "Served", "Shelf", "parse_named"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Named:
    """A name and the folder of a bundle, or of a run."""

    name: str
    path: Path


def parse_named(words: Iterable[str]) -> list[Named]:
    """Read ``[NAME=]PATH`` words; without a name a bundle has that of its folder.

    Raises
    ------
    UsageError
        For a name of other characters, or one that is given twice.
    """
    found: list[Named] = []
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or "/" in name:
            path = word
            folder = Path(path).resolve()
            name = folder.parent.name if folder.name == "bundle" else folder.name
        if not _NAME.fullmatch(name):
            raise UsageError(
                "a bundle's name has letters, digits, dots, hyphens and underscores, up to 64",
                received=repr(name),
                remedy="name it: NAME=PATH",
            )
        if any(other.name == name for other in found):
            raise UsageError("two bundles have the same name", received=name, remedy="NAME=PATH")
        found.append(Named(name, Path(path)))
    if not found:
        raise UsageError("there is no bundle to serve")
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One bundle, ready to answer.

    Attributes
    ----------
    name
        By which clients ask for it.
    predictor, batcher
        What answers.
    identity
        Name, id and version, as every answer tells them.
    model
        The answer to ``GET /v1/model``.
    card
        Its model card, Markdown.
    report
        The HTML page of its evaluation, or None.
    """

    name: str
    predictor: Predictor
    batcher: Batcher
    identity: Mapping[str, str]
    model: Mapping[str, Any]
    card: str
    report: Path | None

    @property
    def bundle(self) -> Bundle:
        """Return the bundle itself."""
        return self.predictor.bundle


class Shelf:
    """All bundles that are served; the first is the one that answers where none is named.

    Parameters
    ----------
    named
        Names and folders.
    executor
        Where the networks run.
    runs
        Runs of one bundle's network at a time.
    tell
        Called with the number of images of each run.

    Raises
    ------
    BundleError
        If one cannot be opened.
    """

    def __init__(
        self,
        named: Sequence[Named],
        executor: Executor,
        runs: int,
        *,
        tell: Any = lambda count: None,
    ) -> None:
        self._named, self._executor, self._runs, self._tell = named, executor, runs, tell
        self._served = {one.name: self._open(one) for one in named}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    @property
    def default(self) -> str:
        """Return the name of the bundle that answers where none is named."""
        return self._named[0].name

    def get(self, name: str | None) -> Served | None:
        """Return a bundle by its name, or the default one; None if there is none."""
        return self._served.get(self.default if name is None else name)

    def reread(self) -> list[tuple[str, Served | PlainfilmError]]:
        """Open every bundle again from its folder, and return what became of each.

        One that cannot be opened leaves its predecessor where it is. Takes seconds: call it in a
        thread.
        """
        outcomes: list[tuple[str, Served | PlainfilmError]] = []
        for one in self._named:
            try:
                opened = self._open(one)
            except PlainfilmError as error:
                outcomes.append((one.name, error))
            else:
                # A copy is changed and then takes the old one's place, in one step.
                self._served = {**self._served, one.name: opened}
                outcomes.append((one.name, opened))
        return outcomes

    def _open(self, one: Named) -> Served:
        bundle = read_bundle(one.path)
        # One thread a run: several runs at a time use the cores better than one run on all of them.
        predictor = Predictor(bundle, threads=1)
        folder = _evaluation_folder(bundle)
        evaluation = read_evaluation(folder, bundle) if folder is not None else None
        report = folder / "report.html" if folder is not None and evaluation is not None else None
        card = bundle.folder / "MODEL_CARD.md"
        if folder is not None and evaluation is not None and (folder / card.name).is_file():
            card = folder / card.name
        report = report if report is not None and report.is_file() else None
        identity = {"name": one.name, "id": bundle.id, "version": __version__}
        return Served(
            name=one.name,
            predictor=predictor,
            batcher=Batcher(predictor, self._executor, self._runs, tell=self._tell),
            identity=identity,
            model=describe(
                bundle,
                identity,
                evaluation,
                default=one.name == self.default,
                report=report is not None,
            ),
            card=card.read_text(encoding="utf-8", errors="replace") if card.is_file() else "",
            report=report,
        )


def _evaluation_folder(bundle: Bundle) -> Path | None:
    """Return the folder of the evaluation that a run leaves beside its bundle."""
    folder = bundle.folder.parent / "evaluation"
    return folder if bundle.folder.name == "bundle" and folder.is_dir() else None
