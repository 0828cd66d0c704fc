"""One training, from a manifest to a sealed bundle, in a folder that can be continued."""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm import __version__, _files
from plainfilm._progress import Progress, silent
from plainfilm.audit.run import Audit
from plainfilm.bundle import Bundle, read_bundle
from plainfilm.config import Recipe, load_recipe
from plainfilm.data import (
    Cache,
    LeftOut,
    Manifest,
    fingerprint,
    leave_out,
    limit,
    load_dataset,
    make_splits,
    pick,
)
from plainfilm.errors import ConfigError, LabelError, RunError, SourceError
from plainfilm.records import PixelSpec, Split, Task
from plainfilm.training.backend import (
    backend_is_running,
    choose_backend,
    choose_precision,
    use_backend,
)
from plainfilm.training.beside import Beside, Meanwhile
from plainfilm.training.plan import claim_folder, make_plan
from plainfilm.training.prepare import fill, prepare

__all__ = ["TRAINED_ON", "Run", "open_run", "train"]

TRAINED_ON = "trained_on.txt"
"""In a run folder: the SHA-256 of every file that was trained or validated on."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training.

    Attributes
    ----------
    folder
        Where everything is.
    plan
        What was trained, on what.
    manifest
        Every record with its split; files that could not be read are in its ``left_out``.
    bundle
        What to ship.
    """

    folder: Path
    plan: Mapping[str, Any]
    manifest: Manifest
    bundle: Bundle

    @property
    def history(self) -> list[dict[str, float]]:
        """Return one row an epoch of ``history.csv``; NaN where a value was undefined.

        Keys: ``epoch``, ``loss``, ``accuracy``, the same with ``val_``, ``val_auroc``,
        ``learning_rate``, ``seconds``. Empty where the file is missing.
        """
        path = self.folder / "history.csv"
        if not path.is_file():
            return []
        with open(path, newline="", encoding="utf-8") as file:
            return [
                {key: float(value) if value else math.nan for key, value in row.items()}
                for row in csv.DictReader(file)
            ]


def open_run(folder: str | Path) -> Run:
    """Open a finished run.

    Raises
    ------
    RunError
        If the folder is no run.
    BundleError
        If its training has not finished, or its bundle was changed.
    """
    folder = Path(folder)
    try:
        plan = _files.read_json(folder / "plan.json")
        manifest = Manifest.read(folder / "manifest.parquet")
    except (FileNotFoundError, NotADirectoryError, SourceError) as error:
        raise RunError(
            f"{folder} is not a run that has begun",
            received="it has no plan.json and manifest.parquet",
            remedy="give the folder that plainfilm train wrote",
        ) from error
    return Run(folder, plan, manifest, read_bundle(folder / "bundle"))


