"""`pool=lps`: learnable polyphase sampling (Rojas-Gomez et al. 2022, section 4)."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx
from jax import lax
from jaxtyping import Array, Float
from typing_extensions import override

from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import Downsampler
from cnnshift.models.layers.initializers import he_normal
from cnnshift.models.layers.polyphase import crop_to_multiple, polyphase_components, select_component
from cnnshift.options import Options


class LpsOptions(Options):
    """`lps`: hidden channels of the network that scores the components."""

    lps: int = pydantic.Field(8, ge=1, le=1024)


class LpsPool(Downsampler):
    """Dense maximum, then, per image, the polyphase component with the highest score of a small network.

    The score of a component z is v · mean(relu(k ∗ z + b)): k a circular 3×3 convolution, the mean over positions, v
    one weight per hidden channel. The paper has a second convolution before the mean. As the mean of a circular
    convolution is a weighted sum of its input's means, v is equivalent to it; its bias, equal for all components,
    affects no choice. Weights start He-normal over the fan-in, b at 0.

    With circular padding and sizes that the stride s divides, a shift of the input permutes and shifts the components.
    The same one is selected, so that the layer is equivariant to every shift. The property is not exact for scores that
    differ by less than the rounding of a mean (of ties, the first component is taken); for other sizes, which lose
    their last rows and columns; and for other paddings.

    In evaluation mode the choice has no gradient. In training mode (`model.train()`) the value is the same, and the
    gradient is straight-through: that of Σ p_k z_k with respect to the scores, p their softmax, and that of the
    selected component with respect to the input. The paper samples the choice from a Gumbel-softmax with falling
    temperature; here there is no noise and the temperature is 1, because one recipe serves all layers.
    """

    options_type = LpsOptions
    shift_equivariant: ClassVar[bool] = True

    @override
    def _setup(self, channels: int, options: LpsOptions, rngs: nnx.Rngs) -> None:
        # The convolution uses the channels of the shape only.
        self.hidden = Convolution((1, 1, channels), options.lps, 3, padding="circular", rngs=rngs)
        self.weights = nnx.Param(he_normal()(rngs.params(), (options.lps, 1))[:, 0])
        # `train()` and `eval()` of NNX modules set this attribute.
        self.deterministic = True

    @override
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        components = polyphase_components(crop_to_multiple(self._dense_maximum(x), self.stride), self.stride)
        scores = self._scores(components)
        selected = select_component(components, scores.argmax(axis=0))
        if self.deterministic:
            return selected
        probabilities = jax.nn.softmax(scores, axis=0)
        # Zero, but with a gradient.
        straight_through = (probabilities - lax.stop_gradient(probabilities))[:, :, None, None, None]
        return selected + (straight_through * lax.stop_gradient(jnp.stack(components))).sum(axis=0)

    def _scores(self, components: list[Float[Array, "n H W c"]]) -> Float[Array, "p n"]:
        hidden = jax.nn.relu(self.hidden(jnp.concatenate(components))).mean(axis=(1, 2))
        return (hidden * self.weights[...][None]).sum(axis=1).reshape(len(components), -1)
