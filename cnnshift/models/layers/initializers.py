"""Initial weights by their fan-in, from one compiled program for nearly all shapes.

Compiling the quantile function of the normal distribution takes longer than anything else in building a network, and a
program serves one shape. The random generator of JAX gives a number by its place in the flat order, so that the first n
of a longer draw are the draw of n: the numbers are those of `jax.nn.initializers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

_AT_ONCE = 1 << 16
"""Numbers of the smallest draw; longer ones are powers of two."""

_SPREAD = 0.8796256610342398
"""Standard deviation of a standard normal variable between −2 and 2: √(1 − 4 φ(2) / (2 Φ(2) − 1))."""


def he_normal(batch_axis: int | Sequence[int] = ()) -> Callable[..., Array]:
    """Truncated normal at two standard deviations, of variance 2 / fan-in.

    Source: He et al. 2015, section 2.2.

    Args:
        batch_axis: axes along which there are independent layers, which are no part of the fan-in.

    Returns:
        key, shape → weights; the last axis are the outputs.
    """
    return partial(_by_fan_in, 2.0, (batch_axis,) if isinstance(batch_axis, int) else tuple(batch_axis))


def lecun_normal() -> Callable[..., Array]:
    """Truncated normal at two standard deviations, of variance 1 / fan-in.

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.6.

    Returns:
        key, shape → weights; the last axis are the outputs.
    """
    return partial(_by_fan_in, 1.0, ())


def _by_fan_in(
    gain: float, apart: tuple[int, ...], key: Array, shape: Sequence[int], dtype: object = jnp.float32, **_: object
) -> Array:
    count = math.prod(shape)
    fan_in = count / shape[-1] / math.prod(shape[axis] for axis in apart)
    drawn = jax.random.truncated_normal(key, -2, 2, (max(_AT_ONCE, 1 << (count - 1).bit_length()),))
    return _fitted(drawn, math.sqrt(gain / fan_in) / _SPREAD, tuple(shape)).astype(dtype)


@partial(jax.jit, static_argnums=(1, 2))
def _fitted(drawn: Array, scale: float, shape: tuple[int, ...]) -> Array:
    return drawn[: math.prod(shape)].reshape(shape) * scale
