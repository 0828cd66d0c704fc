"""Bundles: the sealed folder that is shipped. Writes, verifies and reads it.

::

    bundle/
      bundle.json           schema, task, pixel spec, temperature, operating points, provenance
      network.onnx          uint8 images in; probabilities, logits, activation maps, novelty out
      weights.safetensors   the network's weights; an imported bundle has none
      MODEL_CARD.md         the metadata for people and for model hubs
      training_images.npz   hashes by which an evaluation recognises the training images
      SHA256SUMS            hashes of all other files, readable by `sha256sum --check`

Nothing in a bundle is executed or unpickled. A file that `SHA256SUMS` does not list is an error.
"""

from plainfilm.bundle.description import (
    Adaptation,
    BundleMetadata,
    Determination,
    IndeterminateRange,
    Provenance,
    Rejection,
)
from plainfilm.bundle.folder import Bundle, read_bundle, write_bundle
from plainfilm.bundle.imported import ImportedFrom, Preprocessing
from plainfilm.bundle.pretrained import PretrainedWeights
from plainfilm.bundle.rejection import REJECTIONS, RejectedImage, find_rejection
from plainfilm.bundle.training_images import TrainingImages

__all__ = [
    "REJECTIONS",
    "Adaptation",
    "Bundle",
    "BundleMetadata",
    "Determination",
    "ImportedFrom",
    "IndeterminateRange",
    "Preprocessing",
    "PretrainedWeights",
    "Provenance",
    "RejectedImage",
    "Rejection",
    "TrainingImages",
    "find_rejection",
    "read_bundle",
    "write_bundle",
]
