"""(i) Networks of other runtimes: the sweep against the runtime's own forward pass at its best batch size.

The runtime alone receives contiguous batches, and its output is discarded. The sweep also shifts every image, transfers
it to the runtime and stores the observations.
"""

import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.torch_lite import torch_lite
from benchmarks.torch_twin import torch_cnn
from cnnshift.bench.images import test_images
from cnnshift.bench.models import adapt_model, crop_to_model, load_pretrained
from cnnshift.catalog import PROTOCOLS
from cnnshift.loaders.efficientnet_lite import published_file
from cnnshift.loaders.host_callback import run_in_host_thread
from cnnshift.models import efficientnet_lite
from cnnshift.models.base import build
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import ModelSpec
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Of the runtime's own forward pass."""

ROUNDS = 15
"""Of the runtime's own and the sweep, in turn."""


def cnn() -> torch.nn.Module:
    """Return the default network, untrained."""
    return torch_cnn(build(ModelSpec.parse("cnn"), (32, 32, 1), 10, seed=0)).eval()


def lite0() -> torch.nn.Module:
    """Return EfficientNet-Lite0 with its published weights."""
    return torch_lite(efficientnet_lite.SCALES["lite0"], published_file("lite0"))


def write_onnx(network: torch.nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write a network that accepts any number of images of that shape (channels, H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, *shape),),
            str(path),
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )


def forward_of(kind: str, network: torch.nn.Module, path: Path) -> Callable[[np.ndarray], object]:
    """Return the forward pass of the runtime alone."""
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"x": images})

    def run(images: np.ndarray) -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    # Use the thread of the sweep: two threads that call PyTorch slow each other down.
    return lambda images: run_in_host_thread(run, images)


def measure(kind: str, name: str, options: str, dataset: str, limit: int, shifts: int, folder: Path) -> None:
    """Measure one network in one runtime."""
    network = run_in_host_thread({"cnn": cnn, "lite0": lite0}[name])
    path = folder / f"{name}.onnx"
    test, record = test_images(dataset, limit)
    argument = str(path) if kind == "onnx" else f"{Path(__file__)}:{name}"
    if kind == "onnx":
        # The size at which lite0 was trained; the default network accepts images of any size.
        run_in_host_thread(write_onnx, network, (3, 224, 224) if name == "lite0" else (1, 32, 32), path)
    loaded = load_pretrained(f"{kind}:{argument}{options}")
    test, _ = crop_to_model(loaded, test, record)
    pure = as_pure_model(adapt_model(loaded, test))
    moves = enumerate_shifts(f"random:{shifts}", max_shift=8, step=1, size=test.size, wraps=True, images=len(test))
    protocol = PROTOCOLS.load("circular")(test.size, reach=moves.reach)
    passes = len(test) * (moves.count + 1)

    forward = forward_of(kind, network, path)
    pixels = np.random.RandomState(0).rand(max(BATCHES), test.channels, *test.size).astype(np.float32)

    def own(batch: int, passes: int = passes) -> float:
        whole = np.ascontiguousarray(pixels[:batch])
        started = time.perf_counter()
        for _ in range(-(-passes // batch)):
            forward(whole)
        return -(-passes // batch) * batch / (time.perf_counter() - started)

    def swept() -> float:
        # The runtime's threads spin for a while after a call.
        time.sleep(0.1)
        return passes / run_sweep(pure, test, protocol, moves).sweep_seconds

    batches = [batch for batch in BATCHES if batch <= len(test)]
    # Alternate the sizes, so that changes of the machine's load affect all of them.
    trials = np.array([[own(batch, passes // 16) for batch in batches] for _ in range(5)])
    best = batches[int(np.argmax(np.median(trials, axis=0)))]
    swept()
    pairs = np.array([(own(best), swept()) for _ in range(ROUNDS)])
    theirs, ours = np.median(pairs, axis=0)
    low, middle, high = np.quantile(pairs[:, 1] / pairs[:, 0], (0.25, 0.5, 0.75))
    print(f"  {kind:<6} {name:<6} {theirs:>9,.0f} images/s at its best batch of {best:<4} sweep {ours:>9,.0f}   "
          f"ratio {middle:.2f} [{low:.2f}, {high:.2f}]", flush=True)  # fmt: skip


def main() -> None:
    """Measure all cases, or those named, each in its own process, because the threads of two runtimes compete."""
    cases = {
        "cnn": ("", "mnist5k", 1000, 128),
        # The size at which lite0 was trained.
        "lite0": (":size=224,mean=0.498,std=0.502", "imagenet20", 20, 24),
    }
    if not (names := sys.argv[1:]):
        print("\n(i) networks of other runtimes, both cores", flush=True)
        for kind in ("onnx", "torch"):
            for name in cases:
                subprocess.run([sys.executable, "-m", "benchmarks.black_box", f"{kind}:{name}"], check=True)
        return
    for each in names:
        kind, name = each.split(":")
        with tempfile.TemporaryDirectory() as folder:
            measure(kind, name, *cases[name], Path(folder))


if __name__ == "__main__":
    main()
