"""The optimiser Muon: Nesterov momentum with orthogonalised updates of kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

# Coefficients of the quintic iteration in the reference implementation, which is steepest at zero,
# so that few iterations suffice.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_SCALE = 0.2  # root mean square of an update at a learning rate of 1, about that of AdamW


class Muon(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Muon for kernels of convolutions and hidden dense layers, AdamW for all other variables.

    The momentum of a kernel, as a matrix (height x width x in, out), is replaced by the nearest
    matrix with equal singular values, which a Newton-Schulz iteration approximates. So rare
    directions are learnt as fast as common ones (K. Jordan et al., "Muon: an optimizer for hidden
    layers in neural networks", 2024). Updates are scaled as by J. Liu et al., arXiv:2502.16982, so
    that learning rate and weight decay have the meaning they have for AdamW. Keras's own Muon
    accepts matrices only and would train every convolution with AdamW.

    ``shared_iterations`` (1 to 5) share one Gram matrix. Sharing saves time, but needs products of
    single precision. Use 1 where products are rounded further, as on accelerators by default: a
    Gram matrix then has negative eigenvalues, which later iterations amplify.
    """

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        shared_iterations: int = _ITERATIONS,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **options)
        self.momentum = momentum
        self.shared_iterations = shared_iterations
        self.beta_1, self.beta_2, self.epsilon = 0.9, 0.999, 1e-7

    def build(self, variables: Any) -> None:
        """Create the momentum of each kernel, and one vector of each moment of all others."""
        if self.built:
            return
        super().build(variables)
        kernels, others = self._split_variables()
        self.momenta = self.add_optimizer_variables(kernels, "momentum")
        count = (sum(math.prod(variable.shape) for variable in others),)
        self.mean = self.add_variable(count, name="mean") if others else None
        self.square = self.add_variable(count, name="square") if others else None

    def _split_variables(self) -> tuple[list[Any], list[Any]]:
        """Return kernels and all others; as attributes, Keras would track them as own state."""
        kernels = [variable for variable in self._trainable_variables if is_kernel(variable)]
        others = [variable for variable in self._trainable_variables if not is_kernel(variable)]
        return kernels, others

    def _backend_update_step(self, grads: Any, variables: Any, learning_rate: Any) -> None:
        """Update all variables: Keras's hook for optimisers that do not update one by one.

        A small network has dozens of variables of a few numbers. Updating them one by one would
        make a step a third more operations.
        """
        rate = ops.cast(learning_rate, "float32")
        gradients = {id(v): ops.cast(g, v.dtype) for g, v in zip(grads, variables, strict=True)}
        kernels, others = self._split_variables()
        self._update_kernels(kernels, gradients, rate)
        if others:
            self._update_others(others, gradients, rate)

    def _update_kernels(self, kernels: list[Any], gradients: dict[int, Any], rate: Any) -> None:
        updated, matrices = [], []
        for kernel, mean in zip(kernels, self.momenta, strict=True):
            if (gradient := gradients.get(id(kernel))) is not None:
                self.assign(mean, mean * self.momentum + gradient)
                nesterov = gradient + mean * self.momentum
                matrices.append(ops.reshape(nesterov, (-1, kernel.shape[-1])))
                updated.append(kernel)
        steps = orthogonalise(matrices, self.shared_iterations)
        for kernel, step in zip(updated, steps, strict=True):
            scale = _SCALE * max(step.shape) ** 0.5
            self.assign_sub(kernel, ops.reshape(step, kernel.shape) * (rate * scale))

    def _update_others(self, others: list[Any], gradients: dict[int, Any], rate: Any) -> None:
        """Update all other variables with AdamW, as one vector; a missing gradient is zero."""
        parts = [gradients[id(v)] if id(v) in gradients else ops.zeros(v.shape) for v in others]
        gradient = ops.concatenate([ops.reshape(ops.cast(g, "float32"), (-1,)) for g in parts])
        self.assign_add(self.mean, (gradient - self.mean) * (1 - self.beta_1))
        self.assign_add(self.square, (ops.square(gradient) - self.square) * (1 - self.beta_2))
        number = ops.cast(self.iterations + 1, "float32")
        correction = ops.sqrt(1 - ops.power(self.beta_2, number)) / (
            1 - ops.power(self.beta_1, number)
        )
        step = self.mean * (rate * correction) / (ops.sqrt(self.square) + self.epsilon)
        ends = np.cumsum([math.prod(variable.shape) for variable in others])[:-1].tolist()
        steps = ops.split(step, ends) if ends else [step]
        for variable, part in zip(others, steps, strict=True):
            self.assign_sub(variable, ops.reshape(part, variable.shape))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        own = {"momentum": self.momentum, "shared_iterations": self.shared_iterations}
        return {**super().get_config(), **own}


def is_kernel(variable: Any) -> bool:
    """Return whether a variable is the kernel of a convolution or a hidden dense layer.

    That of a depthwise convolution is a list of filters, not a matrix.
    """
    matrix = len(variable.shape) in (2, 4) and variable.shape[-1] > 1
    return matrix and "logits" not in variable.path


def orthogonalise(matrices: Sequence[Any], shared_iterations: int = _ITERATIONS) -> list[Any]:
    """Return matrices (n, m) with the same singular vectors and singular values of 0.7 to 1.2."""
    by_side: dict[int, list[int]] = {}
    for number, matrix in enumerate(matrices):
        by_side.setdefault(min(matrix.shape), []).append(number)
    results: dict[int, Any] = {}
    for numbers in by_side.values():
        batch = _orthogonalise([matrices[number] for number in numbers], shared_iterations)
        results.update(zip(numbers, batch, strict=True))
    return [results[number] for number in range(len(matrices))]


def _orthogonalise(matrices: Sequence[Any], shared_iterations: int) -> list[Any]:
    """Orthogonalise matrices with equal smaller sides, whose Gram matrices form one batch."""
    tall = [matrix.shape[0] > matrix.shape[1] for matrix in matrices]
    several = [x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7) for x in matrices]
    dtype = keras.backend.standardize_dtype(matrices[0].dtype)
    identity = ops.eye(min(matrices[0].shape), dtype=dtype)
    # An iteration returns a x + b x^3 + c x^5, which is x times a polynomial of its Gram matrix. So
    # the small square matrices are iterated, and the large ones multiplied twice, not ten times.
    for first in range(0, _ITERATIONS, shared_iterations):
        transposed = [ops.transpose(x) for x in several]
        grams = [
            ops.matmul(turned, x) if is_tall else ops.matmul(x, turned)
            for x, turned, is_tall in zip(several, transposed, tall, strict=True)
        ]
        gram = ops.stack(grams)
        factor = product = _factor(gram, identity)
        for _ in range(min(shared_iterations, _ITERATIONS - first) - 1):
            gram = ops.matmul(ops.matmul(gram, factor), factor)
            factor = _factor(gram, identity)
            product = ops.matmul(product, factor)
        several = [
            ops.matmul(x, product[number]) if is_tall else ops.matmul(product[number], x)
            for number, (x, is_tall) in enumerate(zip(several, tall, strict=True))
        ]
    return several


def _factor(gram: Any, identity: Any) -> Any:
    return _A * identity + ops.matmul(gram, _B * identity + _C * gram)