def train(
    data: Manifest | str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    recipe: Recipe | str | Path = "standard",
    settings: Sequence[str] = (),
    seed: int = 0,
    backend: str | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    exclude: str | Path | None = None,
    on_audit: Callable[[Audit], None] | None = None,
    progress: Progress = silent,
) -> Run:
    """Train a classifier and seal it.

    The same call continues an interrupted training; on a CPU it ends with exactly the weights of
    an uninterrupted one. On a finished run it does nothing. Keras's global seeds are set.

    Parameters
    ----------
    data
        A manifest, or what `plainfilm.load_dataset` takes. A manifest whose every record is in a
        split is taken as it is split; else `plainfilm.data.part` parts it.
    out
        The run's folder; new, empty, or of this very run.
    recipe
        Name, TOML file, or a recipe.
    settings
        ``key=value`` overrides of a named recipe.
    seed
        Of initial weights, order and augmentation. Splits do not depend on it.
    backend
        ``tensorflow``, ``jax`` or ``torch``; None takes what Keras runs on.
    cache
        Folder of decoded images; None takes the user's.
    workers
        Decoding processes; None takes one per core.
    exclude
        CSV of records to leave out, such as `Audit.write_exclusions` writes.
    on_audit
        Told the quick audit of the data, which also goes to ``audit.json``, before anything is
        learnt from them.

    Raises
    ------
    ConfigError, DataError, RunError, StorageError
        Before long work begins, as far as it can be known.
    """
    folder = Path(out)
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, settings)
    if isinstance(recipe, Recipe) and settings:
        raise TypeError("settings override a recipe given by name or path, not a Recipe")
    if not 0 <= seed < 2**32:
        raise ConfigError("the seed must lie between 0 and 2**32 - 1", received=seed)
    name = choose_backend(backend)
    manifest = _with_splits(data, chosen, exclude)
    precision = choose_precision(chosen.fit.precision, name)
    plan = make_plan(chosen, manifest, seed=seed, backend=name, precision=precision)
    if (folder / "bundle" / "SHA256SUMS").exists():
        claim_folder(folder, plan)
        return open_run(folder)
    running = backend_is_running()
    backend_ready = Beside(partial(_check_network, name, chosen, manifest.task))
    if running:  # then it is the work of a moment, and nothing need be begun in vain
        backend_ready.wait()
    claimed = claim_folder(folder, plan)
    beside = backend_ready.watched(progress)
    prepared = prepare(
        manifest, chosen, cache=cache, workers=workers, elsewhere=not running, progress=beside
    )
    try:
        with contextlib.closing(prepared):
            audited = next(prepared)
            if on_audit is not None:
                on_audit(audited)
            training, images = next(prepared)
            validation, checks = next(prepared)
            as_file = next(prepared)
        backend_ready.wait()
    except ConfigError:
        # The folder must not become that of a run that cannot be.
        if claimed:
            (folder / "plan.json").unlink()
            with contextlib.suppress(OSError):  # it was there before, and is not empty
                folder.rmdir()
        raise
    audited.write(folder / "audit.json")
    _check_classes(training, "train")
    _check_classes(validation, "validation")
    manifest = manifest.drop([*images.left_out, *checks.left_out])
    _files.write_bytes(folder / "manifest.parquet", as_file)
    write_left_out(folder / "left_out.csv", manifest.left_out)
    # By content, so that an evaluation knows these images again wherever they lie.
    seen = sorted({*images.hashes, *checks.hashes})
    _files.write_text(folder / TRAINED_ON, "".join(f"{digest}\n" for digest in seen))
    _files.write_json(folder / "fingerprint.json", fingerprint(training, images).to_json())

    from plainfilm.training.feed import Feed, images_of
    from plainfilm.training.fit import fit
    from plainfilm.training.preview import augmented_images
    from plainfilm.training.seal import SAMPLE, Held, make_ready, seal

    few = pick(training)
    with _files.atomic_path(folder / "augmented.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            images=augmented_images(
                chosen.augment, chosen.input.size, images.gather(few), seed=seed
            ),
            labels=[manifest.task.class_of(training.records[i].labels) for i in few],
        )
    feed = Feed(
        images_of(images, name),
        training.label_array(),
        chosen.augment,
        chosen.input.size,
        chosen.fit.batch,
        seed,
    )
    held_out, truth = checks.all(), validation.label_array()
    filled = partial(fill, folder=cache, workers=workers, progress=silent)
    sample = partial(_sample, training, chosen.input, filled, SAMPLE)
    meanwhile = Meanwhile(partial(make_ready, chosen, manifest.task, held_out, sample), progress)
    fitted = fit(
        chosen,
        manifest.task,
        feed,
        (held_out, truth),
        folder,
        precision=precision,
        seed=seed,
        progress=meanwhile.progress,
    )
    del feed  # all of the training images
    progress("sealing", 0, 1)
    bundle = seal(
        chosen,
        manifest.task,
        fitted.weights,
        Held(held_out, truth, [str(p) for p in validation.patients]),
        sample,
        folder / "bundle",
        {
            "plainfilm": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **plan["identity"],
            "versions": plan["versions"],
            "dataset": plan["dataset"]["name"],
            "train_images": len(training),
            "validation_images": len(validation),
            "parameters": fitted.parameters,
            "epoch": fitted.progressed.best_epoch,
            "training_seconds": round(fitted.progressed.seconds, 1),
            "machine": plan["machine"],
        },
        meanwhile.wait(),
    )
    progress("sealing", 1, 1)
    return Run(folder, plan, manifest, bundle)


def write_left_out(path: Path, rows: Iterable[LeftOut]) -> None:
    """Write which files were left out and why, as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "reason", "problem"])
    writer.writerows([row.id, row.reason, row.problem] for row in rows)
    _files.write_text(path, text.getvalue())


def _with_splits(
    data: Manifest | str | Path | Sequence[str | Path],
    recipe: Recipe,
    exclude: str | Path | None,
) -> Manifest:
    if isinstance(data, Manifest):
        manifest = data
    elif isinstance(data, str | Path):
        manifest = load_dataset(data)
    else:
        manifest = load_dataset(*data)
    if exclude is not None:
        manifest = leave_out(manifest, exclude)
    if not manifest.is_split:
        manifest = make_splits(manifest, validation=recipe.data.validation, test=recipe.data.test)
    if recipe.data.limit:
        manifest = limit(manifest, recipe.data.limit, balanced=recipe.data.limit_balanced)
    return manifest


def _sample(
    training: Manifest, spec: PixelSpec, filled: Callable[..., tuple[Manifest, Cache]], most: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return images (n, size, size) and labels of at most ``most`` training records."""
    rows = np.unique(np.linspace(0, len(training) - 1, min(len(training), most)).astype(int))
    chosen = replace(training, records=tuple(training.records[row] for row in rows))
    kept, images = filled(chosen, spec)
    return images.gather(images.positions(kept.ids)), kept.label_array()


def _check_network(backend: str, recipe: Recipe, task: Task) -> None:
    """Import the backend and build the network once, so that a wrong option is told early."""
    use_backend(backend)
    from plainfilm.models import build_network
    from plainfilm.training.networks import head_of, outputs_of

    outputs = outputs_of(task, head_of(task, recipe.fit.loss))
    build_network(recipe.network.name, recipe.input.size, outputs, recipe.network.options)


def _check_classes(manifest: Manifest, split: Split) -> None:
    """Refuse a split in which nothing can be told apart."""
    labels = manifest.label_array()
    for column, label in enumerate(manifest.task.labels):
        values = {float(v) for v in labels[:, column] if not np.isnan(v)}
        if manifest.task.kind != "multilabel" and values != {0.0, 1.0}:
            raise LabelError(
                f"the {split} images hold one class only as to {label}",
                received=f"{len(manifest)} images",
                remedy="check why files were left out, take a larger limit, or add images",
            )
