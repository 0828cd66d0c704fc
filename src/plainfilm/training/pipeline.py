"""Trains a classifier: from a data set to a sealed bundle, in a folder that can be continued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from plainfilm import __version__, _files
from plainfilm._progress import Progress, silent
from plainfilm.audit.pipeline import Audit
from plainfilm.bundle import PretrainedWeights, Provenance
from plainfilm.bundle.rejection import frequent_values
from plainfilm.config import PROBE, Recipe, check_network, load_recipe
from plainfilm.data import Manifest, leave_out, limit, load_dataset, make_splits, require_positive
from plainfilm.errors import ConfigError
from plainfilm.pixels.metadata import count_synthetic
from plainfilm.training.distil import Teacher, open_teacher
from plainfilm.training.initial_weights import without_folders
from plainfilm.training.keras_trainer import KerasTrainer
from plainfilm.training.lock import FolderLock
from plainfilm.training.networks import check_loss
from plainfilm.training.plan import Plan, check_folder, claim_folder, make_plan
from plainfilm.training.probe.trainer import ProbeTrainer
from plainfilm.training.ranks import RanksTrainer
from plainfilm.training.run import Run, open_run, write_augmented, write_data
from plainfilm.training.startup import Subprocess
from plainfilm.training.trainer import Trainer, Work
from plainfilm.training.training_images import audit_and_decode

DataSource = Manifest | str | Path | Sequence[str | Path]
"""A manifest, or the sources that `plainfilm.load_dataset` takes."""
_MANY = 20_000  # records; sending more to a subprocess takes longer than it saves


def train(
    data: DataSource,
    *,
    out: str | Path,
    recipe: Recipe | str | Path = "standard",
    settings: Sequence[str] = (),
    seed: int = 0,
    backend: str | None = None,
    ranks: int = 1,
    coordinator: str | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    exclude: str | Path | None = None,
    on_audit: Callable[[Audit], None] | None = None,
    progress: Progress = silent,
) -> Run:
    """Train a classifier and seal it.

    The same call continues an interrupted training; on a CPU the result has exactly the weights of
    an uninterrupted one. On a finished run it does nothing. Keras's global seeds are set.

    Parameters
    ----------
    data
        A manifest, or the sources that `plainfilm.load_dataset` takes. Records without a split are
        split by `plainfilm.data.make_splits`.
    out
        Folder of the run: new, empty, or of the same run.
    recipe
        Name of a recipe, a TOML file, or a `Recipe`.
    settings
        ``key=value`` overrides of a recipe that is given by name or file.
    seed
        Seed for initialisation, shuffling and augmentation. Splits do not depend on it.
    backend
        ``tensorflow``, ``jax`` or ``torch``; None uses the backend that Keras runs on.
    ranks
        Number of processes that train together, each a part of every batch, with JAX. They are
        started and ended by this call. Another number of ranks gives other weights.
    coordinator
        ``host:port`` of this machine if the other ranks are on other machines, which call
        `plainfilm.training.join_training`; this process then starts rank 0 only.
    cache
        Folder of decoded images; None uses the user's cache folder.
    workers
        Number of decoding processes; None uses one for each core.
    exclude
        CSV file of records to leave out, for example from `Audit.write_exclusions`.
    on_audit
        Called with the quick audit of the data before training.
    progress
        Called as ``progress(stage, done, total, note)``.

    Raises
    ------
    ConfigError, DataError, RunError, StorageError
        As early as the error can be detected.
    """
    folder = Path(out)
    recipe = resolve_recipe(recipe, settings)
    trainer = choose_trainer(recipe, backend, ranks, coordinator)
    plan, manifest, teacher = plan_training(data, recipe, trainer, exclude, seed, ranks)
    recipe = plan.identity.recipe
    check_folder(folder, plan)
    if (folder / "bundle" / "SHA256SUMS").exists():
        return open_run(folder)

    with ExitStack() as lock:
        arguments = (manifest, recipe, cache, workers)
        enabled = trainer.starts_slowly and len(manifest) <= _MANY
        with Subprocess(audit_and_decode, *arguments, enabled=enabled) as preparation:
            lock.callback(trainer.close)
            trainer.start(recipe, manifest.task, progress, plan)
            lock.enter_context(FolderLock(folder))
            claim_folder(folder, plan)
            results = preparation.values(progress)
            audit = next(results)
            if on_audit is not None:
                on_audit(audit)
            training, validation, table = results
        audit.write(folder / "audit.json")
        training.check_classes("train")
        validation.check_classes("validation")
        manifest = manifest.drop([*training.images.left_out, *validation.images.left_out])
        _files.write_bytes(folder / "manifest.parquet", table)
        write_data(folder, manifest, training)
        write_augmented(folder, recipe, training, seed)
        splits = training, validation
        work = Work(recipe, manifest.task, seed, folder, *splits, cache, workers, teacher)
        provenance = _provenance(plan, manifest, work, trainer.inherited)
        bundle = trainer.train(work, provenance, progress)
        return Run(folder, plan, manifest, bundle)


def plan_training(
    data: DataSource,
    recipe: Recipe,
    trainer: Trainer,
    exclude: str | Path | None,
    seed: int,
    ranks: int,
) -> tuple[Plan, Manifest, Teacher | None]:
    """Return the plan of a training, its images and its teacher; arguments are those of `train`."""
    if not 0 <= seed < 2**32:
        raise ConfigError("the seed must be between 0 and 2**32 - 1", received=seed)
    manifest = _split_manifest(data, recipe, exclude)
    check_loss(manifest.task, recipe.fit.loss)
    recipe, teacher = open_teacher(without_folders(recipe), manifest.task)
    plan = make_plan(
        recipe,
        manifest,
        seed=seed,
        backend=trainer.backend,
        precision=trainer.precision,
        pretrained=trainer.pretrained,
        ranks=ranks,
    )
    return plan, manifest, teacher


def _provenance(
    plan: Plan, manifest: Manifest, work: Work, inherited: tuple[PretrainedWeights, ...]
) -> Provenance:
    """Return the provenance of a bundle, without what training finds."""
    metadata, teacher = work.training.images.metadata, work.teacher
    taught = () if teacher is None else teacher.bundle.provenance.as_teacher()
    return Provenance(
        plainfilm=__version__,
        recipe=work.recipe,
        seed=work.seed,
        manifest=plan.identity.manifest,
        backend=plan.identity.backend,
        precision=plan.identity.precision,
        ranks=plan.identity.ranks,
        versions=plan.versions,
        dataset=manifest.name,
        train_images=len(work.training.records),
        validation_images=len(work.validation.records),
        machine=plan.machine,
        synthetic_images=count_synthetic(metadata.values("manufacturer")),
        modalities=frequent_values(metadata.values("modality")),
        body_parts=frequent_values(metadata.values("body_part")),
        pretrained=plan.identity.pretrained,
        inherited=(*inherited, *taught),
    )


def choose_trainer(
    recipe: Recipe, backend: str | None = None, ranks: int = 1, coordinator: str | None = None
) -> Trainer:
    """Return what trains a recipe; ``backend``, ``ranks`` and ``coordinator`` are those of `train`.

    Raises
    ------
    ConfigError
        If the backend or a setting cannot be used.
    MissingExtraError
        If something that training needs is not installed.
    """
    check_network(recipe.network.name)
    if ranks != 1 or coordinator is not None:
        return RanksTrainer(recipe, backend, ranks, coordinator)
    if recipe.network.name == PROBE:
        return ProbeTrainer(recipe, backend)
    return KerasTrainer(recipe, backend)


def resolve_recipe(recipe: Recipe | str | Path, settings: Sequence[str]) -> Recipe:
    """Return a recipe from its name or file with settings, after checking its network."""
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, settings)
    elif settings:
        raise TypeError("settings override a recipe given by name or path, not a Recipe")
    check_network(recipe.network.name)
    return recipe


def list_images(data: DataSource, exclude: str | Path | None) -> Manifest:
    """Return the manifest of a data source, without the excluded records."""
    if not isinstance(data, Manifest):
        data = load_dataset(*([data] if isinstance(data, str | Path) else data))
    require_positive(data)
    return data if exclude is None else leave_out(data, exclude)


def _split_manifest(data: DataSource, recipe: Recipe, exclude: str | Path | None) -> Manifest:
    """Return the manifest with splits, without excluded records, limited as the recipe says."""
    data = list_images(data, exclude)
    if not data.is_split:
        data = make_splits(data, validation=recipe.data.validation, test=recipe.data.test)
    if recipe.data.limit:
        data = limit(data, recipe.data.limit, balanced=recipe.data.limit_balanced)
    return data
