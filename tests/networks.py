"""Small networks that no family of the package contains."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from cnnshift.models.layers.initializers import lecun_normal

# Initial values of flax, from one compiled program for all shapes.
Conv, Linear = (partial(layer, kernel_init=lecun_normal()) for layer in (nnx.Conv, nnx.Linear))


def made(kind, **options):
    """Return a network with its initial weights. Tests call it, so that only they pay for the initialization."""
    return kind(rngs=nnx.Rngs(0), **options)


class Functional(nnx.Module):
    """Pooling and activation as functions, a strided convolution, a position embedding, a flatten head."""

    def __init__(self, *, rngs):
        self.conv1 = Conv(1, 4, (3, 3), rngs=rngs)
        self.conv2 = Conv(4, 8, (3, 3), strides=2, rngs=rngs)
        self.position = nnx.Param(jax.random.normal(rngs.params(), (1, 4, 4, 8)))
        self.out = Linear(128, 5, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), (2, 2))
        x = nnx.gelu(self.conv2(x))
        x = x + self.position[...]
        return self.out(x.reshape(len(x), -1))


class Strided(nnx.Module):
    """Circular convolutions, the first with a stride of 4, and a global average."""

    def __init__(self, *, rngs):
        self.c1 = Conv(1, 8, (5, 5), strides=4, padding="CIRCULAR", rngs=rngs)
        self.c2 = Conv(8, 8, (3, 3), padding="CIRCULAR", rngs=rngs)
        self.out = Linear(8, 5, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.c2(nnx.relu(self.c1(x)))).mean(axis=(1, 2)))


class Patches(nnx.Module):
    """A vision transformer of one block on 4×4 patches, with or without a position embedding."""

    def __init__(self, *, embedded: bool, rngs):
        self.embed = Conv(1, 8, (4, 4), strides=4, padding="VALID", rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, decode=False, kernel_init=lecun_normal(), rngs=rngs)
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.position = nnx.Param(jax.random.normal(rngs.params(), (1, 16, 8))) if embedded else None
        self.out = Linear(8, 5, rngs=rngs)

    def __call__(self, x):
        tokens = self.embed(x).reshape(len(x), 16, 8)
        if self.position is not None:
            tokens = tokens + self.position[...]
        tokens = tokens + self.attention(self.norm(tokens))
        return self.out(tokens.mean(axis=1))


class Residual(nnx.Module):
    """A sum of two strided branches."""

    def __init__(self, *, rngs):
        self.c1 = Conv(1, 4, (3, 3), padding="CIRCULAR", rngs=rngs)
        self.c2 = Conv(4, 4, (3, 3), strides=2, padding="CIRCULAR", rngs=rngs)
        self.shortcut = Conv(4, 4, (1, 1), strides=2, rngs=rngs)
        self.out = Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        h = nnx.relu(self.c1(x))
        h = self.c2(h) + self.shortcut(h)
        return self.out(jnp.mean(h, axis=(1, 2)))


class Looped(nnx.Module):
    """A loop over convolution, ReLU and max-pool."""

    def __init__(self, *, rngs):
        shapes = ((1, 4), (4, 4))
        self.convs = nnx.List([Conv(i, o, (3, 3), padding="CIRCULAR", rngs=rngs) for i, o in shapes])
        self.out = Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        for conv in self.convs:
            x = nnx.max_pool(nnx.relu(conv(x)), (2, 2), (2, 2))
        return self.out(x.mean(axis=(1, 2)))


class Wrapped(nnx.Module):
    """Convolutions without padding, each after separate circular padding."""

    def __init__(self, *, rngs):
        self.c1 = Conv(1, 4, (3, 3), padding="VALID", rngs=rngs)
        self.c2 = Conv(4, 4, (3, 3), padding="VALID", rngs=rngs)
        self.out = Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        for conv in (self.c1, self.c2):
            x = nnx.relu(conv(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")))
        return self.out(x.mean(axis=(1, 2)))


class Branches(nnx.Module):
    """Two branches whose averages are added: one with zero padding or a stride, one equivariant."""

    def __init__(self, *, strided: bool, rngs):
        padding, strides = ("CIRCULAR", 4) if strided else ("SAME", 1)
        self.main = Conv(1, 4, (3, 3), strides=strides, padding=padding, rngs=rngs)
        self.other = Conv(1, 4, (3, 3), padding="CIRCULAR", rngs=rngs)
        self.out = Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        main, other = nnx.relu(self.main(x)), nnx.relu(self.other(x))
        return self.out(main.mean(axis=(1, 2)) + other.mean(axis=(1, 2)))
