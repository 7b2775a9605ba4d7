"""EfficientNet-Lite: the architecture, with weights that are given.

Tan & Le 2019 (EfficientNet, table 1) describe blocks whose depth and width are scaled together; the Lite networks leave
out what is slow on small devices: no squeeze-and-excitation, ReLU6 instead of swish, and a stem, a first and last stage
and a last convolution that are not scaled. Batch normalisation is folded into the convolutions when weights are given:

    γ (k * x − μ) / √(σ² + ε) + β = k' * x + b',    k' = γ k / √(σ² + ε),    b' = β − γ μ / √(σ² + ε)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from cnnshift.models.base import Classifier, Options, ReadoutKind
from cnnshift.models.layers.depthwise import depthwise
from cnnshift.models.layers.padding import pad_zeros

EPSILON = 1e-3
STEM, TOP, CLASSES = 32, 1280, 1000


class Scale(NamedTuple):
    """How a network of the family is scaled.

    Attributes:
        width: factor of the channels of a block, rounded to multiples of 8.
        depth: factor of the blocks of a stage, rounded up.
        size: side of the images that it was trained on, in pixels.
    """

    width: float
    depth: float
    size: int


SCALES = {"lite0": Scale(1.0, 1.0, 224), "lite1": Scale(1.0, 1.1, 240), "lite2": Scale(1.1, 1.2, 260)}


class StageShape(NamedTuple):
    """Blocks of one width, before scaling; the first one has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    outputs: int


STAGES = (
    StageShape(1, 3, 1, 1, 16),
    StageShape(2, 3, 2, 6, 24),
    StageShape(2, 5, 2, 6, 40),
    StageShape(3, 3, 2, 6, 80),
    StageShape(3, 5, 1, 6, 112),
    StageShape(4, 5, 2, 6, 192),
    StageShape(1, 3, 1, 6, 320),
)


class BlockShape(NamedTuple):
    """What one block is made of."""

    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int


def block_shapes(scale: Scale) -> list[BlockShape]:
    """All blocks of a network."""
    found, inputs = [], STEM
    for index, stage in enumerate(STAGES):
        scaled = 0 < index < len(STAGES) - 1
        outputs = _multiple_of_8(stage.outputs * scale.width)
        for block in range(math.ceil(stage.blocks * scale.depth) if scaled else stage.blocks):
            found.append(BlockShape(stage.kernel, 1 if block else stage.stride, stage.expansion, inputs, outputs))
            inputs = outputs
    return found


