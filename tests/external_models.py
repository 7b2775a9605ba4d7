"""A small network with fixed weights, in every form that the loaders read."""

import sys
import types

import numpy as np

from cnnshift.data.split import Split
from cnnshift.loaders.loader import load_model
from cnnshift.spec import ModelSpec

RNG = np.random.RandomState(0)
KERNEL = RNG.randn(3, 3, 3, 4).astype(np.float32) * 0.3  # h w c f
BIAS = RNG.randn(4).astype(np.float32) * 0.1
FACTOR = 1.0
"""Factor of the kernel of `linen`, whose code does not contain it."""
CONCURRENT_CALLS = []
"""Number of concurrent calls during each call of `sequential`."""
DENSE = RNG.randn(4, 5).astype(np.float32)

IMAGES = np.random.RandomState(1).randint(0, 256, (12, 8, 8, 3), dtype=np.uint8)
NAMES = ("ant", "bee", "cat", "dog", "elk")
DATA = Split(IMAGES, np.arange(12) % 5, NAMES, background=(0.0, 0.0, 0.0))


def logits(images):
    """Return the logits of images [n h w c] on the scale 0..1 in numpy: 3×3 convolution, ReLU, global mean, linear."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    maps = np.maximum(np.einsum("nhwcij,ijcf->nhwf", windows, KERNEL) + BIAS, 0)
    return maps.mean(axis=(1, 2)) @ DENSE


FACTORIES = """
import time
from typing import Any
import numpy as np
import external_models


def nnx(hidden: int = 4, *, zero: bool = False):
    import jax
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self):
            self.conv = nnx.Conv(3, hidden, (3, 3), rngs=nnx.Rngs(0))
            self.out = nnx.Linear(hidden, 5, use_bias=False, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.out(nnx.relu(self.conv(x)).mean(axis=(1, 2)))

    network = Network()
    if not zero:
        network.conv.kernel[...] = external_models.KERNEL
        network.conv.bias[...] = external_models.BIAS
        network.out.kernel[...] = external_models.DENSE
    return network


def normed():
    import jax
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self):
            self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
            self.drop = nnx.Dropout(0.5)
            self.net = globals()["nnx"]()

        def __call__(self, x):
            return self.net(self.drop(self.norm(x)))

    return Network()


def linen():
    from flax import linen

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.relu(linen.Conv(4, (3, 3), name="conv")(x)).mean(axis=(1, 2))
            return linen.Dense(5, use_bias=False, name="out")(x)

    conv = {"kernel": external_models.KERNEL * external_models.FACTOR, "bias": external_models.BIAS}
    return Network(), {"params": {"conv": conv, "out": {"kernel": external_models.DENSE}}}


def plain():
    return external_models.logits


def torch():
    import torch

    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(inplace=True), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(4, 5, bias=False),
    )
    values = (external_models.KERNEL.transpose(3, 2, 0, 1), external_models.BIAS, external_models.DENSE.T)
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), values, strict=True):
            parameter.copy_(torch.from_numpy(value.copy()))
    return network


def options(whole: int, part: float = 0.5, flag: bool = False, text: str = "", bare="x", number=1):
    found = (whole, part, flag, text, bare, number)
    assert found == (3, 2.0, True, "7", 8, 0.5), found
    return plain()


def evaluated(**anything: Any):
    assert anything == {"a": 1, "b": "two"}, anything
    return plain()


def raises():
    raise RuntimeError("no such checkpoint\\nand more")


def exits():
    raise SystemExit(0)


def pixels():
    return lambda images: np.asarray(images).reshape(len(images), -1)[:, :5]


def sequential():
    inside = []

    def call(images):
        images = np.asarray(images)
        inside.append(images)
        time.sleep(0.005)
        external_models.CONCURRENT_CALLS.append(len(inside))
        inside.pop()
        return images.reshape(len(images), -1)[:, :5]

    return call


def few_at_a_time():
    def call(images):
        if len(np.asarray(images)) > 3:
            raise RuntimeError("more than three\\nand more")
        return np.asarray(images).reshape(len(images), -1)[:, :5]

    return call


def nothing():
    return None


def nan():
    return lambda images: np.full((len(np.asarray(images)), 5), np.nan)


def few():
    return lambda images: np.zeros((len(images), 4))


def many():
    return lambda images: np.zeros((len(images), 6))


def flat():
    return lambda images: np.zeros(len(np.asarray(images)))


def words():
    return lambda images: ["ant"] * len(np.asarray(images))


value = 3
"""


def load(text):
    """Load the model of a spec given as text."""
    return load_model(ModelSpec.parse(text))


def write_factories(folder):
    """Write a file of factories, which can import this module, and return its path."""
    sys.modules["external_models"] = sys.modules[__name__]
    path = folder / "networks.py"
    path.write_text(FACTORIES)
    return path


def factories(folder):
    """Return the factories as a module."""
    module = types.ModuleType("factories")
    exec(compile(write_factories(folder).read_text(), "networks.py", "exec"), module.__dict__)
    return module


def write_onnx(path, *, shape=("n", 3, 8, 8), inputs=1, outputs=1, last=False, dtype=None):
    """Write the network as ONNX; `last` puts a transposition in front, for channels last."""
    from onnx import TensorProto, helper, numpy_helper, save

    dtype = TensorProto.FLOAT if dtype is None else dtype
    values = {"kernel": KERNEL.transpose(3, 2, 0, 1), "bias": BIAS, "dense": DENSE, "axis": np.array([3])}
    nodes, name = [], "x0"

    def append(op, *inputs, output, **attributes):
        nodes.append(helper.make_node(op, [name, *inputs], [output], **attributes))
        return output

    if last:
        name = append("Transpose", output="first", perm=(0, 3, 1, 2))
    if dtype != TensorProto.FLOAT:
        name = append("Cast", output="cast", to=TensorProto.FLOAT)
    if len(shape) == 3:
        name = append("Unsqueeze", "axis", output="unsqueezed")
    name = append("Conv", "kernel", "bias", output="maps", pads=(1, 1, 1, 1))
    name = append("Relu", output="active")
    name = append("GlobalAveragePool", output="pooled")
    name = append("Flatten", output="flat")
    name = append("MatMul", "dense", output="y0")
    for i in range(1, outputs):
        append("Identity", output=f"y{i}")
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(f"x{i}", dtype, shape) for i in range(inputs)],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, (shape[0], 5)) for i in range(outputs)],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, path)
    return path


def write_exported(path, network, *, images=(2, 3, 8, 8), dynamic=None):
    """Write a PyTorch module as an exported program; `dynamic` maps its dynamic axes to their bounds."""
    import torch

    axes = None if dynamic is None else ({axis: torch.export.Dim(f"d{axis}", **b) for axis, b in dynamic.items()},)
    program = torch.export.export(network.eval(), (torch.zeros(images),), dynamic_shapes=axes)
    torch.export.save(program, path)
    return path
