"""Writes, verifies and reads the folder of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from plainfilm import _files
from plainfilm._leftovers import remove_leftovers
from plainfilm.bundle.description import BundleMetadata
from plainfilm.bundle.graph_check import MOST_BYTES
from plainfilm.bundle.sealed import SUMS, SealedFolder, open_sealed
from plainfilm.bundle.training_images import TrainingImages
from plainfilm.errors import BundleError

_METADATA, _GRAPH, _WEIGHTS = "bundle.json", "network.onnx", "weights.safetensors"
_REQUIRED = _METADATA, _GRAPH
_CARD = "MODEL_CARD.md"
_FOLDS = "crossval.json"  # in the folder of a cross-validation
_IMAGES = "training_images.npz"
_MOST_TEXT = 1 << 23  # bytes of the metadata or the card


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle(BundleMetadata):
    """A verified bundle: its metadata, folder and id.

    The methods that read a file verify the bytes that they return.

    Attributes
    ----------
    folder
        The folder of the bundle.
    id
        SHA-256 of ``SHA256SUMS``, which identifies all content of the bundle.
    """

    folder: Path
    id: str
    _sealed: SealedFolder = field(repr=False, compare=False)
    _graph: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def join(cls, metadata: BundleMetadata, folder: Path, graph: bytes) -> Bundle:
        """Return a bundle of metadata and a graph, whose other files cannot be read."""
        return cls._of(metadata, SealedFolder(folder, "", {}), graph)

    @classmethod
    def _of(cls, metadata: BundleMetadata, sealed: SealedFolder, graph: bytes) -> Bundle:
        values = {one.name: getattr(metadata, one.name) for one in fields(metadata)}
        return cls(**values, folder=sealed.path, id=sealed.id, _sealed=sealed, _graph=graph)

    @property
    def graph(self) -> Path:
        """Return the path of the ONNX graph."""
        return self.folder / _GRAPH

    @property
    def weights(self) -> Path:
        """Return the path of the network's weights, which an imported bundle does not have."""
        return self.folder / _WEIGHTS

    def read_graph(self) -> bytes:
        """Return the ONNX graph."""
        return self._sealed.read(_GRAPH, MOST_BYTES) if self._graph is None else self._graph

    def without_graph(self) -> Bundle:
        """Return the bundle without the copy of its graph in memory."""
        return replace(self, _graph=None)

    def read_weights(self) -> bytes | None:
        """Return the safetensors file, or None if the bundle has none."""
        return self._sealed.read(_WEIGHTS) if _WEIGHTS in self._sealed.sums else None

    def read_card(self) -> str:
        """Return the model card, or an empty text if the bundle has none."""
        if _CARD not in self._sealed.sums:
            return ""
        return self._sealed.read(_CARD, _MOST_TEXT).decode("utf-8", "replace")

    def read_training_images(self) -> TrainingImages | None:
        """Return the hashes of the training images, or None if the bundle has none."""
        if _IMAGES not in self._sealed.sums:
            return None
        return TrainingImages.parse(self._sealed.read(_IMAGES), str(self.folder / _IMAGES))


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
    (folder / SUMS).unlink(missing_ok=True)
    remove_leftovers(folder)
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
    _files.write_text(folder / SUMS, sums)
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
    if not (folder / SUMS).is_file() and (folder / "bundle").is_dir():
        folder = folder / "bundle"
    if not (folder / SUMS).is_file() and (folder / _FOLDS).is_file():
        raise BundleError(
            f"{folder} is a cross-validation, with one model for each fold",
            remedy=f"give the run of a fold, such as {folder / 'fold-1'}, or the ensemble of all, "
            f"{folder / 'ensemble'}, if there is one; the results of the cross-validation are in "
            f"{folder / 'crossval'}",
        )
    if not (folder / SUMS).is_file() and (runs := sorted(folder.glob("seed-*/plan.json"))):
        together = folder / "ensemble"
        raise BundleError(
            f"{folder} holds several runs, one for each seed",
            remedy=f"give one of them, such as {runs[0].parent}"
            + (f", or their ensemble, {together}" if together.is_dir() else ""),
        )
    sealed = open_sealed(folder)
    for name in (*_REQUIRED, _WEIGHTS):
        if name not in sealed.sums and (name in _REQUIRED or (folder / name).exists()):
            raise BundleError(f"the bundle {folder} is damaged: {SUMS} does not list {name}")
    content = {
        _METADATA: sealed.read(_METADATA, _MOST_TEXT),
        _GRAPH: sealed.read(_GRAPH, MOST_BYTES),
    }
    for name in sealed.sums.keys() - content.keys():
        sealed.verify(name)
    sealed.check_listing()
    metadata = BundleMetadata.parse(content[_METADATA], str(folder / _METADATA))
    if metadata.provenance.imported_from is None and _WEIGHTS not in sealed.sums:
        raise BundleError(f"the bundle {folder} is incomplete: {_WEIGHTS} is missing")
    return Bundle._of(metadata, sealed, content[_GRAPH])
