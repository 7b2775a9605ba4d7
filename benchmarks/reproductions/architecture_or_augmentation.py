"""Augmentation against architecture (Kauderer-Abrams 2017, section 4): which one lowers the sensitivity to shifts more?

Published: training data matter more than convolutions, pooling or depth. Sensitivity is the distance of the logits
under a shift, relative to that of images of different classes.
"""

from benchmarks.reproductions.bench import bench, show

ARCHITECTURES = ("mlp", "locally_connected", "cnn:pool=stride", "cnn", "cnn:depth=2", "cnn:pool=avg")


def main() -> None:
    models = [spec for network in ARCHITECTURES for spec in (network, moved(network))]
    show(bench(*models, "--protocol", "zero", "--max-shift", "4", "--limit", "500"),
         ["sensitivity", "shifted_accuracy", "accuracy"])  # fmt: skip


def moved(network: str) -> str:
    return f"{network}{',' if ':' in network else ':'}augment=shift4"


if __name__ == "__main__":
    main()
