"""A spatial transformer in front of a network, on cluttered digits (Jaderberg et al. 2015, section 4.1).

Published, cluttered translated MNIST: 14.2 % error without, 5.7 % with (the caption of its figure; larger networks and
millions of images).
"""

from benchmarks.reproductions.bench import bench, show

MODELS = ("cnn", "stn:backbone=cnn,transform=translation", "stn:backbone=cnn", "cnn:head=gap", "cnn:augment=shift4")


def main() -> None:
    show(bench(*MODELS, "--dataset", "cluttered", "--seeds", "3", "--epochs", "20", "--protocol", "zero"),
         ["accuracy", "shifted_accuracy", "pairwise_consistency"])  # fmt: skip


if __name__ == "__main__":
    main()
