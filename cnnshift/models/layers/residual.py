"""Residual blocks of two 3×3 convolutions (He et al. 2016, figure 2; He et al. 2016b, figure 4e)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.activation import MapActivationName, make_activation
from cnnshift.models.layers.block import Block
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.normalization import Norm, make_norm
from cnnshift.models.layers.padding import Padding
from cnnshift.models.layers.shortcut import align_shortcut


class Residual(Block):
    """a(n₂(k₂ * D(a(n₁(k₁ * x)))) + s(D(x))), D the downsampling, a the activation, n normalisation.

    s is the identity, or, where resolution or channels change, a 1×1 convolution and a normalisation (option B of He et
    al. 2016, section 3.3). With `preactivation`: k₂ * D(a(n₂(k₁ * z))) + s(D(x)), z = a(n₁(x)), and where s is a 1×1
    convolution it sees z, without a normalisation of its own.

    D comes after the first activation, as in Zhang 2019 (section 3.2), and both branches pass through it as one map
    with the channels of both: a grid that it chooses (`aps`, `lps`) is that of both, so that the two stay aligned
    (Chaman & Dokmanić 2021, section 3.3, take the main branch's choice for both). Where D is a stride, k₁ and s take it
    over: the same values if n and a see every pixel for itself, and otherwise n and a see the pixels that are kept.

    Args:
        channels: (of the input, of the output).
        padding: what the convolutions see beyond the border; the shortcut is cut or surrounded with zeros to match.
        norm: n; without batch normalisation the convolutions have a bias.
        activation: a.
        preactivation: see above.
        pool_type: D's class, or None: the block keeps the resolution.
        pool_options: D's own.
        rngs: of the initial weights.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        *,
        padding: Padding,
        norm: Norm,
        activation: MapActivationName,
        preactivation: bool,
        pool_type: type[Downsampler] | None,
        pool_options: Any,
        rngs: nnx.Rngs,
    ) -> None:
        inputs, outputs = channels
        strided = pool_type is not None and pool_type.is_stride
        projects = pool_type is not None or inputs != outputs
        step, bias = 2 if strided else 1, norm != "batch"

        def convolution(inputs: int, kernel: int, stride: int, bias: bool = bias) -> Convolution:
            shape = (kernel, kernel, inputs)
            return Convolution(shape, outputs, kernel, padding=padding, stride=stride, bias=bias, rngs=rngs)

        # Where no normalisation comes between them and the sum, two biases would be one.
        bias_beside = bias and not preactivation and norm != "none"
        self.first, self.second = convolution(inputs, 3, step), convolution(outputs, 3, 1)
        self.project = convolution(inputs, 1, step, bias_beside) if projects else None
        self.norm_first: Any = make_norm(norm, inputs if preactivation else outputs, rngs=rngs)
        self.norm_second: Any = make_norm(norm, outputs, rngs=rngs)
        self.norm_1x1: Any = make_norm(norm, outputs, rngs=rngs) if projects and not preactivation else None
        both = inputs + outputs
        self.pool = (
            pool_type(both, padding=padding, options=pool_options, rngs=rngs, maximum=False)
            if pool_type is not None and not strided
            else None
        )
        self.activation_first: Any = make_activation(activation, inputs if preactivation else outputs)
        self.activation_second: Any = make_activation(activation, outputs)
        self.preactivation = preactivation

    @property
    def stride(self) -> int:
        """By what the block divides the resolution."""
        return self.first.stride * (self.pool.stride if self.pool else 1)

    @property
    def is_circular(self) -> bool:
        """By its padding."""
        return self.first.padding == "circular"

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """One block."""
        return self._second(*self._first(x)) if self.pool is None else self.downsample(self.dense(x))

    def dense(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """Both branches before the downsampling, as one map; nothing, where the convolutions have the stride."""
        return x if self.pool is None else jnp.concatenate(self._first(x), axis=-1)

    def downsample(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W C"]:
        """The rest."""
        if self.pool is None:
            return self(x)
        x, outputs = self.pool(x), self.second.kernel.shape[3]
        return self._second(x[..., :outputs], x[..., outputs:])

    def _first(self, x: Float[Array, "n h w c"]) -> tuple[Float[Array, "n H W C"], Float[Array, "n H2 W2 c"]]:
        """The main branch up to the downsampling, and what the shortcut begins with."""
        if self.preactivation:
            z = self.activation_first(_normalized(x, self.norm_first))
            main, beside = self.first(z), x if self.project is None else z
            main = self.activation_second(_normalized(main, self.norm_second))
        else:
            main, beside = self.activation_first(_normalized(self.first(x), self.norm_first)), x
        return main, align_shortcut(beside, 3, self.first.padding)

    def _second(self, main: Float[Array, "n H W C"], beside: Float[Array, "n H2 W2 c"]) -> Float[Array, "n H3 W3 C"]:
        """The rest of both branches, and their sum."""
        main = self.second(main)
        if self.project is not None:
            beside = _normalized(self.project(beside), self.norm_1x1)
        beside = align_shortcut(beside, 3, self.first.padding)
        if self.preactivation:
            return main + beside
        return self.activation_second(_normalized(main, self.norm_second) + beside)


def _normalized(x: Array, norm: Any) -> Array:
    return x if norm is None else norm(x)
