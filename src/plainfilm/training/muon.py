"""Muon: steps along whole filters instead of one weight at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["Muon"]

# The quintic iteration of the reference implementation: steepest at zero, so that few are enough.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_SCALE = 0.2  # root mean square of a step at a learning rate of 1, about that of AdamW


class Muon(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Nesterov momentum whose step for each filter bank is made orthogonal; AdamW for the rest.

    The momentum of a kernel, as a matrix (height x width x in, out), is replaced by the nearest
    matrix with equal singular values, found by Newton-Schulz iteration, so that rare directions
    are learnt as fast as common ones (K. Jordan et al., "Muon: an optimizer for hidden layers in
    neural networks", 2024; scaled as by J. Liu et al., arXiv:2502.16982, so that learning rate and
    weight decay mean what they mean for AdamW). Keras's own takes matrices only, and would leave
    every convolution to AdamW.

    Parameters
    ----------
    learning_rate
        Number or schedule.
    weight_decay
        Decoupled; spare variables by `exclude_from_weight_decay`.
    momentum
        Share of the last step's momentum that is kept, 0 to 1.
    together
        Iterations that share one Gram matrix, 1 to 5. All of them save time where products are of
        single precision. Where they are rounded to less, as on accelerators by default, take 1: a
        Gram matrix then has negative eigenvalues, and the next iterations would blow them up.
    options
        Of `keras.optimizers.Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        together: int = _ITERATIONS,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **options)
        self.momentum = momentum
        self.together = together
        self.beta_1, self.beta_2, self.epsilon = 0.9, 0.999, 1e-7

    def build(self, variables: Any) -> None:
        """Add the momentum of every kernel, and both moments of all other variables in a row."""
        if self.built:
            return
        super().build(variables)
        kernels, rest = self._kinds()
        self.momenta = self.add_optimizer_variables(kernels, "momentum")
        count = (sum(math.prod(variable.shape) for variable in rest),)
        self.mean = self.add_variable(count, name="mean") if rest else None
        self.square = self.add_variable(count, name="square") if rest else None

    def _kinds(self) -> tuple[list[Any], list[Any]]:
        """Return kernels and all others; kept as an attribute they would pass for our own state."""
        kernels = [variable for variable in self._trainable_variables if is_kernel(variable)]
        rest = [variable for variable in self._trainable_variables if not is_kernel(variable)]
        return kernels, rest

    def _backend_update_step(self, grads: Any, variables: Any, learning_rate: Any) -> None:
        """Move every variable: Keras's hook for optimisers that do not go one by one.

        A small network has dozens of variables of a few numbers each. One by one, moving them makes
        a step of a third more operations, and its tracing longer.
        """
        rate = ops.cast(learning_rate, "float32")
        gradients = {id(v): ops.cast(g, v.dtype) for g, v in zip(grads, variables, strict=True)}
        kernels, rest = self._kinds()
        self._move_kernels(kernels, gradients, rate)
        if rest:
            self._move_rest(rest, gradients, rate)

    def _move_kernels(self, kernels: list[Any], gradients: dict[int, Any], rate: Any) -> None:
        moved, ahead = [], []
        for kernel, mean in zip(kernels, self.momenta, strict=True):
            if (gradient := gradients.get(id(kernel))) is not None:
                self.assign(mean, mean * self.momentum + gradient)
                matrix = gradient + mean * self.momentum
                ahead.append(ops.reshape(matrix, (-1, kernel.shape[-1])))
                moved.append(kernel)
        for kernel, step in zip(moved, orthogonal(ahead, self.together), strict=True):
            scale = _SCALE * max(step.shape) ** 0.5
            self.assign_sub(kernel, ops.reshape(step, kernel.shape) * (rate * scale))

    def _move_rest(self, rest: list[Any], gradients: dict[int, Any], rate: Any) -> None:
        """Take a step of AdamW with all of them in a row; no gradient counts as one of zero."""
        row = [gradients[id(v)] if id(v) in gradients else ops.zeros(v.shape) for v in rest]
        gradient = ops.concatenate([ops.reshape(ops.cast(g, "float32"), (-1,)) for g in row])
        self.assign_add(self.mean, (gradient - self.mean) * (1 - self.beta_1))
        self.assign_add(self.square, (ops.square(gradient) - self.square) * (1 - self.beta_2))
        at = ops.cast(self.iterations + 1, "float32")
        correction = ops.sqrt(1 - ops.power(self.beta_2, at)) / (1 - ops.power(self.beta_1, at))
        step = self.mean * (rate * correction) / (ops.sqrt(self.square) + self.epsilon)
        ends = np.cumsum([math.prod(variable.shape) for variable in rest])[:-1].tolist()
        parts = ops.split(step, ends) if ends else [step]
        for variable, part in zip(rest, parts, strict=True):
            self.assign_sub(variable, ops.reshape(part, variable.shape))

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds this optimiser."""
        own = {"momentum": self.momentum, "together": self.together}
        return {**super().get_config(), **own}


def is_kernel(variable: Any) -> bool:
    """Return whether a variable is a bank of filters or a hidden layer's matrix.

    The last layer is none: each of its few outputs is a question of its own.
    """
    return len(variable.shape) in (2, 4) and "logits" not in variable.path


def orthogonal(matrices: Sequence[Any], together: int = _ITERATIONS) -> list[Any]:
    """Return nearly the matrices whose singular values are all 1, by Newton-Schulz iteration.

    The singular vectors are those of ``matrices``, each (n, m); the values come to lie between 0.7
    and 1.2.
    """
    of_side: dict[int, list[int]] = {}
    for number, matrix in enumerate(matrices):
        of_side.setdefault(min(matrix.shape), []).append(number)
    done: dict[int, Any] = {}
    for numbers in of_side.values():
        found = _orthogonal([matrices[number] for number in numbers], together)
        done.update(zip(numbers, found, strict=True))
    return [done[number] for number in range(len(matrices))]


def _orthogonal(matrices: Sequence[Any], together: int) -> list[Any]:
    """Do it for matrices whose smaller sides are equal: their Gram matrices go side by side."""
    tall = [matrix.shape[0] > matrix.shape[1] for matrix in matrices]
    several = [x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7) for x in matrices]
    dtype = keras.backend.standardize_dtype(matrices[0].dtype)
    even = ops.eye(min(matrices[0].shape), dtype=dtype)
    # Each iteration makes a x + b x^3 + c x^5, which is x times a factor out of powers of its Gram
    # matrix. So the small square matrices can be iterated, and the long one is met twice, not ten
    # times.
    for first in range(0, _ITERATIONS, together):
        turned = [ops.transpose(x) for x in several]
        grams = [
            ops.matmul(turn, x) if is_tall else ops.matmul(x, turn)
            for x, turn, is_tall in zip(several, turned, tall, strict=True)
        ]
        gram = ops.stack(grams)
        factor = product = _factor(gram, even)
        for _ in range(min(together, _ITERATIONS - first) - 1):
            gram = ops.matmul(ops.matmul(gram, factor), factor)
            factor = _factor(gram, even)
            product = ops.matmul(product, factor)
        several = [
            ops.matmul(x, product[number]) if is_tall else ops.matmul(product[number], x)
            for number, (x, is_tall) in enumerate(zip(several, tall, strict=True))
        ]
    return several


def _factor(gram: Any, even: Any) -> Any:
    return _A * even + ops.matmul(gram, _B * even + _C * gram)
