"""The training loop: a Python loop of compiled steps, which is faster on a CPU than `lax.scan`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, UInt8

from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import MeasurementError
from cnnshift.train.augment import parse_augment
from cnnshift.train.recipe import Recipe


def fit(
    model: nnx.Module,
    split: Split,
    recipe: Recipe,
    *,
    seed: int,
    progress: Callable[[int], None] = lambda steps: None,
) -> float | None:
    """Train a model, images on the scale 0..1 → logits, in place; it is in evaluation mode afterwards.

    `seed` determines the order of the images and the augmentation. `progress` is called with the number of steps just
    queued.

    Returns:
        Mean loss over the last tenth of the steps; None without any step.

    Raises:
        MeasurementError: the loss is not finite.
    """
    steps = recipe.steps(len(split))
    if not steps:
        model.eval()
        return None
    augment = parse_augment(recipe.augment, split)
    step, weights, rest, moments = compile_step(model, recipe.optimizer(len(split)))
    rng = np.random.default_rng(seed)
    batches = _batches(rng, len(split), recipe.batch_size)
    losses = []
    for done in range(steps):
        chosen = next(batches)
        images = augment(rng, split.images[chosen])
        weights, rest, moments, loss = step(weights, rest, moments, images, split.labels[chosen])
        losses.append(loss)
        if done >= 2:
            # Two queued steps keep the device busy; more would delay an interruption.
            losses[done - 2].block_until_ready()
        progress(1)
    nnx.update(model, weights, rest)
    model.eval()
    final = float(np.mean(losses[-max(1, steps // 10) :]))
    if not np.isfinite(final):
        raise MeasurementError(f"Training diverged: the loss is {final} after {steps} steps.")
    return final


def compile_step(
    model: nnx.Module, optimizer: optax.GradientTransformation
) -> tuple[Callable[..., tuple[Any, Any, Any, Float[Array, ""]]], Any, Any, Any]:
    """Return the compiled training step and its initial weights, rest and moments.

    The step maps (weights, rest, moments, images, labels) to (weights, rest, moments, loss); `rest` is the state
    without gradients, such as running statistics. Its first three arguments are donated.
    """
    model.train()
    graph, weights, rest = nnx.split(model, nnx.Param, ...)

    def loss_of(weights: Any, rest: Any, images: Float[Array, "b h w c"], labels: Int[Array, " b"]) -> Any:
        module: Any = nnx.merge(graph, weights, rest, copy=True)
        loss = optax.softmax_cross_entropy_with_integer_labels(module(images), labels).mean()
        _, _, rest = nnx.split(module, nnx.Param, ...)
        return loss, rest

    def step(weights: Any, rest: Any, moments: Any, images: UInt8[Array, "b h w c"], labels: Int[Array, " b"]) -> Any:
        pixels = to_unit_range(images)
        (loss, rest), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights, rest, pixels, labels)
        update, moments = optimizer.update(gradient, moments, weights)
        return optax.apply_updates(weights, update), rest, moments, loss

    return jax.jit(step, donate_argnums=(0, 1, 2)), weights, rest, optimizer.init(weights)


def _batches(rng: np.random.Generator, count: int, size: int) -> Iterator[Int[np.ndarray, " b"]]:
    """Yield batches of indices from concatenated permutations."""
    queue = rng.permutation(count)
    while True:
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(count)])
        yield queue[:size]
        queue = queue[size:]
