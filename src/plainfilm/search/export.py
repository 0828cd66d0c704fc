"""Gathers what an experiment tracker receives of a run, from its finished files.

Nothing is written to the run. Images and names of files stay on this machine, unless the report is
requested.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm import __version__, _files
from plainfilm._json import to_json
from plainfilm.errors import RunError
from plainfilm.evaluation import EvaluationDocument
from plainfilm.metrics import Interval
from plainfilm.search.document import TrialResult
from plainfilm.search.trial import RESULT, TRIAL
from plainfilm.training import Run, open_run
from plainfilm.training.plan import PLAN

_REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Export:
    """What a tracker receives of a run.

    Attributes
    ----------
    id
        Id of the sealed bundle, by which the tracker's run is found again.
    name
        Name of the run.
    params
        Settings of the recipe by dotted key, and what else determines the weights.
    series
        Steps and values by name: by epoch, or of step 0.
    artifacts
        Files by their paths for the tracker.
    """

    id: str
    name: str
    params: Mapping[str, str]
    series: Mapping[str, Sequence[tuple[int, float]]]
    artifacts: Mapping[str, Path]

    @property
    def content(self) -> str:
        """SHA-256 of everything."""
        files = {name: _files.hash_file(path) for name, path in self.artifacts.items()}
        return _files.hash_json([self.id, self.name, self.params, self.series, files])


def find_runs(folders: Sequence[str | Path]) -> list[Path]:
    """Return the finished runs in folders: of one training, several, a search.

    Raises
    ------
    RunError
        If a folder contains none.
    """
    found = []
    for folder in map(Path, folders):
        plans = [folder / PLAN] if (folder / PLAN).is_file() else sorted(folder.rglob(PLAN))
        own = [path.parent for path in plans if (path.parent / "bundle" / "SHA256SUMS").exists()]
        if not own:
            raise RunError(
                f"{folder} contains no finished run",
                received=f"{len(plans)} unfinished" if plans else "no run",
                remedy="give the folder that plainfilm train or plainfilm search wrote",
            )
        found += own
    return found


def gather_run(folder: Path, *, report: bool = False) -> Export:
    """Return what a tracker receives of a run.

    Parameters
    ----------
    report
        Whether to include ``report.html``, which shows images and names of files.
    """
    run = open_run(folder)
    series = dict(_history(run)) | dict(_search_scores(run.folder))
    artifacts = {name: run.folder / name for name in (PLAN, "history.csv")}
    for place, document in _evaluations(run.folder):
        series |= dict(_metrics(place.name, document))
        artifacts |= {
            f"{place.name}/{path.relative_to(place).as_posix()}": path for path in _plots(place)
        }
        for name in ("MODEL_CARD.md", *([_REPORT] if report else [])):
            artifacts[f"{place.name}/{name}"] = place / name
    return Export(
        id=run.bundle.id,
        name=_name(run.folder),
        params=_params(run),
        series={name: tuple(own) for name, own in series.items() if own},
        artifacts={name: path for name, path in sorted(artifacts.items()) if path.is_file()},
    )


def _name(folder: Path) -> str:
    """Return the name of a run, with the folders above it that say which of several it is."""
    folder = folder.resolve()
    if (folder.parent / TRIAL).is_file():  # of a search: search/trials/0007/fold-1-seed-0
        return "/".join(folder.parts[-4:])
    several = re.fullmatch(r"(seed|fold)-\d+|ensemble", folder.name)
    return "/".join(folder.parts[-2:]) if several else folder.name


def _params(run: Run) -> dict[str, str]:
    origin = run.bundle.provenance
    values: dict[str, Any] = {
        "plainfilm": origin.plainfilm or __version__,
        "seed": origin.seed,
        "backend": origin.backend,
        "precision": origin.precision,
        "dataset": origin.dataset,
        "manifest": origin.manifest,
        "train_images": origin.train_images,
        "validation_images": origin.validation_images,
        "parameters": origin.parameters,
        "training_seconds": origin.training_seconds,
    }
    if origin.recipe is not None:
        values |= dict(_flat(to_json(origin.recipe, complete=True), "recipe"))
    return {key: str(value) for key, value in values.items() if value is not None}


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings by dotted keys."""
    if isinstance(value, Mapping):
        for name, own in value.items():
            yield from _flat(own, f"{key}.{name}")
    else:
        yield key, value


def _history(run: Run) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    rows = run.history
    for column in rows[0] if rows else ():
        if column != "epoch":
            part, name = "training", column
            if column.startswith("val_"):
                part, name = "validation", column.removeprefix("val_")
            pairs = [(round(row["epoch"]), row[column]) for row in rows]
            yield f"{part}/{name}", [(step, own) for step, own in pairs if math.isfinite(own)]


def _search_scores(folder: Path) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Yield the scores of a run of a search."""
    path = folder.parent / RESULT
    for training in TrialResult.read(path).trainings if path.is_file() else ():
        if training.run == folder.name:
            for name, value in to_json(training.scores).items():
                yield f"search/{name}", [(0, value)] if value is not None else []


def _evaluations(folder: Path) -> Iterator[tuple[Path, EvaluationDocument]]:
    places = [*folder.glob("evaluation*/evaluation.json"), *folder.glob("*/*/evaluation.json")]
    for path in sorted(places):
        yield path.parent, EvaluationDocument.read(path)


def _metrics(
    place: str, document: EvaluationDocument
) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Yield the metrics of an evaluation with their limits."""
    groups: dict[str, Mapping[str, Interval]] = {"": document.main}
    if len(document.labels) > 1:
        groups |= {f"{name}/": own.metrics for name, own in document.labels.items()}
    for prefix, metrics in groups.items():
        for name, own in metrics.items():
            for end, value in (("", own.value), (".low", own.low), (".high", own.high)):
                if math.isfinite(value):
                    yield f"{place}/{prefix}{name}{end}", [(0, value)]


def _plots(place: Path) -> Iterator[Path]:
    """Yield the plots of a report as PNG. Sheets of images have no SVG file of their name."""
    for path in sorted((place / "figures").glob("*.svg")):
        drawn = path.with_suffix(".png")
        if drawn.is_file() and b"<image" not in _files.read_regular(path):
            yield drawn
