"""Muon: steps along whole filters instead of one weight at a time."""

from __future__ import annotations

from typing import Any

import keras
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
        self.correction: Any = None

    def build(self, variables: Any) -> None:
        """Add the momentum of every variable, and the mean square of those left to AdamW."""
        if self.built:
            return
        super().build(variables)
        self.momenta = self.add_optimizer_variables(variables, "momentum")
        self.squares = [
            None if is_kernel(v) else self.add_variable_from_reference(v, name="square")
            for v in variables
        ]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Move every variable."""
        # The bias correction of AdamW is the same for all: worked out once, not for each.
        at = ops.cast(self.iterations + 1, "float32")
        correction = ops.sqrt(1 - ops.power(self.beta_2, at)) / (1 - ops.power(self.beta_1, at))
        self.correction = correction
        super().apply(grads, trainable_variables)
        self.correction = None

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable."""
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        mean, square = self.momenta[index], self.squares[index]
        if square is not None:
            self._adam_step(gradient, variable, rate, mean, square)
            return
        self.assign(mean, mean * self.momentum + gradient)
        ahead = ops.reshape(gradient + mean * self.momentum, (-1, variable.shape[-1]))
        step = orthogonal(ahead, self.together)
        scale = _SCALE * max(step.shape) ** 0.5
        self.assign_sub(variable, ops.reshape(step, variable.shape) * (rate * scale))

    def _adam_step(self, gradient: Any, variable: Any, rate: Any, mean: Any, square: Any) -> None:
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        self.assign_sub(
            variable, mean * (rate * self.correction) / (ops.sqrt(square) + self.epsilon)
        )

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds this optimiser."""
        own = {"momentum": self.momentum, "together": self.together}
        return {**super().get_config(), **own}


def is_kernel(variable: Any) -> bool:
    """Return whether a variable is a bank of filters or a hidden layer's matrix.

    The last layer is none: each of its few outputs is a question of its own.
    """
    return len(variable.shape) in (2, 4) and "logits" not in variable.path


def orthogonal(matrix: Any, together: int = _ITERATIONS) -> Any:
    """Return nearly the matrix (n, m) whose singular values are all 1, by Newton-Schulz iteration.

    The singular vectors are those of ``matrix``; the values come to lie between 0.7 and 1.2.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix / (ops.sqrt(ops.sum(ops.square(matrix))) + 1e-7)
    even = ops.eye(min(matrix.shape), dtype=keras.backend.standardize_dtype(matrix.dtype))
    # Each iteration makes a x + b x^3 + c x^5, which is x times a factor out of powers of its Gram
    # matrix. So the small square matrices can be iterated, and the long one is met twice, not ten
    # times.
    for first in range(0, _ITERATIONS, together):
        turned = ops.transpose(x)
        gram = ops.matmul(turned, x) if tall else ops.matmul(x, turned)
        factor = product = _factor(gram, even)
        for _ in range(min(together, _ITERATIONS - first) - 1):
            gram = ops.matmul(ops.matmul(gram, factor), factor)
            factor = _factor(gram, even)
            product = ops.matmul(product, factor)
        x = ops.matmul(x, product) if tall else ops.matmul(product, x)
    return x


def _factor(gram: Any, even: Any) -> Any:
    return _A * even + ops.matmul(gram, _B * even + _C * gram)
