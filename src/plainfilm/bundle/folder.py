"""Writes, verifies and reads the folder of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from plainfilm import _files
from plainfilm.bundle.description import BundleMetadata
from plainfilm.bundle.training_images import TrainingImages
from plainfilm.errors import BundleError

_METADATA, _GRAPH, _WEIGHTS = "bundle.json", "network.onnx", "weights.safetensors"
_REQUIRED = _METADATA, _GRAPH
_CARD, _SUMS = "MODEL_CARD.md", "SHA256SUMS"
_FOLDS = "crossval.json"  # in the folder of a cross-validation
_IMAGES = "training_images.npz"
# Written by file managers; plainfilm never opens them.
_IGNORED = frozenset({".ds_store", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle(BundleMetadata):
    """A verified bundle: its metadata, folder and id.

    Attributes
    ----------
    folder
        The folder of the bundle.
    id
        SHA-256 of ``SHA256SUMS``, which identifies all content of the bundle.
    """

    folder: Path
    id: str

    @property
    def graph(self) -> Path:
        """Return the path of the ONNX graph."""
        return self.folder / _GRAPH

    @property
    def weights(self) -> Path:
        """Return the path of the network's weights, which an imported bundle does not have."""
        return self.folder / _WEIGHTS

    def read_training_images(self) -> TrainingImages | None:
        """Return the hashes of the training images, or None if the bundle has none."""
        path = self.folder / _IMAGES
        return TrainingImages.read(path) if path.is_file() else None


def write_bundle(
    folder: Path,
    metadata: BundleMetadata,
    *,
    graph: bytes,
    weights: bytes | None,
    training_images: TrainingImages | None = None,
) -> Bundle:
    """Write a bundle and read it back, verified. A bundle in the folder is replaced.

    Parameters
    ----------
    folder, metadata
        Folder to write to, and content of ``bundle.json``.
    graph, weights
        ONNX file and safetensors file; the weights of an imported network are in its graph only.
    training_images
        Hashes of the training images, by which an evaluation recognises them.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    _files.make_folder(folder)
    # Without SHA256SUMS a folder is not a bundle: remove it first, write it last.
    (folder / _SUMS).unlink(missing_ok=True)
    for left in folder.glob(".*.part"):  # from an interrupted write
        left.unlink()
    _files.write_json(folder / _METADATA, metadata.to_json())
    _files.write_bytes(folder / _GRAPH, graph)
    from plainfilm.bundle.card import model_card  # a prediction needs no card

    _files.write_text(folder / _CARD, model_card(metadata))
    names = [*_REQUIRED, _CARD]
    images = None if training_images is None else training_images.to_bytes()
    for name, content in ((_WEIGHTS, weights), (_IMAGES, images)):
        if content is None:
            (folder / name).unlink(missing_ok=True)  # of the bundle that is replaced
        else:
            _files.write_bytes(folder / name, content)
            names.append(name)
    sums = "".join(f"{_files.hash_file(folder / name)}  {name}\n" for name in names)
    _files.write_text(folder / _SUMS, sums)
    return read_bundle(folder)


def read_bundle(folder: str | Path) -> Bundle:
    """Read a bundle, or the bundle of a run folder, after verifying every file.

    Raises
    ------
    BundleError
        If it is not a bundle, a file was changed, is missing or is not listed in ``SHA256SUMS``,
        or its schema has another version.
    """
    folder = Path(folder)
    if not (folder / _SUMS).is_file() and (folder / "bundle").is_dir():
        folder = folder / "bundle"
    if not (folder / _SUMS).is_file() and (folder / _FOLDS).is_file():
        raise BundleError(
            f"{folder} is a cross-validation, with one model for each fold",
            remedy=f"give the run of a fold, such as {folder / 'fold-1'}, or the ensemble of all, "
            f"{folder / 'ensemble'}, if there is one; the results of the cross-validation are in "
            f"{folder / 'crossval'}",
        )
    _verify(folder)
    metadata = BundleMetadata.read(folder / _METADATA)
    if metadata.provenance.imported_from is None and not (folder / _WEIGHTS).is_file():
        raise BundleError(f"the bundle {folder} is incomplete: {_WEIGHTS} is missing")
    values = {field.name: getattr(metadata, field.name) for field in fields(metadata)}
    return Bundle(**values, folder=folder, id=_files.hash_file(folder / _SUMS))


def _verify(folder: Path) -> None:
    """Check that every file is listed and unchanged."""
    if not folder.is_dir():
        raise BundleError(f"there is no bundle at {folder}", remedy="give a run or bundle folder")
    try:
        lines = (folder / _SUMS).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{folder} is not a bundle: it has no readable {_SUMS}",
            remedy="give a bundle folder, or a run folder whose training has finished",
        ) from error
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in (*_REQUIRED, _WEIGHTS):
        if name not in sums and (name in _REQUIRED or (folder / name).exists()):
            raise BundleError(f"the bundle {folder} is damaged: {_SUMS} does not list {name}")
    for name, digest in sums.items():
        _verify_file(folder, name, digest)
    unlisted = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in {*sums, _SUMS} and path.name.casefold() not in _IGNORED
    )
    if unlisted:
        more = f" and {len(unlisted) - 5} more" if len(unlisted) > 5 else ""
        raise BundleError(
            f"the bundle {folder} was changed after it was sealed: "
            f"{_SUMS} does not list every file",
            received=", ".join(map(repr, unlisted[:5])) + more,
            remedy="move these files out of the folder, or use an unchanged copy",
        )


def _verify_file(folder: Path, name: str, sealed: str) -> None:
    path = folder / name
    if Path(name).name != name:
        raise BundleError(
            f"the bundle {folder} is damaged: {_SUMS} lists a file outside the folder",
            received=repr(name),
        )
    if not path.is_file():
        raise BundleError(f"the bundle {folder} is incomplete: {name} is missing")
    try:
        digest = _files.hash_file(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BundleError(f"{path} cannot be read", received=reason) from error
    if digest != sealed:
        raise BundleError(
            f"the bundle {folder} was changed after it was sealed: {name}",
            received=f"SHA-256 {digest[:16]}…, sealed as {sealed[:16]}…",
            remedy="use an unchanged copy, or train again",
        )
