"""The default `cnn` in PyTorch, with the same weights."""

from __future__ import annotations

import jax
import numpy as np
import torch
from flax import nnx


def weights(model: nnx.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (kernel, bias) of every layer in forward order."""
    leaves = jax.tree_util.tree_leaves_with_path(
        nnx.state(model, nnx.Param), is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)
    )
    named = {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf[...]) for path, leaf in leaves}
    kernels = [name for name in named if name.endswith("kernel")]
    # Paths of convolutions are numbered and sort before the classifier.
    kernels.sort(key=lambda name: (named[name].ndim == 2, name))
    return [(named[name], named[name.removesuffix("kernel") + "bias"]) for name in kernels]


def torch_cnn(model: nnx.Module) -> torch.nn.Module:
    """Return the network: blocks of convolution, ReLU and maximum, then a flattened NHWC map and a linear layer."""
    layers: list[torch.nn.Module] = []
    *convolutions, (matrix, offset) = weights(model)
    for kernel, bias in convolutions:
        height, _, inputs, outputs = kernel.shape
        convolution = torch.nn.Conv2d(inputs, outputs, height, padding=height // 2)
        with torch.no_grad():
            convolution.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
            convolution.bias.copy_(torch.from_numpy(bias.copy()))
        layers += [convolution, torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    linear = torch.nn.Linear(*matrix.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(matrix.T.copy()))
        linear.bias.copy_(torch.from_numpy(offset.copy()))
    return torch.nn.Sequential(*layers, ToLast(), torch.nn.Flatten(), linear)


class ToLast(torch.nn.Module):
    """Conversion of NCHW maps to NHWC."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Move the channels to the last axis."""
        return x.permute(0, 2, 3, 1)
