"""`pool=tips`: translation-invariant polyphase sampling (Saha & Gokhale 2025, section 3)."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.padding import pad_margins
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components


class TipsPool(Downsampler):
    """Dense maximum, then a weighted sum of the polyphase components: y = Σ_k τ_k z_k, Σ_k τ_k = 1, per channel.

    τ is the softmax over the components of v · mean(relu(k ∗ z)): k a circular 3×3 kernel and v a weight per channel,
    the mean over the positions of the component. All components share k and v, so that τ follows the components when a
    shift permutes them, and the sum does not depend on their order. (The published code averages over the quadrants of
    the whole map instead, which a shift does not permute.) Kernels start He-normal over their nine taps, v at 1:
    similar components get nearly equal weights, and the layer starts close to a mean.

    With circular padding and sizes that the stride s divides, the layer is equivariant to multiples of s. Any other
    shift permutes the components and moves some of them one position further than others: their means and the mean of
    the output stay the same, but the output changes. The layer is equivariant to every shift, up to a shift of its
    output, only where each channel has all of its weight on a single component, which training does not enforce. The
    paper's regularizers L_FM (keeps τ from being uniform or on one component) and L_undo are left out, because all
    models are trained with the same loss.
    """

    @override
    def _setup(self, channels: int, options: Any, rngs: nnx.Rngs) -> None:
        self.kernel = nnx.Param(nnx.initializers.normal(math.sqrt(2 / 9))(rngs.params(), (9, channels)))
        self.weights = nnx.Param(jnp.ones(channels))

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        x = crop_to_multiple(self._dense_maximum(x), self.stride)
        weights = self._component_weights(x)[:, :, None, None]
        components = polyphase_components(x, self.stride)
        return functools.reduce(operator.add, (tau * z for tau, z in zip(weights, components, strict=True)))

    def _component_weights(self, x: Float[Array, "n h w c"]) -> Float[Array, "p n c"]:
        """Return τ for the components of a map whose sizes the stride divides."""
        count, height, width, channels = x.shape
        step, kernel = self.stride, self.kernel[...]
        # Neighbours in a component are s pixels apart: one dilated pass over the map serves all components.
        padded = pad_margins(x, ((step, step), (step, step)), "circular")
        filtered = functools.reduce(
            operator.add,
            (
                padded[:, step * a : step * a + height, step * b : step * b + width] * kernel[tap][None, None, None]
                for tap, (a, b) in enumerate(itertools.product(range(3), repeat=2))
            ),
        )
        windows = (count, height // step, step, width // step, step, channels)
        means = jax.nn.relu(filtered).reshape(windows).mean(axis=(1, 3)).reshape(count, step * step, channels)
        return jax.nn.softmax((means * self.weights[...][None, None]).transpose(1, 0, 2), axis=0)
