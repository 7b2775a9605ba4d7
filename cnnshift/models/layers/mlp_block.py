"""Two linear layers on the channels of every position."""

from __future__ import annotations

from flax import nnx
from jaxtyping import Array, Float

from cnnshift.models.layers.activation import Activation


class MlpBlock(nnx.Module):
    """y = W₂ gelu(W₁ x + b₁) + b₂ at every position (Dosovitskiy et al. 2021, section 3.1).

    Equivariant to every shift of the positions. Weights start Glorot-uniform, biases at 0.
    """

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        start = nnx.initializers.glorot_uniform()
        self.hidden = nnx.Linear(width, hidden, kernel_init=start, rngs=rngs)
        self.activation = Activation("gelu")
        self.out = nnx.Linear(hidden, width, kernel_init=start, rngs=rngs)

    def __call__(self, x: Float[Array, "n *positions c"]) -> Float[Array, "n *positions c"]:
        return self.out(self.activation(self.hidden(x)))
