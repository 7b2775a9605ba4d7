"""Residual blocks of two 3×3 convolutions (He et al. 2016, figure 2; He et al. 2016b, figure 4e)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.catalog import DOWNSAMPLERS
from cnnshift.models.layers.activation import make_activation
from cnnshift.models.layers.block import Block
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.normalization import make_norm
from cnnshift.models.layers.padding import align_shortcut


class Residual(Block):
    """a(n₂(k₂ * D(a(n₁(k₁ * x)))) + s(D(x))), D the downsampling, a the activation, n normalization.

    The shortcut s is the identity or, where resolution or channels change, a 1×1 convolution and a normalization
    (option B of He et al. 2016, section 3.3). With `preactivation`: k₂ * D(a(n₂(k₁ * z))) + s(D(x)), z = a(n₁(x)); a
    1×1 convolution s is applied to D(z) instead, without a normalization.

    D follows the first activation, as in Zhang 2019 (section 3.2). Both branches pass through D as one map with the
    channels of both, so that adaptive sampling (`aps`, `lps`) selects the same grid for both and they stay aligned
    (Chaman & Dokmanić 2021, section 3.3, apply the choice of the main branch to both). With `pool=stride`, k₁ and s
    take the stride. Pointwise n and a give the same values then; others (batch normalization) read the remaining pixels
    only.

    The shortcut is cropped or zero-padded to the size of the main branch. Without batch normalization the convolutions
    have a bias.

    Args:
        channels: (of the input, of the output).
        options: of `resnet`: padding, norm, activation, preactivation, pool and the pool's options.
        downsamples: whether the block has D.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        options: Any,
        *,
        downsamples: bool,
        rngs: nnx.Rngs,
    ) -> None:
        inputs, outputs = channels
        padding, norm, preactivation = options.padding, options.norm, options.preactivation
        pool_type: type[Downsampler] = DOWNSAMPLERS.load(options.pool)
        strided = downsamples and pool_type.is_stride
        projects = downsamples or inputs != outputs
        step, bias = 2 if strided else 1, norm != "batch"

        def convolution(inputs: int, kernel: int, stride: int, bias: bool = bias) -> Convolution:
            shape = (kernel, kernel, inputs)
            return Convolution(shape, outputs, kernel, padding=padding, stride=stride, bias=bias, rngs=rngs)

        # Without a normalization before the sum, the bias of the main branch suffices.
        projection_bias = bias and not preactivation and norm != "none"
        self.first, self.second = convolution(inputs, 3, step), convolution(outputs, 3, 1)
        self.project = convolution(inputs, 1, step, projection_bias) if projects else None
        self.norm_first: Any = make_norm(norm, inputs if preactivation else outputs, rngs=rngs)
        self.norm_second: Any = make_norm(norm, outputs, rngs=rngs)
        self.norm_1x1: Any = make_norm(norm, outputs, rngs=rngs) if projects and not preactivation else None
        self.pool = (
            pool_type(inputs + outputs, padding=padding, options=options.pool_options, rngs=rngs, maximum=False)
            if downsamples and not strided
            else None
        )
        self.activation_first: Any = make_activation(options.activation, inputs if preactivation else outputs)
        self.activation_second: Any = make_activation(options.activation, outputs)
        self.preactivation = preactivation
        self.stride = step * (self.pool.stride if self.pool else 1)
        self.is_circular = padding == "circular"

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        return self._second(*self._first(x)) if self.pool is None else self.downsample(self.dense(x))

    @override
    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        # One map of both branches; the identity if the convolutions have the stride.
        return x if self.pool is None else jnp.concatenate(self._first(x), axis=-1)

    @override
    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        if self.pool is None:
            return self(x)
        x, outputs = self.pool(x), self.second.kernel.shape[3]
        return self._second(x[..., :outputs], x[..., outputs:])

    def _first(self, x: Float[Array, "n h w c"]) -> tuple[Float[Array, "n H W C"], Float[Array, "n H2 W2 c"]]:
        """Return the main branch up to the downsampling, and the input of the shortcut."""
        if self.preactivation:
            z = self.activation_first(_normalized(x, self.norm_first))
            main, shortcut = self.first(z), x if self.project is None else z
            main = self.activation_second(_normalized(main, self.norm_second))
        else:
            main, shortcut = self.activation_first(_normalized(self.first(x), self.norm_first)), x
        return main, align_shortcut(shortcut, 3, self.first.padding)

    def _second(self, main: Float[Array, "n H W C"], shortcut: Float[Array, "n H2 W2 c"]) -> Float[Array, "n H3 W3 C"]:
        """Return the sum of the remaining parts of both branches."""
        main = self.second(main)
        if self.project is not None:
            shortcut = _normalized(self.project(shortcut), self.norm_1x1)
        shortcut = align_shortcut(shortcut, 3, self.first.padding)
        if self.preactivation:
            return main + shortcut
        return self.activation_second(_normalized(main, self.norm_second) + shortcut)


def _normalized(x: Array, norm: Any) -> Array:
    return x if norm is None else norm(x)
