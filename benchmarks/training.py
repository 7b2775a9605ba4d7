"""(c) One training step against PyTorch: same network, batch, optimizer (Adam) and loss; losses are compared first."""

import jax
import numpy as np
import optax
import torch

from benchmarks.timing import compare, show
from benchmarks.torch_twin import torch_cnn
from cnnshift.data.base import create_dataset
from cnnshift.models.base import build
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.train.fit import compile_step

STEPS, RATE = 30, 1e-3


def main() -> None:
    train = create_dataset(DatasetSpec.parse("mnist5k")).load("train")
    print("\n(c) training step, cnn, Adam")
    for batch in (64, 128):
        images, labels = train.windows[:batch], train.labels[:batch]
        model = build(ModelSpec.parse("cnn"), (32, 32, 1), 10, seed=0)
        twin = torch_cnn(model)
        step, weights, rest, moments = compile_step(model, optax.adam(RATE))
        carry = [weights, rest, moments]

        def ours(images=images, labels=labels, step=step, carry=carry):
            for _ in range(STEPS):
                *carry[:], loss = step(*carry, images, labels)
            return float(jax.block_until_ready(loss))

        pixels = torch.from_numpy((images / np.float32(255)).transpose(0, 3, 1, 2).copy())
        classes = torch.from_numpy(labels.astype(np.int64))
        optimizer = torch.optim.Adam(twin.parameters(), RATE)

        def theirs(pixels=pixels, classes=classes, twin=twin, optimizer=optimizer):
            for _ in range(STEPS):
                optimizer.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(twin(pixels), classes)
                loss.backward()
                optimizer.step()
            return float(loss)

        print(f"\n  loss after {STEPS} steps: cnnshift {ours():.5f}, PyTorch {theirs():.5f}")
        comparison = compare({f"PyTorch {torch.__version__}": theirs, "cnnshift": ours})
        show(f"batch {batch}", comparison, STEPS * batch, "images/s")


if __name__ == "__main__":
    main()
