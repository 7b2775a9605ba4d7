"""EfficientNet-Lite with published weights (`loaders/efficientnet_lite.py` reads them).

Tan & Le 2019 (EfficientNet, table 1) scale the depth and the width of MBConv blocks together. The Lite networks omit
operations that are slow on small devices: there is no squeeze-and-excitation, ReLU6 replaces swish, and the stem, the
first and last stage and the last convolution are not scaled. Batch normalization is folded into the convolutions:

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
from typing_extensions import override

from cnnshift.models.base import Classifier
from cnnshift.models.layers.block import apply_layers
from cnnshift.models.layers.depthwise import depthwise
from cnnshift.models.layers.padding import pad_zeros
from cnnshift.options import Options

EPSILON = 1e-3
STEM_WIDTH, HEAD_WIDTH, CLASSES = 32, 1280, 1000


class Scale(NamedTuple):
    """The scaling of a network.

    Attributes:
        width: factor of the channels of a block, rounded to multiples of 8.
        depth: factor of the number of blocks per stage, rounded up.
        size: side of the training images in pixels.
    """

    width: float
    depth: float
    size: int


SCALES = {"lite0": Scale(1.0, 1.0, 224), "lite1": Scale(1.0, 1.1, 240), "lite2": Scale(1.1, 1.2, 260)}


class MBConvStage(NamedTuple):
    """Blocks of one width, before scaling; the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    outputs: int


STAGES = (
    MBConvStage(1, 3, 1, 1, 16),
    MBConvStage(2, 3, 2, 6, 24),
    MBConvStage(2, 5, 2, 6, 40),
    MBConvStage(3, 3, 2, 6, 80),
    MBConvStage(3, 5, 1, 6, 112),
    MBConvStage(4, 5, 2, 6, 192),
    MBConvStage(1, 3, 1, 6, 320),
)


class MBConvConfig(NamedTuple):
    """Kernel side, stride, expansion factor and channels of a block."""

    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int


def block_configs(scale: Scale) -> list[MBConvConfig]:
    """Return the configurations of all blocks of a network."""
    configs, inputs = [], STEM_WIDTH
    for index, stage in enumerate(STAGES):
        scaled = 0 < index < len(STAGES) - 1
        outputs = _multiple_of_8(stage.outputs * scale.width)
        for block in range(math.ceil(stage.blocks * scale.depth) if scaled else stage.blocks):
            configs.append(MBConvConfig(stage.kernel, 1 if block else stage.stride, stage.expansion, inputs, outputs))
            inputs = outputs
    return configs


def _multiple_of_8(channels: float) -> int:
    # The nearest multiple of 8 that is at least 90 % of the channels (rule of Sandler et al. 2018).
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def weight_shapes(scale: Scale) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the weights of `EfficientNetLite`; kernels are (outputs, inputs, height, width)."""
    return dict(_weight_shapes(scale))


def _weight_shapes(scale: Scale) -> Iterator[tuple[str, tuple[int, ...]]]:
    def convolution(kernel: str, norm: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{kernel}.weight", shape
        yield from ((f"{norm}.{part}", shape[:1]) for part in ("weight", "bias", "running_mean", "running_var"))

    blocks = block_configs(scale)
    yield from convolution("_conv_stem", "_bn0", (STEM_WIDTH, 3, 3, 3))
    for index, block in enumerate(blocks):
        name, expanded = f"_blocks.{index}.", block.inputs * block.expansion
        if block.expansion != 1:
            yield from convolution(f"{name}_expand_conv", f"{name}_bn0", (expanded, block.inputs, 1, 1))
        yield from convolution(f"{name}_depthwise_conv", f"{name}_bn1", (expanded, 1, block.kernel, block.kernel))
        yield from convolution(f"{name}_project_conv", f"{name}_bn2", (block.outputs, expanded, 1, 1))
    yield from convolution("_conv_head", "_bn1", (HEAD_WIDTH, blocks[-1].outputs, 1, 1))
    yield "_fc.weight", (CLASSES, HEAD_WIDTH)
    yield "_fc.bias", (CLASSES,)


class FoldedWeights(NamedTuple):
    """A convolution with folded batch normalization: k' [a b c o] and b'."""

    kernel: Float[np.ndarray, "a b c o"]
    bias: Float[np.ndarray, " o"]


def fold_batch_norm(weights: Mapping[str, np.ndarray], kernel: str, norm: str) -> FoldedWeights:
    """Fold batch normalization into a kernel, in double precision, rounded once."""
    gain, bias, mean, variance = (
        weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gain / np.sqrt(variance + EPSILON)
    scaled = weights[f"{kernel}.weight"].transpose(2, 3, 1, 0) * gain
    return FoldedWeights(scaled.astype(np.float32), (bias - gain * mean).astype(np.float32))


def relu6(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Return min(max(x, 0), 6)."""
    return jnp.clip(x, 0, 6)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the numbers of zeros before and after an axis for an output of length ⌈size / stride⌉.

    If the total is odd, the extra zero comes after the axis. With stride 2 the numbers depend on the parity of the
    size, so that even and odd maps have different sampling grids.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Stem(nnx.Module):
    """A 3×3 convolution with stride 2, then ReLU6."""

    def __init__(self, weights: FoldedWeights) -> None:
        self.kernel, self.bias = nnx.Param(jnp.asarray(weights.kernel)), nnx.Param(jnp.asarray(weights.bias))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W o"]:
        """Apply the stem to preprocessed images."""
        margins = [same_padding(size, 3, 2) for size in x.shape[1:3]]
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, self.kernel[...], (2, 2), margins, dimension_numbers=dimensions)
        return relu6(y + self.bias[...][None, None, None])


