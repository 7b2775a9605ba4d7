"""Distorted training images (Simard, Steinkraus & Platt 2003, table 1): error none > affine > elastic.

Published, all of MNIST: 1.6 % without distortions, 1.1 % affine, 0.7 % elastic (fully connected, two layers), and 0.4 %
for a convolutional network with elastic ones. Here 500 images train, where distortions matter most.
"""

from __future__ import annotations

import jax
import numpy as np

from benchmarks.reproductions.records import Record, collect, spread
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split, to_unit_range
from cnnshift.models.base import build
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.sweep.device import prepare_backend
from cnnshift.train.fit import fit
from cnnshift.train.recipe import Recipe

IMAGES, EPOCHS, SEEDS = 500, 60, 5
NETWORKS, AUGMENTATIONS = ("mlp", "cnn"), ("none", "affine", "elastic")


def measure(key: Record) -> Record:
    data = create_dataset(DatasetSpec.parse("mnist5k"))
    every, test = data.load("train"), data.load("test")
    rows = np.random.RandomState(key["seed"]).permutation(len(every))[:IMAGES]
    few = Split(every.images[rows], every.labels[rows], every.classes, background=every.background)
    model = build(ModelSpec.parse(key["network"]), (*few.size, few.channels), len(few.classes), seed=key["seed"])
    fit(model, few, Recipe(epochs=EPOCHS, learning_rate=3e-3, augment=key["augment"]), seed=key["seed"])
    logits = jax.jit(model.__call__)(to_unit_range(test.windows))
    return {"error": round(float((np.asarray(logits).argmax(axis=1) != test.labels).mean()), 4)}


def main() -> None:
    prepare_backend(deterministic=False)
    keys = [
        {"network": network, "augment": augment, "seed": seed}
        for seed in range(SEEDS)
        for network in NETWORKS
        for augment in AUGMENTATIONS
    ]
    records = collect("distortions", keys, measure)
    print(f"error %, {IMAGES} training images, {EPOCHS} epochs, mean ± standard deviation over {SEEDS} seeds")
    for network in NETWORKS:
        for augment in AUGMENTATIONS:
            rows = [each["error"] for each in records if (each["network"], each["augment"]) == (network, augment)]
            print(f"| {network} | {augment} | {spread(rows)} |")


if __name__ == "__main__":
    main()
