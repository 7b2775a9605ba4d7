"""Adaptive polyphase sampling (Chaman & Dokmanić 2021, table 1): 100 % circular consistency, before and after training.

Published: 100 % for adaptive sampling, 90-something for the plain network; and 100 % untrained. Untrained networks
hardly change their class in any case: the sensitivity of their logits tells them apart.
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