class PointwiseConvolution(nnx.Module):
    """A 1×1 convolution, then ReLU6 unless `linear`."""

    def __init__(self, weights: FoldedWeights, *, linear: bool = False) -> None:
        self.kernel, self.bias = nnx.Param(jnp.asarray(weights.kernel[0, 0])), nnx.Param(jnp.asarray(weights.bias))
        self.linear = linear

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w o"]:
        """Apply the layer."""
        y = x @ self.kernel[...] + self.bias[...][None, None, None]
        return y if self.linear else relu6(y)


class DepthwiseConvolution(nnx.Module):
    """A zero-padded depthwise convolution, then ReLU6."""

    def __init__(self, weights: FoldedWeights, stride: int) -> None:
        self.kernel, self.bias = nnx.Param(jnp.asarray(weights.kernel[:, :, 0])), nnx.Param(jnp.asarray(weights.bias))
        self.stride = stride

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Apply the layer."""
        kernel = self.kernel[...]
        rows, columns = (same_padding(size, len(kernel), self.stride) for size in x.shape[1:3])
        y = depthwise(pad_zeros(x, (rows, columns)), kernel, stride=self.stride)
        return relu6(y + self.bias[...][None, None, None])


class MBConv(nnx.Module):
    """project(depthwise(expand(x))), plus x if the shape stays the same (inverted residual, Sandler et al. 2018)."""

    def __init__(self, config: MBConvConfig, weights: Mapping[str, np.ndarray], name: str) -> None:
        def fold(kernel: str, norm: str) -> FoldedWeights:
            return fold_batch_norm(weights, f"{name}_{kernel}_conv", f"{name}_{norm}")

        self.expand = PointwiseConvolution(fold("expand", "bn0")) if config.expansion != 1 else None
        self.depthwise = DepthwiseConvolution(fold("depthwise", "bn1"), config.stride)
        self.project = PointwiseConvolution(fold("project", "bn2"), linear=True)
        self.is_residual = config.stride == 1 and config.inputs == config.outputs

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n H W o"]:
        """Apply the block."""
        y = self.project(self.depthwise(x if self.expand is None else self.expand(x)))
        return x + y if self.is_residual else y


class EfficientNetLite(Classifier):
    """Stem, MBConv blocks, a 1×1 convolution to 1,280 channels, global average, one linear layer.

    It accepts preprocessed images of any size. Its total stride is 32.

    Args:
        scale: scaling of the network.
        weights: arrays with the names and shapes of `weight_shapes`.
    """

    options_type = Options
    version = 1
    total_stride = 32
    readout_kind = "global"

    def __init__(self, scale: Scale, weights: Mapping[str, np.ndarray]) -> None:
        self.stem = Stem(fold_batch_norm(weights, "_conv_stem", "_bn0"))
        configs = enumerate(block_configs(scale))
        self.blocks = nnx.List([MBConv(config, weights, f"_blocks.{index}.") for index, config in configs])
        self.head_convolution = PointwiseConvolution(fold_batch_norm(weights, "_conv_head", "_bn1"))
        self.classifier = Linear(weights["_fc.weight"].T, weights["_fc.bias"])

    @override
    def features(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n H W C"]:
        return apply_layers([self.stem, *self.blocks, self.head_convolution], images)

    @override
    def embed(self, features: Float[Array, "n H W C"]) -> Float[Array, "n C"]:
        return features.mean(axis=(1, 2))


class Linear(nnx.Module):
    """W x + b with fixed initial values."""

    def __init__(self, kernel: Float[np.ndarray, "e k"], bias: Float[np.ndarray, " k"]) -> None:
        self.kernel, self.bias = nnx.Param(jnp.asarray(kernel)), nnx.Param(jnp.asarray(bias))

    def __call__(self, x: Float[Array, "n e"]) -> Float[Array, "n k"]:
        """Return the logits."""
        return x @ self.kernel[...] + self.bias[...][None]
