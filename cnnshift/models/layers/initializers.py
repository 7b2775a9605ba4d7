"""Fan-in initializers that compile one program for nearly all shapes.

Compiling the quantile function of the normal distribution takes longer than the rest of building a network, and a
program serves one shape only. JAX's random generator determines a number by its flat index, so that the first n numbers
of a longer draw are those of a draw of n: the weights equal those of `jax.nn.initializers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

_SMALLEST_DRAW = 1 << 16
"""Numbers of the shortest draw; the lengths of longer ones are powers of two."""

_TRUNCATED_STD = 0.8796256610342398
"""Standard deviation of a standard normal variable truncated to ±2: √(1 − 4 φ(2) / (2 Φ(2) − 1))."""


def he_normal(batch_axes: tuple[int, ...] = ()) -> Callable[..., Array]:
    """Return an initializer with variance 2 / fan-in, normal, truncated at two standard deviations.

    It maps (key, shape) to weights; the last axis holds the outputs. Along the axes `batch_axes`, layers are
    independent; they do not count in the fan-in. Source: He et al. 2015, section 2.2.
    """
    return partial(_by_fan_in, 2.0, batch_axes)


def lecun_normal() -> Callable[..., Array]:
    """Return the initializer with variance 1 / fan-in (LeCun et al. 1998, "Efficient BackProp", section 4.6)."""
    return partial(_by_fan_in, 1.0, ())


def _by_fan_in(
    gain: float, batch_axes: tuple[int, ...], key: Array, shape: Sequence[int], dtype: object = jnp.float32, **_: object
) -> Array:
    count = math.prod(shape)
    fan_in = count / shape[-1] / math.prod(shape[axis] for axis in batch_axes)
    drawn = jax.random.truncated_normal(key, -2, 2, (max(_SMALLEST_DRAW, 1 << (count - 1).bit_length()),))
    return _scaled(drawn, math.sqrt(gain / fan_in) / _TRUNCATED_STD, tuple(shape)).astype(dtype)


@partial(jax.jit, static_argnums=(1, 2))
def _scaled(drawn: Array, scale: float, shape: tuple[int, ...]) -> Array:
    return drawn[: math.prod(shape)].reshape(shape) * scale
