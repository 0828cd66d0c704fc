"""The schema of recipes: frozen dataclasses that check their values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plainfilm._json import TOML, from_json, name_unknown
from plainfilm.config.augment import AugmentConfig
from plainfilm.config.checks import check, check_each, check_text
from plainfilm.errors import ConfigError
from plainfilm.records import PixelSpec

NETWORKS = (
    "compact",
    "tutorial",
    "efficientnet-lite0",
    "efficientnet-lite1",
    "efficientnet-lite2",
)
"""Names of the networks that `plainfilm.models.build_network` builds."""

KERAS_PREFIX = "keras:"
"""Begins the name of a network of Keras Applications, such as ``keras:DenseNet121``."""

ORIGIN_OPTIONS = ("licence", "trained_on")
"""Options of every network that describe a file of weights."""

PROBE = "probe"
"""Name of the network that consists of an encoder, which is not trained, and a linear layer."""

_APPLICATION = re.compile(f"{KERAS_PREFIX}[A-Za-z][A-Za-z0-9]*")
_LARGEST_BATCH = 65_536
_HOTTEST = 100  # temperature: beyond it, all probabilities of a teacher are nearly equal


def check_network(name: str) -> None:
    """Raise a ConfigError if there is no such network, without importing Keras.

    Which networks Keras Applications has is known when it is imported.
    """
    known = (*NETWORKS, PROBE)
    if name not in known and not _APPLICATION.fullmatch(name):
        meant = KERAS_PREFIX + name[len(KERAS_PREFIX) :]
        is_meant = meant.lower() == name.lower() and _APPLICATION.fullmatch(meant)
        raise ConfigError(
            name_unknown(name, (*known, meant) if is_meant else known, "network"),
            remedy=f"choose one of: {', '.join(known)}, or {KERAS_PREFIX} and the name of a "
            "network of Keras Applications",
        )


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which images are used for training.

    Attributes
    ----------
    limit
        Largest number of training images, chosen with stratification; 0 uses all.
    limit_balanced
        Whether the limited images have equal numbers of each class, or the original proportions.
    validation, test
        Share of patients in each split, if the source has no such split.
    """

    limit: int = 0
    limit_balanced: bool = False
    validation: float = 0.1
    test: float = 0.2

    def __post_init__(self) -> None:
        check(self.limit >= 0, "data.limit must not be negative", self.limit)
        check_each(self, "data: validation test", lambda v: 0 < v < 0.5, "must be in (0, 0.5)")


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network.

    Attributes
    ----------
    name
        Name of the network.
    options
        Its options: the keywords of the function that builds it; ``licence`` and ``trained_on`` of
        a file of weights.
    weights
        The weights from which a training starts: ``random``, ``imagenet`` or the path of a file.
    mirror
        Whether the sealed model predicts the mean of the logits of an image and its mirror image.
    encoder
        Encoder of a ``probe``: ``efficientnet-lite0``, ``1`` or ``2`` with ImageNet weights, or the
        path of an ONNX file.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "random"
    mirror: bool = False
    encoder: str | None = None

    def __post_init__(self) -> None:
        if (self.name == PROBE) != bool(self.encoder):
            raise ConfigError(
                "network.encoder is needed for a probe and only for it",
                received=f"network.name {self.name}, network.encoder {self.encoder or 'not given'}",
                remedy="set network.encoder to efficientnet-lite0 or the path of an ONNX file"
                if self.name == PROBE
                else f"leave it out, or set network.name to {PROBE}",
            )


