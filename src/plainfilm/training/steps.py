"""Computes training steps, alone or on several ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from plainfilm._optional import require
from plainfilm.training.feed import Batch
from plainfilm.training.group import Group
from plainfilm.training.losses import MaskedAccuracy, MaskedLoss

_STEP_RESETS = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 15)
"""Whether a step of Keras resets the metrics itself. A second reset takes 1/40 of a small step."""


class Steps(Protocol):
    """Training steps of a model."""

    def take(self, batch: Batch) -> tuple[float, float]:
        """Compute one step; return loss and accuracy before it."""

    def store(self) -> None:
        """Assign the weights and the state of the optimiser to the variables of Keras."""


def steps_of(
    model: Any, optimiser: Any, loss: MaskedLoss, accuracy: MaskedAccuracy, group: Group
) -> Steps:
    """Return the steps of a model, which must not be changed by anything else from now on."""
    if group.size == 1:
        return _KerasSteps(model, optimiser, loss, accuracy)
    return _RankSteps(model, optimiser, loss, accuracy)


class _KerasSteps:
    """Steps of Keras, on any backend."""

    def __init__(
        self, model: Any, optimiser: Any, loss: MaskedLoss, accuracy: MaskedAccuracy
    ) -> None:
        self._model = model
        jit = keras.backend.backend() == "jax"
        model.compile(optimizer=optimiser, loss=loss, metrics=[accuracy], jit_compile=jit)

    def take(self, batch: Batch) -> tuple[float, float]:
        if not _STEP_RESETS:
            self._model.reset_metrics()
        inputs = _tensors(batch)
        logs = self._model.train_on_batch(inputs, batch.labels, return_dict=True)
        return float(logs["loss"]), float(logs["accuracy"])

    def store(self) -> None:
        """Do nothing: Keras has assigned them."""


class _RankSteps:
    """Steps of JAX on all ranks: each computes its rows of a batch, with the same weights.

    JAX derives from where the arrays are that the loss, batch statistics and gradients are sums
    over all ranks.
    """

    def __init__(
        self, model: Any, optimiser: Any, loss: MaskedLoss, accuracy: MaskedAccuracy
    ) -> None:
        jax = require("jax", "jax")
        self._jax, sharding = jax, jax.sharding
        mesh = sharding.Mesh(np.array(jax.devices()), ("ranks",))
        self._everywhere = sharding.NamedSharding(mesh, sharding.PartitionSpec())
        self._in_parts = sharding.NamedSharding(mesh, sharding.PartitionSpec("ranks"))
        self._variables = (
            model.trainable_variables,
            model.non_trainable_variables,
            optimiser.variables,
        )
        self._values = [[self._spread(v.value) for v in kind] for kind in self._variables]

        def loss_of(weights: Any, others: Any, inputs: Any, labels: Any) -> Any:
            predicted, others, added = model.stateless_call(
                weights, others, inputs, training=True, return_losses=True
            )
            return sum(added, start=loss(labels, predicted)), (predicted, others)

        def step(values: Any, inputs: Any, labels: Any) -> Any:
            weights, others, state = values
            gradient = jax.value_and_grad(loss_of, has_aux=True)
            (found, (predicted, others)), gradients = gradient(weights, others, inputs, labels)
            weights, state = optimiser.stateless_apply(state, gradients, weights)
            empty = [jax.numpy.zeros(v.shape, v.dtype) for v in accuracy.variables]
            counts = accuracy.stateless_update_state(empty, labels, predicted)
            return found, accuracy.stateless_result(counts), [weights, others, state]

        self._step = jax.jit(step, out_shardings=self._everywhere)

    def take(self, batch: Batch) -> tuple[float, float]:
        *inputs, labels = map(self._part, [*_tensors(batch), batch.labels])
        loss, accuracy, self._values = self._step(self._values, inputs, labels)
        return float(loss), float(accuracy)

    def store(self) -> None:
        for variables, values in zip(self._variables, self._values, strict=True):
            for variable, value in zip(variables, values, strict=True):
                # A copy: Keras donates the memory of variables when it predicts.
                variable.assign(self._jax.numpy.copy(value.addressable_data(0)))

    def _part(self, rows: Any) -> Any:
        """Return an array of all ranks from the rows of this one."""
        return self._jax.make_array_from_process_local_data(self._in_parts, rows)

    def _spread(self, value: Any) -> Any:
        """Return an array of all ranks that has the same value on each."""
        own = self._jax.device_put(self._jax.numpy.copy(value), self._jax.local_devices()[0])
        make = self._jax.make_array_from_single_device_arrays
        return make(own.shape, self._everywhere, [own])


def _tensors(batch: Batch) -> Sequence[Any]:
    """Return the inputs: the images may be tensors, and on PyTorch Keras accepts no mixture."""
    return [ops.convert_to_tensor(x) for x in (batch.images, batch.transforms, batch.tones)]
