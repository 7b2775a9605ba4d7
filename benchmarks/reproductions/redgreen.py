"""Red-Green (Kayhan & van Gemert 2020, table 1): which paddings let a network depend on absolute position.

The recipe is the published one: 3×3 convolutions without bias of 32, 32, 64, 64 channels and strides 1, 2, 2, 2, ReLU,
global maximum, a linear layer; weights uniform in ±1/√fan-in; Adadelta (rate 1, ρ 0.9, ε 1e-6, weight decay 5e-5 added
to the gradient), batches of 200 in the order of the set, at most 50 epochs, stopped when the validation loss has not
fallen for 8 epochs, with the weights of its minimum. The published circular row relies on a library that halved
circular padding: it is 1 pixel per side here.

Three things are added: fresh test sets (the published similar test set is the first half of the training set, and the
dissimilar one the same 16 rows away), and shifts that are not multiples of the total stride of 8, as 16 rows are.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import cnnshift
from benchmarks.reproductions.records import Record, collect, spread
from cnnshift.data.redgreen import RedGreen, RedGreenOptions
from cnnshift.data.split import Split, to_unit_range
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.padding import Padding, output_size
from cnnshift.sweep.device import prepare_backend

PUBLISHED: dict[Padding, tuple[tuple[float, float], tuple[float, float]]] = {
    "valid": ((100.0, 0.0), (0.2, 0.1)),
    "zero": ((99.8, 0.1), (8.4, 0.7)),
    "circular": ((73.7, 1.0), (73.7, 1.0)),
    "full": ((89.7, 0.5), (89.7, 0.5)),
}
"""Accuracy and its spread over 10 seeds on the similar and the dissimilar test set, in per cent."""

BATCH, EPOCHS, PATIENCE = 200, 50, 8
SHIFTED = ("shifted_accuracy", "pairwise_consistency")


class Network(nnx.Module):
    """The published network."""

    def __init__(self, padding: Padding, *, rngs: nnx.Rngs) -> None:
        side, depth, layers = 32, 3, []
        for channels, stride in ((32, 1), (32, 2), (64, 2), (64, 2)):
            layer = Convolution((side, side, depth), channels, 3, padding=padding, stride=stride, bias=False, rngs=rngs)
            layer.kernel[...] = uniform(rngs, layer.kernel.shape, 9 * depth)
            layers.append(layer)
            side, depth = output_size(side, 3, padding, stride), channels
        self.convolutions = nnx.List(layers)
        self.classifier = nnx.Linear(64, 2, rngs=rngs)
        self.classifier.kernel[...] = uniform(rngs, (64, 2), 64)
        self.classifier.bias[...] = uniform(rngs, (2,), 64)

    def __call__(self, images: jax.Array) -> jax.Array:
        for convolution in self.convolutions:
            images = jax.nn.relu(convolution(images))
        return self.classifier(images.max(axis=(1, 2)))


def uniform(rngs: nnx.Rngs, shape: tuple[int, ...], fan_in: int) -> jax.Array:
    bound = fan_in**-0.5
    return jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound)


def split(name: str, **options: str) -> Split:
    return RedGreen(RedGreenOptions.model_validate(options)).load(name)


def train(padding: Padding, seed: int) -> tuple[Network, int]:
    """Return the network at the minimum of its validation loss, and the number of epochs."""
    model = Network(padding, rngs=nnx.Rngs(seed))
    graph, weights = nnx.split(model)
    optimizer = optax.chain(optax.add_decayed_weights(5e-5), optax.adadelta(1.0, rho=0.9, eps=1e-6))
    learned, held = split("train"), split("validation", sets="published")

    def loss_of(weights: nnx.State, images: jax.Array, labels: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, weights)(to_unit_range(images))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def step(weights: nnx.State, moments: optax.OptState, images: jax.Array, labels: jax.Array) -> tuple:
        update, moments = optimizer.update(jax.grad(loss_of)(weights, images, labels), moments, weights)
        return optax.apply_updates(weights, update), moments

    validate, moments = jax.jit(loss_of), optimizer.init(weights)
    best, best_weights, since, epoch = np.inf, weights, 0, 0
    while epoch < EPOCHS and since < PATIENCE:
        for first in range(0, len(learned), BATCH):
            rows = slice(first, first + BATCH)
            weights, moments = step(weights, moments, learned.images[rows], learned.labels[rows])
        loss = float(validate(weights, held.images, held.labels))
        best, best_weights, since = (loss, weights, 0) if loss < best else (best, best_weights, since + 1)
        epoch += 1
    return nnx.merge(graph, best_weights), epoch


def accuracy(model: Network, **options: str) -> float:
    test = split("test", **options)
    logits = jax.jit(model.__call__)(jnp.asarray(to_unit_range(test.images)))
    return float((np.asarray(logits).argmax(axis=1) == test.labels).mean())


def measure(key: Record) -> Record:
    model, epochs = train(key["padding"], key["seed"])
    found: Record = {"epochs": epochs}
    for sets in ("published", "fresh"):
        for test in ("similar", "dissimilar"):
            found[f"{sets} {test}"] = round(accuracy(model, sets=sets, test=test), 4)
    # All whole shifts up to the stride: the published test sets differ by a multiple of it.
    run = cnnshift.measure(model, "redgreen", protocol="circular", max_shift=8, limit=200)
    for metric in SHIFTED:
        found[metric] = float(f"{run.metric(metric).value:.4f}")
    return found


def main() -> None:
    prepare_backend(deterministic=False)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    keys = [{"padding": padding, "seed": seed} for seed in range(seeds) for padding in PUBLISHED]
    records = collect("redgreen", keys, measure)
    columns = ("published similar", "published dissimilar", "fresh similar", "fresh dissimilar", *SHIFTED)
    print(f"Red-Green, accuracy %, mean ± standard deviation over {seeds} seeds; paper: published sets, 10 seeds")
    for padding, ((similar, a), (dissimilar, b)) in PUBLISHED.items():
        rows = [record for record in records if record["padding"] == padding]
        shown = " | ".join(spread([row[column] for row in rows]) for column in columns)
        print(f"| {padding} | {similar} ± {a} / {dissimilar} ± {b} | {shown} |")


if __name__ == "__main__":
    main()
