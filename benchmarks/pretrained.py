"""(h) EfficientNet-Lite0 with its published weights, forward: against XLA's grouped convolution and PyTorch, one core.

The figures are processor times on one core: a sweep runs one call per core, and other processes do not count.
"""

import os
import time

if hasattr(os, "sched_setaffinity"):
    # Before either library counts the cores.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import numpy as np
import torch
from flax import nnx

from benchmarks.timing import compare
from benchmarks.torch_lite import torch_lite
from cnnshift.data.base import create_dataset
from cnnshift.data.split import to_unit_range
from cnnshift.loaders.efficientnet_lite import published_file
from cnnshift.loaders.loader import load_model
from cnnshift.models import efficientnet_lite
from cnnshift.models.layers.depthwise import depthwise, lax_depthwise
from cnnshift.spec import DatasetSpec, ModelSpec

BATCHES = (1, 2, 16)
GROUPED = "XLA's grouped convolution"


def main() -> None:
    torch.set_num_threads(1)
    network = load_model(ModelSpec("efficientnet-lite0"))
    split = create_dataset(DatasetSpec.parse("imagenet20")).load("test")
    images = np.asarray(network.preprocess(jax.numpy.asarray(to_unit_range(split.windows))))
    graph, state = nnx.split(network.model)
    twin = torch_lite(efficientnet_lite.SCALES["lite0"], published_file("lite0"))
    twin.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def program(batch: int, convolve=depthwise):
        efficientnet_lite.depthwise = convolve
        lowered = jax.jit(lambda state, images: nnx.merge(graph, state)(images)).lower(state, images[:batch])
        efficientnet_lite.depthwise = depthwise
        compiled = lowered.compile()
        return lambda: np.asarray(compiled(state, images[:batch]))

    def theirs(batch: int):
        pixels = torch.from_numpy(images[:batch].transpose(0, 3, 1, 2).copy()).to(memory_format=torch.channels_last)

        def run():
            with torch.inference_mode():
                return twin(pixels).numpy()

        return run

    ours, twins = program(len(images))(), theirs(len(images))()
    print(f"\n(h) EfficientNet-Lite0, forward, {torch.get_num_threads()} thread, processor time")
    print(f"  right on {(ours.argmax(1) == split.labels).sum()} of {len(split)} photographs")
    largest, agree = np.abs(ours - twins).max(), (ours.argmax(1) == twins.argmax(1)).mean()
    print(f"  largest difference of logits {largest:.1e} of {np.abs(twins).max():.1f}, predictions equal {agree:.0%}")
    for batch in BATCHES:
        contestants = {
            f"PyTorch {torch.__version__}": theirs(batch),
            GROUPED: program(batch, lax_depthwise),
            "cnnshift": program(batch),
        }
        comparison = compare(contestants, rounds=7, clock=time.process_time)
        print(f"\nbatch {batch}")
        for name, seconds in comparison.seconds.items():
            low, middle, high = comparison.ratios[name]
            print(
                f"  {name:<32} {1e3 * seconds / batch:>7.1f} ms an image   ratio {middle:5.2f}  [{low:.2f}, {high:.2f}]"
            )


if __name__ == "__main__":
    main()