@dataclass(frozen=True, slots=True)
class FitConfig:
    """How the network is trained.

    Attributes
    ----------
    epochs, batch
        Number of passes over the training images, and of images in a step.
    minimum_steps
        Smallest number of steps; epochs are added to reach it, so that a recipe for thousands of
        images also trains on hundreds. 0 adds none.
    optimiser
        ``adam``; ``adamw`` with decoupled ``weight_decay`` except for biases and gains; or
        ``muon``, which differs from ``adamw`` in the kernels of convolutions
        (`plainfilm.training.muon`).
    learning_rate
        Largest learning rate.
    schedule
        ``constant``, or ``linear``: warm-up over ``warmup`` of all steps, then decay to zero.
    clip_norm
        Largest norm of the gradient of each variable; 0 does not clip.
    label_smoothing
        Label smoothing, 0 to 1.
    balance
        ``weights`` gives all classes the same total weight; ``none`` does not weigh them.
    loss
        ``sigmoid``: an independent probability for each label; ``softmax``: for each class.
        ``auto`` is softmax for multi-class tasks, else sigmoid.
    precision
        ``auto`` is bfloat16 where the machine gains from it. Weights are always float32.
    select
        The epoch whose weights are sealed: the ``last``, or the best by ``val_loss``,
        ``val_accuracy`` or ``val_auroc``. Of equal ones it is that of the lowest ``val_loss``, then
        the latest.
    patience
        Number of epochs without a better one after which training stops; 0 never stops early.
    """

    epochs: int
    batch: int = 64
    minimum_steps: int = 0
    optimiser: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: float = 2e-3
    schedule: Literal["constant", "linear"] = "linear"
    warmup: float = 0.15
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    balance: Literal["weights", "none"] = "weights"
    loss: Literal["auto", "sigmoid", "softmax"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    select: Literal["last", "val_loss", "val_accuracy", "val_auroc"] = "last"
    patience: int = 0

    def __post_init__(self) -> None:
        check_each(self, "fit: epochs batch", lambda v: v >= 1, "must be at least 1")
        check(
            self.batch <= _LARGEST_BATCH,
            f"fit.batch must be at most {_LARGEST_BATCH:,}",
            self.batch,
        )
        names = "fit: minimum_steps weight_decay clip_norm patience"
        check_each(self, names, lambda v: v >= 0, "must not be negative")
        check_each(self, "fit: warmup label_smoothing", lambda v: 0 <= v < 1, "must be in [0, 1)")
        check(self.learning_rate > 0, "fit.learning_rate must be positive", self.learning_rate)
        check(
            self.patience == 0 or self.select != "last",
            "fit.patience needs a fit.select other than last",
            self.select,
        )


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """How a network learns from the predictions of a teacher.

    The loss is (1 - ``share``) times that of the labels plus ``share`` times ``temperature``
    squared times that of the teacher's probabilities, where the logits of both are divided by
    ``temperature`` (Hinton et al., "Distilling the knowledge in a neural network", 2015). An
    unknown label has the second part only.

    Attributes
    ----------
    teacher
        Folder of a bundle or run; in a sealed bundle, the id of that bundle.
    share
        Share of the loss that is of the teacher's predictions, above 0 and up to 1.
    temperature
        Divisor of the logits of student and teacher, above 0 and up to 100.
    """

    teacher: str = ""
    share: float = 0.7
    temperature: float = 2.0

    def __post_init__(self) -> None:
        check(0 < self.share <= 1, "distil.share must be in (0, 1]", self.share)
        problem = f"distil.temperature must be above 0 and at most {_HOTTEST}"
        check(0 < self.temperature <= _HOTTEST, problem, self.temperature)


_RESERVED = ("balanced", "rule-out", "rule-in")


@dataclass(frozen=True, slots=True)
class PointsConfig:
    """Which operating points are locked on validation.

    Attributes
    ----------
    sensitivity
        Required sensitivity of the point ``rule-out``, above 0 and up to 1.
    specificity
        Required specificity of the point ``rule-in``, above 0 and up to 1.
    own
        Further thresholds by name, 0 to 1, for every label. They are not changed.
    """

    sensitivity: float = 0.95
    specificity: float = 0.95
    own: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = "points: sensitivity specificity"
        check_each(self, names, lambda v: 0 < v <= 1, "must be in (0, 1]")
        for name, threshold in self.own.items():
            where = f"points.own.{name}"
            check_text("the name of an operating point", name, least=1)
            check(name not in _RESERVED, f"{where}: the name is reserved", name)
            check(0 <= threshold <= 1, f"{where} must be in [0, 1]", threshold)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a classifier is made from images; see the TOML files in ``plainfilm/recipes``."""

    name: str
    description: str
    input: PixelSpec
    network: NetworkConfig
    fit: FitConfig
    data: DataConfig = DataConfig()
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    points: PointsConfig = PointsConfig()
    distil: DistilConfig | None = None

    def __post_init__(self) -> None:
        check_text("the name of a recipe", self.name)
        check(
            self.augment.crop_from == 0 or self.augment.crop_from >= self.input.size,
            f"augment.crop_from must be 0, or at least input.size, which is {self.input.size}",
            self.augment.crop_from,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain values, for files and hashes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Return the recipe from what `to_json` returned.

        Raises
        ------
        ConfigError
            If a key is unknown or a value out of range.
        """
        return from_json(cls, value, "recipe", TOML)
