"""Loaded bundles by name, which can be swapped while requests are in progress.

A request gets its bundle once, at its start. A swap replaces the bundle for later requests; the old
one is freed when its last request ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path

from plainfilm import __version__
from plainfilm._files import read_regular
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.errors import UsageError
from plainfilm.inference.batching import Batcher
from plainfilm.inference.description import (
    BundleIdentity,
    ModelDescription,
    describe,
    read_evaluation,
)
from plainfilm.pixels import Image
from plainfilm.prediction import Prediction
from plainfilm.runtime import Predictor
from plainfilm.trial import try_bundle

_MOST_CARD = 1 << 23  # bytes
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class BundleSource:
    """A name, and the folder of a bundle or a run."""

    name: str
    path: Path


def parse_sources(arguments: Iterable[str]) -> list[BundleSource]:
    """Read ``[NAME=]PATH`` arguments; the default name is that of the folder."""
    sources: list[BundleSource] = []
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or "/" in name:
            path = argument
            folder = Path(os.path.realpath(path))
            name = folder.parent.name if folder.name == "bundle" else folder.name
        if not _NAME.fullmatch(name):
            raise UsageError(
                "a bundle's name has letters, digits, dots, hyphens and underscores, at most 64",
                received=repr(name),
                remedy="give it a name: NAME=PATH",
            )
        if any(other.name == name for other in sources):
            raise UsageError(
                "two bundles have the same name", received=name, remedy="use NAME=PATH"
            )
        sources.append(BundleSource(name, Path(path)))
    if not sources:
        raise UsageError("no bundle was given")
    return sources


@dataclass(frozen=True, slots=True, eq=False)
class LoadedBundle:
    """One bundle, ready for predictions.

    ``identity`` is part of every answer, ``card`` is Markdown (empty if there is none), and
    ``report`` is the path of the HTML report of its evaluation.
    """

    name: str
    predictor: Predictor
    batcher: Batcher[Image, Prediction]
    identity: dict[str, str]
    description: ModelDescription
    card: str
    report: Path | None

    @property
    def bundle(self) -> Bundle:
        """The bundle itself."""
        return self.predictor.bundle

    @property
    def key(self) -> tuple[str, str]:
        """Name and id: a bundle with other content under the same name has another key."""
        return self.name, self.bundle.id


class BundleRegistry:
    """All loaded bundles; the first is the default. The other arguments are those of `Batcher`.

    ``check`` raises a PlainfilmError for a bundle that the server cannot use.
    """

    def __init__(
        self,
        sources: Sequence[BundleSource],
        executor: Executor,
        runs: int,
        *,
        on_run: Callable[[int, float], None] = lambda count, seconds: None,
        check: Callable[[LoadedBundle], None] = lambda loaded: None,
    ) -> None:
        self._sources, self._executor, self._runs, self._on_run = sources, executor, runs, on_run
        self._check = check
        self._reloading = threading.Lock()
        self._loaded = {source.name: self._load(source) for source in sources}

    def __iter__(self) -> Iterator[LoadedBundle]:
        return iter(self._loaded.values())

    @property
    def default(self) -> str:
        """Name of the bundle that is used if a request names none."""
        return self._sources[0].name

    def get(self, name: str | None) -> LoadedBundle | None:
        """Return a bundle by name, or the default one for None; None if there is no such bundle."""
        return self._loaded.get(self.default if name is None else name)

    def reload(self) -> list[tuple[str, LoadedBundle | Exception]]:
        """Load every bundle again from its folder, and return each new bundle or its error.

        After an error, whatever it is, the previous bundle stays in use, and the other bundles are
        loaded. Takes seconds: call it in a thread.
        """
        outcomes: list[tuple[str, LoadedBundle | Exception]] = []
        with self._reloading:
            for source in self._sources:
                try:
                    loaded = self._load(source)
                except Exception as error:
                    outcomes.append((source.name, error))
                else:
                    # One assignment, so that other threads see either the old or the new bundle.
                    self._loaded = {**self._loaded, source.name: loaded}
                    outcomes.append((source.name, loaded))
        return outcomes

    def _load(self, source: BundleSource) -> LoadedBundle:
        bundle = read_bundle(source.path)
        try_bundle(bundle)
        # One thread for each run: concurrent runs use the cores better than one run on all cores.
        predictor = Predictor(bundle, threads=1)
        card, report = bundle.read_card(), None
        folder = bundle.folder.parent / "evaluation"  # a run keeps it next to its bundle
        in_run = bundle.folder.name == "bundle" and folder.is_dir()
        evaluation = read_evaluation(folder, bundle) if in_run else None
        if evaluation is not None:
            with contextlib.suppress(OSError):
                own = read_regular(folder / "MODEL_CARD.md", _MOST_CARD)
                card = own.decode("utf-8", "replace")
            report = folder / "report.html"
        identity = BundleIdentity(source.name, bundle.id, __version__)
        loaded = LoadedBundle(
            name=source.name,
            predictor=predictor,
            batcher=Batcher(
                predictor.predict_images, self._executor, self._runs, on_run=self._on_run
            ),
            identity=asdict(identity),
            description=describe(bundle, identity, evaluation),
            card=card,
            report=report if report is not None and report.is_file() else None,
        )
        self._check(loaded)
        return loaded
