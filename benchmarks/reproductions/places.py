"""Networks trained at one position of a canvas and tested at all (Biscione & Bowers 2021, section 3).

Published: networks trained at one position fail at others (chance level with a fully connected head), and networks
trained at all positions do not. Digits on a 64×64 canvas are centred, or shifted by up to 16 pixels in training.
"""

from benchmarks.reproductions.bench import bench, show

HEADS = ("cnn", "cnn:head=gap")


def main() -> None:
    models = [spec for head in HEADS for spec in (head, f"{head}{',' if ':' in head else ':'}augment=shift16")]
    show(bench(*models, "--canvas", "64", "--protocol", "zero", "--max-shift", "16", "--step", "2", "--limit", "200"),
         ["accuracy", "shifted_accuracy", "worst_case_accuracy", "feature_cosine"])  # fmt: skip


if __name__ == "__main__":
    main()