def _multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8 that is not below 90 % of it (Sandler et al. 2018's rule)."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def weight_shapes(scale: Scale) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that `EfficientNetLite` takes: kernels are (outputs, inputs, height, width)."""
    return dict(_weight_shapes(scale))


def _weight_shapes(scale: Scale) -> Iterator[tuple[str, tuple[int, ...]]]:
    def convolution(kernel: str, norm: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{kernel}.weight", shape
        yield from ((f"{norm}.{part}", shape[:1]) for part in ("weight", "bias", "running_mean", "running_var"))

    blocks = block_shapes(scale)
    yield from convolution("_conv_stem", "_bn0", (STEM, 3, 3, 3))
    for index, block in enumerate(blocks):
        name, inner = f"_blocks.{index}.", block.inputs * block.expansion
        if block.expansion != 1:
            yield from convolution(f"{name}_expand_conv", f"{name}_bn0", (inner, block.inputs, 1, 1))
        yield from convolution(f"{name}_depthwise_conv", f"{name}_bn1", (inner, 1, block.kernel, block.kernel))
        yield from convolution(f"{name}_project_conv", f"{name}_bn2", (block.outputs, inner, 1, 1))
    yield from convolution("_conv_head", "_bn1", (TOP, blocks[-1].outputs, 1, 1))
    yield "_fc.weight", (CLASSES, TOP)
    yield "_fc.bias", (CLASSES,)


class Folded(NamedTuple):
    """A convolution with its normalisation folded in: k' [a b c o] and b'."""

    kernel: Float[np.ndarray, "a b c o"]
    bias: Float[np.ndarray, " o"]


def folded(weights: Mapping[str, np.ndarray], kernel: str, norm: str) -> Folded:
    """See the module; in double precision, rounded once."""
    gain, bias, mean, variance = (
        weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gain / np.sqrt(variance + EPSILON)
    scaled = weights[f"{kernel}.weight"].transpose(2, 3, 1, 0) * gain
    return Folded(scaled.astype(np.float32), (bias - gain * mean).astype(np.float32))


def relu6(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """min(max(x, 0), 6)."""
    return jnp.clip(x, 0, 6)


def margins(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis so that its length becomes ⌈size / stride⌉; an odd one comes after.

    With stride 2 they depend on the parity of the size: the grid of a layer lies elsewhere on even and on odd maps.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Stem(nnx.Module):
    """ReLU6 of a 3×3 convolution with stride 2."""

    def __init__(self, weights: Folded) -> None:
        self.kernel, self.bias = nnx.Param(jnp.asarray(weights.kernel)), nnx.Param(jnp.asarray(weights.bias))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W o"]:
        """Convolve prepared images."""
        around = [margins(size, 3, 2) for size in x.shape[1:3]]
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, self.kernel[...], (2, 2), around, dimension_numbers=dimensions)
        return relu6(y + self.bias[...][None, None, None])


class Pointwise(nnx.Module):
    """A 1×1 convolution: the same product of matrices at every position. With ReLU6, or linear."""

    def __init__(self, weights: Folded, *, linear: bool = False) -> None:
        self.kernel, self.bias = nnx.Param(jnp.asarray(weights.kernel[0, 0])), nnx.Param(jnp.asarray(weights.bias))
        self.linear = linear

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w o"]:
        """Mix the channels."""
        y = x @ self.kernel[...] + self.bias[...][None, None, None]
        return y if self.linear else relu6(y)


class Spatial(nnx.Module):
    """ReLU6 of a depthwise convolution, surrounded by zeros."""

    def __init__(self, weights: Folded, stride: int) -> None:
        self.kernel, self.bias = nnx.Param(jnp.asarray(weights.kernel[:, :, 0])), nnx.Param(jnp.asarray(weights.bias))
        self.stride = stride

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Convolve every channel with its own window."""
        kernel = self.kernel[...]
        rows, columns = (margins(size, len(kernel), self.stride) for size in x.shape[1:3])
        y = depthwise(pad_zeros(x, (rows, columns)), kernel, stride=self.stride)
        return relu6(y + self.bias[...][None, None, None])


class InvertedResidual(nnx.Module):
    """project(spatial(expand(x))), and x added where the shape is the same: Sandler et al. 2018, figure 4d."""

    def __init__(self, shape: BlockShape, weights: Mapping[str, np.ndarray], name: str) -> None:
        widens = shape.expansion != 1
        self.expand = Pointwise(folded(weights, f"{name}_expand_conv", f"{name}_bn0")) if widens else None
        self.spatial = Spatial(folded(weights, f"{name}_depthwise_conv", f"{name}_bn1"), shape.stride)
        self.project = Pointwise(folded(weights, f"{name}_project_conv", f"{name}_bn2"), linear=True)
        self.adds = shape.stride == 1 and shape.inputs == shape.outputs

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W o"]:
        """One block."""
        y = self.project(self.spatial(x if self.expand is None else self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLite(Classifier):
    """Stem, blocks, a 1×1 convolution to 1,280 channels, global average, one linear layer.

    It takes images of any size, centred and scaled as the weights want them; its total stride is 32.

    Args:
        scale: of the network.
        weights: arrays with the names and shapes of `weight_shapes`.
    """

    options_type = Options
    version = 1

    def __init__(self, scale: Scale, weights: Mapping[str, np.ndarray]) -> None:
        self.stem = Stem(folded(weights, "_conv_stem", "_bn0"))
        shapes = block_shapes(scale)
        self.blocks = nnx.List(
            [InvertedResidual(shape, weights, f"_blocks.{index}.") for index, shape in enumerate(shapes)]
        )
        self.top = Pointwise(folded(weights, "_conv_head", "_bn1"))
        self.classifier = Linear(weights["_fc.weight"].T, weights["_fc.bias"])

    @property
    def total_stride(self) -> int:
        """Five halvings."""
        return 32

    @property
    def readout_kind(self) -> ReadoutKind:
        """A global average."""
        return "global"

    def features(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n H W C"]:
        """The trunk."""
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return self.top(x)

    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n C"]:
        """The global average."""
        return features.mean(axis=(1, 2))

    def classify(self, embedding: Float[Array, "n C"]) -> Float[Array, "n k"]:
        """The linear layer."""
        return self.classifier(embedding)


class Linear(nnx.Module):
    """W x + b with given weights."""

    def __init__(self, kernel: Float[np.ndarray, "e k"], bias: Float[np.ndarray, " k"]) -> None:
        self.kernel, self.bias = nnx.Param(jnp.asarray(kernel)), nnx.Param(jnp.asarray(bias))

    def __call__(self, x: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """The logits."""
        return x @ self.kernel[...] + self.bias[...][None]
