"""(g) All 1,024 circular shifts: forward passes shared between shifts, against the direct sweep and a PyTorch loop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import jax
import numpy as np
from flax import nnx

from cnnshift.data.split import Split
from cnnshift.models.base import Classifier, Options
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.head import Head, apply_head, embedding_size
from cnnshift.models.layers.max_pool import MaxPool
from cnnshift.models.stage import MapFunction, Stage
from cnnshift.shifts.circular import Circular
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.sweep.device import prepare_backend
from cnnshift.sweep.engine import Engine, Sweep, run_sweep
from cnnshift.sweep.pure_model import as_pure_model

IMAGES = 256


class ThreeConvolutions(Classifier):
    """16-32-64 channels with circular padding, `halvings` of the three followed by a 2×2 maximum: stride 2^halvings."""

    options_type = Options
    version = 1

    def __init__(self, readout: Head, size: int, halvings: int, *, rngs: nnx.Rngs) -> None:
        self.readout: Head = readout
        self.readout_kind = "linear" if readout == "flatten" else "global"
        self.halvings = halvings
        shape, layers = (size, size, 1), []
        for index, channels in enumerate((16, 32, 64)):
            layers.append(Convolution(shape, channels, 3, padding="circular", rngs=rngs))
            side = shape[0] // (2 if index < halvings else 1)
            shape = (side, side, channels)
        self.convolutions = nnx.List(layers)
        self.pool = MaxPool(1, padding="circular", options=Options(), rngs=rngs)
        self.classifier = nnx.Linear(embedding_size(*shape, readout), 10, rngs=rngs)

    def circular_stages(self, size: tuple[int, int]) -> list[Stage]:
        def dense(index: int) -> MapFunction:
            return lambda x: jax.nn.relu(self.convolutions[index](x))

        halves = [index < self.halvings for index in range(3)]
        return [Stage(2, dense(i), self.pool) if half else Stage(1, dense(i), lambda x: x)
                for i, half in enumerate(halves)]  # fmt: skip

    def features(self, images: jax.Array) -> jax.Array:
        for stage in self.circular_stages((images.shape[1], images.shape[2])):
            images = stage.downsample(stage.dense(images))
        return images

    def embed(self, features: jax.Array) -> jax.Array:
        return apply_head(features, self.readout)

    def classify(self, embedding: jax.Array) -> jax.Array:
        return self.classifier(embedding)


def sweep(readout: Head, size: int, halvings: int, images: int, engine: Engine) -> Sweep:
    pixels = np.random.RandomState(0).randint(0, 256, (images, size, size, 1), dtype=np.uint8)
    split = Split(pixels, np.arange(images) % 10, tuple("0123456789"), background=(0.0,))
    shifts = enumerate_shifts("full", max_shift=1, step=1, size=(size, size), wraps=True, images=images)
    model = ThreeConvolutions(readout, size, halvings, rngs=nnx.Rngs(0))
    return run_sweep(as_pure_model(model), split, Circular((size, size), reach=shifts.reach), shifts, engine=engine)


def largest_difference(a: Sweep, b: Sweep) -> str:
    first, second = a.observations, b.observations
    equal = (first.prediction == second.prediction).mean()
    names = ("probability", "label_probability")
    gap = max(float(np.abs(getattr(first, name) - getattr(second, name)).max()) for name in names)
    return f"predictions equal {equal:.4%}, probabilities within {gap:.1e}"


def torch_loop(readout: str, size: int, halvings: int, images: int) -> Callable[[], float] | None:
    """Estimate the seconds of a PyTorch loop over all shifts from eight of them; None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for index, (before, after) in enumerate(itertools.pairwise((1, 16, 32, 64))):
        layers += [torch.nn.Conv2d(before, after, 3, padding=1, padding_mode="circular"), torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(2)] if index < halvings else []
    side = size // 2**halvings
    head = [torch.nn.AdaptiveAvgPool2d(1)] if readout == "gap" else []
    network = torch.nn.Sequential(*layers, *head, torch.nn.Flatten())
    final = torch.nn.Linear(64 * (1 if head else side * side), 10)
    batch = torch.rand(min(images, 128), 1, size, size)

    def measure() -> float:
        with torch.no_grad():
            started = time.perf_counter()
            for shift in range(8):
                final(network(torch.roll(batch, (shift, shift), (2, 3)))).argmax(1)
            seconds = time.perf_counter() - started
        return seconds / 8 * size**2 * images / len(batch)

    measure()
    return measure


def main() -> None:
    prepare_backend(deterministic=False)
    print("\n(g) all 1,024 circular shifts of 32×32 images, three convolutions, stride 4, seconds of the sweep")
    for readout in ("gap", "flatten"):
        found = {engine: sweep(readout, 32, 2, IMAGES, engine) for engine in ("direct", "shared")}
        times: dict[str, list[float]] = {"direct": [], "shared": [], "PyTorch": []}
        loop = torch_loop(readout, 32, 2, IMAGES)
        for _ in range(5):
            times["direct"].append(sweep(readout, 32, 2, IMAGES, "direct").sweep_seconds)
            for _ in range(3):
                times["shared"].append(sweep(readout, 32, 2, IMAGES, "shared").sweep_seconds)
                times["PyTorch"] += [loop()] if loop else []
        direct, shared = (float(np.median(times[engine])) for engine in ("direct", "shared"))
        print(f"  {readout:<8} direct {direct:7.2f} s   shared {shared:6.3f} s   {direct / shared:5.1f} × (ideal 64)   "
              f"{largest_difference(found['direct'], found['shared'])}")  # fmt: skip
        if loop:
            torch = float(np.median(times["PyTorch"]))
            print(f"  {'':<8} PyTorch loop {torch:7.1f} s (from 8 shifts): {torch / shared:.0f} × the shared sweep")
    print("  cost by size and stride, global average, 64 images: shared seconds, ratio to direct")
    for size, halvings in itertools.product((16, 32, 64), (1, 2, 3)):
        # The direct sweep of larger images at smaller strides takes minutes.
        if size == 64 and halvings < 3:
            continue
        direct, shared = (
            min(sweep("gap", size, halvings, 64, engine).sweep_seconds for _ in range(2))
            for engine in ("direct", "shared")
        )
        ideal = size**2 // 4**halvings
        print(f"  {size}×{size}, stride {2**halvings}: {shared:.3f} s, {direct / shared:.1f} × (ideal {ideal})")


if __name__ == "__main__":
    main()
