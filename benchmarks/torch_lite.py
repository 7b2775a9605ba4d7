"""EfficientNet-Lite in PyTorch: with separate batch normalisation layers and the padding of TensorFlow.

An independent implementation, whose weights PyTorch loads from the same file.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from cnnshift.models.efficientnet_lite import MBConvConfig, Scale, block_configs


class Same(nn.Conv2d):
    """A convolution whose output has ⌈size / stride⌉ pixels per axis."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Pad and convolve."""
        padding = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride, strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(input, padding))


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Inverted residual block: expand, depthwise and project convolutions, each with batch normalisation."""

    def __init__(self, shape: MBConvConfig) -> None:
        super().__init__()
        inner = shape.inputs * shape.expansion
        self.widens, self.adds = inner != shape.inputs, shape.stride == 1 and shape.inputs == shape.outputs
        if self.widens:
            self._expand_conv, self._bn0 = nn.Conv2d(shape.inputs, inner, 1, bias=False), norm(inner)
        self._depthwise_conv = Same(inner, inner, shape.kernel, shape.stride, groups=inner, bias=False)
        self._bn1 = norm(inner)
        self._project_conv, self._bn2 = nn.Conv2d(inner, shape.outputs, 1, bias=False), norm(shape.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class TorchLite(nn.Module):
    """EfficientNet-Lite in evaluation mode: preprocessed images [n c h w] → logits [n k]."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        shapes = block_configs(scale)
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), norm(32)
        self._blocks = nn.ModuleList(map(Block, shapes))
        self._conv_head, self._bn1 = nn.Conv2d(shapes[-1].outputs, 1280, 1, bias=False), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return self._fc(functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3)))


def torch_lite(scale: Scale, path: Path) -> TorchLite:
    """Return the network with the weights of a file."""
    network = TorchLite(scale)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()
