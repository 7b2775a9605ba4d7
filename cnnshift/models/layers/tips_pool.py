"""`pool=tips`: translation invariant polyphase sampling (Saha & Gokhale 2025, section 3)."""

from __future__ import annotations

import functools
import math
import operator

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.base import Options
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.padding import Padding, pad_margins
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components

_TAPS = [(a, b) for a in range(3) for b in range(3)]


class TipsPool(Downsampler):
    """Dense maximum, then a weighted sum of the polyphase components: y = Σ_k τ_k z_k, Σ_k τ_k = 1, per channel.

    τ is the softmax, over the components, of v · mean(relu(k ∗ z)), k a circular 3×3 kernel and v a weight of every
    channel, the mean over the positions of the component. All components share k and v, so that τ moves along when a
    shift permutes them, and the sum does not depend on their order. (The published code takes the means over the
    corners of the whole map instead, of which a shift makes no permutation.) Kernels start He-normal over their nine
    taps, v at 1: components that are alike get nearly equal weights, and the layer starts near to a mean.

    With circular padding and sizes that the stride s divides it is equivariant to multiples of s. A shift that s does
    not divide permutes the components and moves some of them by one position more than others: their means, and the
    means of the output, are the same, the sum is another one. It is equivariant to every shift, up to a shift, exactly
    where each channel has all of its weight on one and the same component; trained without a push in that direction it
    is not. The paper's regularisers (L_FM, which keeps τ from being uniform or all on one component, and L_undo) belong
    to the loss, which is one for all models here: they are left out.
    """

    def __init__(
        self,
        channels: int,
        *,
        padding: Padding,
        options: Options,
        rngs: nnx.Rngs,
        maximum: bool = True,
        stride: int = 2,
    ) -> None:
        super().__init__(channels, padding=padding, options=options, rngs=rngs, maximum=maximum, stride=stride)
        self.kernel = nnx.Param(nnx.initializers.normal(math.sqrt(2 / 9))(rngs.params(), (9, channels)))
        self.weights = nnx.Param(jnp.ones(channels))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        x = crop_to_multiple(self._dense_maximum(x), self.stride)
        shares = self._shares(x)[:, :, None, None]
        return functools.reduce(
            operator.add,
            (share * part for share, part in zip(shares, polyphase_components(x, self.stride), strict=True)),
        )

    def _shares(self, x: Float[Array, "n h w c"]) -> Float[Array, "p n c"]:
        """τ of the components of a map whose sizes the stride divides."""
        count, height, width, channels = x.shape
        step, kernel = self.stride, self.kernel[...]
        # A neighbour in a component is s pixels away: one pass over the map serves all components.
        wide = pad_margins(x, ((step, step), (step, step)), "circular")
        filtered = functools.reduce(
            operator.add,
            (
                wide[:, step * a : step * a + height, step * b : step * b + width] * kernel[tap][None, None, None]
                for tap, (a, b) in enumerate(_TAPS)
            ),
        )
        windows = (count, height // step, step, width // step, step, channels)
        means = jax.nn.relu(filtered).reshape(windows).mean(axis=(1, 3)).reshape(count, step * step, channels)
        return jax.nn.softmax((means * self.weights[...][None, None]).transpose(1, 0, 2), axis=0)
