"""Muon against Keras's own, which accepts matrices only, and against singular values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("keras")

import keras
from keras import ops

from plainfilm.training.muon import Muon, is_kernel, orthogonalise

Array = NDArray[np.float32]


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def after(optimiser: Any, start: Array, gradients: list[Array], name: str = "kernel") -> Array:
    """Return a variable after a step for each gradient."""
    variable = keras.Variable(start, name=name)
    optimiser.build([variable])
    optimiser.exclude_from_weight_decay(var_names=["bias"])
    for gradient in gradients:
        optimiser.apply([ops.convert_to_tensor(gradient)], [variable])
    moved: Array = ops.convert_to_numpy(variable)
    return moved


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (7, 7), (144, 32), (1, 6)])
def test_orthogonalise_keeps_singular_vectors(shape: tuple[int, int]) -> None:
    matrix = drawn(*shape)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    found = ops.convert_to_numpy(orthogonalise([ops.convert_to_tensor(matrix)])[0])
    turned = left.T @ found @ right.T
    assert np.allclose(turned, np.diag(np.diag(turned)), atol=1e-4)
    assert np.all((np.diag(turned) > 0.6) & (np.diag(turned) < 1.3))


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
def test_matrices_are_updated_as_by_keras(shape: tuple[int, int]) -> None:
    gradients = [drawn(*shape, seed=seed) for seed in range(1, 6)]
    ours = after(Muon(0.02, weight_decay=0.05), drawn(*shape), gradients)
    keras_own = keras.optimizers.Muon(0.02, weight_decay=0.05, adam_weight_decay=0.05)
    theirs = after(keras_own, drawn(*shape), gradients)
    assert np.allclose(ours, theirs, atol=1e-5)
    assert not np.allclose(ours, drawn(*shape), atol=1e-2)


def test_filters_are_updated_as_matrices() -> None:
    gradients = [drawn(3, 3, 4, 8, seed=seed) for seed in range(1, 4)]
    filters = after(Muon(0.02, weight_decay=0.05), drawn(3, 3, 4, 8), gradients)
    flat = [gradient.reshape(36, 8) for gradient in gradients]
    matrix = after(Muon(0.02, weight_decay=0.05), drawn(3, 3, 4, 8).reshape(36, 8), flat)
    assert np.allclose(filters.reshape(36, 8), matrix, atol=1e-6)


@pytest.mark.parametrize(("shape", "name"), [((8,), "gain"), ((8,), "bias"), ((), "factor")])
def test_other_variables_are_updated_as_by_adamw(shape: tuple[int, ...], name: str) -> None:
    start = np.asarray(drawn(*shape), np.float32)
    gradients = [np.asarray(drawn(*shape, seed=seed), np.float32) for seed in range(1, 6)]
    ours = after(Muon(0.02, weight_decay=0.05), start, gradients, name)
    theirs = after(keras.optimizers.AdamW(0.02, weight_decay=0.05), start, gradients, name)
    assert np.allclose(ours, theirs, atol=1e-6)


def test_a_step_does_not_depend_on_the_size_of_the_gradient() -> None:
    start, gradient = drawn(3, 3, 4, 8), drawn(3, 3, 4, 8, seed=1)
    steps = [after(Muon(0.02), start, [factor * gradient]) for factor in (1.0, 1000.0)]
    assert np.allclose(*steps, atol=1e-5)


@pytest.mark.parametrize("shape", [(144, 32), (32, 144)])
def test_a_matrix_of_low_rank_stays_bounded(shape: tuple[int, int]) -> None:
    # Most eigenvalues of its Gram matrix are 0, or a little below by rounding.
    matrix = drawn(shape[0], 2) @ drawn(2, shape[1], seed=1)
    found = ops.convert_to_numpy(orthogonalise([ops.convert_to_tensor(matrix)])[0])
    values = np.linalg.svd(found, compute_uv=False)
    assert np.all((values[:2] > 0.6) & (values[:2] < 1.3))
    assert np.all(values[2:] < 1e-2)


@pytest.mark.parametrize("shared_iterations", [1, 2, 3, 4])
def test_shared_iterations_change_only_the_rounding(
    shared_iterations: int,
) -> None:
    for shape in ((144, 32), (5, 12), (7, 7)):
        matrix = ops.convert_to_tensor(drawn(*shape))
        found = ops.convert_to_numpy(orthogonalise([matrix], shared_iterations)[0])
        assert np.allclose(found, ops.convert_to_numpy(orthogonalise([matrix])[0]), atol=1e-5)


def test_the_last_layer_and_lists_of_filters_are_not_kernels() -> None:
    image = keras.Input((8, 8, 1))
    x = keras.layers.DepthwiseConv2D(3, use_bias=False)(keras.layers.Conv2D(4, 3)(image))
    x = keras.layers.Dense(5, name="dense")(keras.layers.Flatten()(x))
    model = keras.Model(image, keras.layers.Dense(2, name="logits")(x))
    kinds = [is_kernel(variable) for variable in model.trainable_variables]
    assert kinds == [True, False, False, True, False, False, False]


def test_the_variables_of_the_optimiser() -> None:
    """The momentum of each kernel, two moments of all others, and those of every optimiser."""
    variables = [
        keras.Variable(drawn(*shape), name=name)
        for shape, name in [((3, 3, 1, 4), "kernel"), ((4,), "bias"), ((4, 2), "kernel"), ((), "f")]
    ]
    optimiser = Muon(0.02)
    optimiser.build(variables)
    shapes = [tuple(one.shape) for one in optimiser.variables]
    assert sorted(shapes) == sorted([(), (), (3, 3, 1, 4), (4, 2), (5,), (5,)])
    assert not {id(one) for one in optimiser.variables} & {id(one) for one in variables}


def test_variables_are_updated_together_as_alone() -> None:
    shapes = [((3, 3, 2, 4), "kernel"), ((4,), "bias"), ((3, 3, 4, 4), "kernel"), ((), "factor")]
    shapes += [((4, 9), "kernel"), ((4,), "gain"), ((6, 3), "logits")]
    starts = [np.asarray(drawn(*shape, seed=n)) for n, (shape, _) in enumerate(shapes)]
    steps = [
        [np.asarray(drawn(*shape, seed=10 * step + n)) for n, (shape, _) in enumerate(shapes)]
        for step in (1, 2, 3)
    ]
    variables = [
        keras.Variable(start, name=name) for start, (_, name) in zip(starts, shapes, strict=True)
    ]
    optimiser = Muon(0.02, weight_decay=0.05)
    optimiser.build(variables)
    optimiser.exclude_from_weight_decay(var_names=["bias"])
    for gradients in steps:
        optimiser.apply([ops.convert_to_tensor(one) for one in gradients], variables)
    for n, (_, name) in enumerate(shapes):
        alone = after(Muon(0.02, weight_decay=0.05), starts[n], [step[n] for step in steps], name)
        assert np.allclose(ops.convert_to_numpy(variables[n]), alone, atol=1e-5), name


def test_it_is_rebuilt_from_its_config() -> None:
    config = Muon(0.02, weight_decay=0.05, momentum=0.9, shared_iterations=1).get_config()
    again = Muon.from_config(config)
    assert (again.momentum, again.shared_iterations, again.weight_decay) == (0.9, 1, 0.05)
