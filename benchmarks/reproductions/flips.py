"""Flip probability along a path (Hendrycks & Dietterich 2019, section 4.2), as in the translation sequences of CIFAR-P.

In CIFAR-P, images shift by one pixel per frame, and real pixels enter. Here a 48×48 window moves over 64×64 sources
along both axes and both diagonals, up to 8 pixels in each direction: 17 frames per path.
"""

from benchmarks.reproductions.bench import bench, show

MODELS = ("cnn", "cnn:augment=shift4", "cnn:head=gap", "cnn:head=gap,pool=blur,blur=5", "cnn:head=gap,pool=aps")


def main() -> None:
    for shifts in ("axis", "diagonal"):
        show(bench(*MODELS, "--dataset", "shapes", "--protocol", "crop", "--shifts", shifts, "--limit", "500"),
             ["flip_probability", "accuracy"])  # fmt: skip


if __name__ == "__main__":
    main()
