"""Adaptive polyphase sampling (Chaman & Dokmanić 2021, table 1): 100 % circular consistency, before and after training.

Published: 100 % for adaptive sampling, trained or not, and less for max-pooling. All untrained networks predict nearly
one class, so that the sensitivity of their logits is compared too.
"""

from benchmarks.reproductions.bench import bench, show

NETWORK = "cnn:padding=circular,head=gap"


def main() -> None:
    for epochs in ("0", "7"):
        models = [f"{NETWORK},pool={pool}" for pool in ("max", "blur", "aps")]
        show(
            bench(*models, "--shifts", "full", "--epochs", epochs), ["pairwise_consistency", "sensitivity", "accuracy"]
        )


if __name__ == "__main__":
    main()
