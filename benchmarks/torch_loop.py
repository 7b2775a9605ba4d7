"""(b) A sweep against a PyTorch loop of roll and forward, as published evaluators run; outputs are compared first."""

import numpy as np
import torch

from benchmarks.timing import compare, show
from benchmarks.torch_twin import torch_cnn
from cnnshift.catalog import PROTOCOLS
from cnnshift.data.base import create_dataset
from cnnshift.models.base import build
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model

IMAGES = 256
MODELS = ("cnn", "cnn:width=16")


def main() -> None:
    for name in MODELS:
        race(name)


def race(name: str) -> None:
    """Compare both for one network."""
    split = create_dataset(DatasetSpec.parse("mnist5k")).load("test").take(IMAGES)
    model = build(ModelSpec.parse(name), (32, 32, 1), 10, seed=0)
    shift_set = enumerate_shifts("grid", max_shift=4, step=1, size=split.size, wraps=True, images=IMAGES)
    protocol = PROTOCOLS.load("circular")(split.size, reach=4)
    pure_model, twin = as_pure_model(model), torch_cnn(model).eval()
    images = torch.from_numpy((split.windows / np.float32(255)).transpose(0, 3, 1, 2).copy())
    work = IMAGES * shift_set.count

    def loop(batch: int) -> np.ndarray:
        predictions = np.empty((IMAGES, shift_set.count), np.int64)
        with torch.inference_mode():
            for start in range(0, IMAGES, batch):
                part = images[start : start + batch]
                for column, (dy, dx) in enumerate(shift_set.shifts.tolist()):
                    logits = twin(torch.roll(part, (dy, dx), (2, 3)))
                    # An evaluator keeps the predicted classes and their probabilities.
                    probability = torch.softmax(logits, 1)
                    predictions[start : start + batch, column] = probability.argmax(1).numpy()
        return predictions

    observations = run_sweep(pure_model, split, protocol, shift_set).observations
    equal = (loop(128) == observations.prediction).mean()
    with torch.inference_mode():
        largest = np.abs(twin(images).numpy() - observations.reference_logits).max()
    print(f"\n(b) {name}, same weights: largest difference of logits {largest:.1e}, predictions equal {equal:.4%}")
    rates: list[float] = []

    def sweep() -> None:
        found = run_sweep(pure_model, split, protocol, shift_set)
        rates.append(work / found.sweep_seconds)

    contestants = {f"PyTorch {torch.__version__} loop, batch {b}": lambda b=b: loop(b) for b in (64, 128, 256)}
    comparison = compare({**contestants, "cnnshift sweep, compilation included": sweep}, rounds=5)
    show(
        f"{IMAGES} images × {shift_set.count} circular shifts, {torch.get_num_threads()} threads",
        comparison,
        work,
        "images/s",
    )
    best = max(work / seconds for name, seconds in comparison.seconds.items() if name.startswith("PyTorch"))
    rate = float(np.median(rates))
    print(f"  cnnshift sweep without compilation {rate:,.0f} images/s: {rate / best:.2f} × the best PyTorch loop")


if __name__ == "__main__":
    main()
