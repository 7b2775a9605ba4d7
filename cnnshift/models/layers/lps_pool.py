"""`pool=lps`: learnable polyphase sampling (Rojas-Gomez et al. 2022, section 4)."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from cnnshift.models import base
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.padding import Padding
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components, select_component


class LpsOptions(base.Options):
    """`lps`: hidden channels of the network that scores the components."""

    lps: int = pydantic.Field(8, ge=1, le=1024)


class LpsPool(Downsampler):
    """Dense maximum, then the polyphase component that a small network scores highest, for every image.

    The score of a component z is v · mean(relu(k ∗ z + b)), k a circular 3×3 convolution, the mean over positions. The
    paper has a second convolution before the mean; the mean of a circular convolution is a weighted sum of its input's
    means, so that the second kernel is the one weight v per hidden channel. Its bias, the same for all components,
    would choose nothing. Weights start He-normal over the fan-in, b at 0.

    With circular padding and sizes that the stride s divides, a shift of the input permutes the components and shifts
    them: the same one is chosen, and the layer is equivariant to every shift. Exactness ends at scores that differ by
    less than the rounding of a mean (of equal ones the first is taken), at other sizes, whose last rows and columns
    are left out, and at a border that does not wrap.

    In evaluation the choice is a constant of the derivative. In training (`model.train()`) the value is the same, and
    the gradient is that of Σ p_k z_k towards the scores, p their softmax, and that of the chosen component towards the
    input: straight-through, without noise and at temperature 1, where the paper draws the choice from a Gumbel-softmax
    whose temperature falls: one recipe serves all layers here, and it has no schedule for a layer of its own.
    """

    options_type = LpsOptions
    shift_equivariant: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        *,
        padding: Padding,
        options: LpsOptions,
        rngs: nnx.Rngs,
        maximum: bool = True,
        stride: int = 2,
    ) -> None:
        super().__init__(channels, padding=padding, options=options, rngs=rngs, maximum=maximum, stride=stride)
        # A convolution needs the number of channels only.
        self.hidden = Convolution((1, 1, channels), options.lps, 3, padding="circular", rngs=rngs)
        self.weights = nnx.Param(he_normal()(rngs.params(), (options.lps, 1))[:, 0])
        # The name that `train()` and `eval()` of the library switch.
        self.deterministic = True

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Divide the resolution."""
        components = polyphase_components(crop_to_multiple(self._dense_maximum(x), self.stride), self.stride)
        scores = self._scores(components)
        chosen = select_component(components, scores.argmax(axis=0))
        if self.deterministic:
            return chosen
        shares = jax.nn.softmax(scores, axis=0)
        # Zero, but for its derivative.
        through = (shares - lax.stop_gradient(shares))[:, :, None, None, None]
        return chosen + (through * lax.stop_gradient(jnp.stack(components))).sum(axis=0)

    def _scores(self, components: list[Float[Array, "n H W c"]]) -> Float[Array, "p n"]:
        """What the network says of every component of every image."""
        hidden = jax.nn.relu(self.hidden(jnp.concatenate(components))).mean(axis=(1, 2))
        return (hidden * self.weights[...][None]).sum(axis=1).reshape(len(components), -1)
