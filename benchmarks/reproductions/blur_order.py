"""The order of low-pass filters (Zhang 2019, table 1, ResNet-18): none 85.11, rect-2 86.90, tri-3 87.51, bin-5 88.25 %.

Consistency of pairs of shifts, here over all pairs up to 8 pixels, 5 seeds, on digits.
"""

from benchmarks.reproductions.bench import bench, show

POOLS = ("pool=max", "pool=blur,blur=2", "pool=blur,blur=3", "pool=blur,blur=5")


def main() -> None:
    # With the zeros of the paper's padding around small maps, and without a border.
    for padding in ("zero", "circular"):
        models = [f"cnn:padding={padding},head=gap,{pool}" for pool in POOLS]
        show(bench(*models, "--seeds", "5", "--protocol", padding, "--limit", "500"),
             ["pairwise_consistency", "accuracy"])  # fmt: skip


if __name__ == "__main__":
    main()
