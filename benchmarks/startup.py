"""(e) Start-up: CPU seconds of processes, and their ratios to the imports that they need."""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import compare

COMMAND = str(Path(sys.executable).parent / "cnnshift")
MODELS = ("mlp", "cnn", "cnn:width=4", "cnn:head=gap", "cnn:width=4,head=gap", "cnn:head=gmp", "cnn:padding=circular",
          "cnn:padding=circular,head=gap,pool=aps")  # fmt: skip

TYPER = "import typer, rich.table, rich.console"
COMPARE = f"{TYPER}, numpy, pydantic, scipy.special"
TARGETS = (
    ("cnnshift --help", TYPER, 1.6),
    ("cnnshift list metrics", TYPER, 2.0),
    ("cnnshift compare, 8 models × 1,000", COMPARE, 1.5),
)
"""Commands, the imports that each is compared with, and the largest allowed ratio of CPU time."""


def measure_untrained(folder: str, seed: int) -> str:
    """Write a result of eight models on 1,000 images."""
    path = str(Path(folder) / f"seed{seed}.json")
    options = ("--epochs", "0", "--max-shift", "8", "--seed", str(seed), "-o", path)
    subprocess.run([COMMAND, "bench", *MODELS, *options], check=True, capture_output=True)
    return path


def children_seconds() -> float:
    """Return the CPU time of the processes that this process started."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    def run(*command: str):
        return lambda: subprocess.run(command, check=True, capture_output=True)

    with tempfile.TemporaryDirectory() as folder:
        first, second = (measure_untrained(folder, seed) for seed in (0, 1))
        contestants = {
            "python -c pass": run(sys.executable, "-c", "pass"),
            TYPER: run(sys.executable, "-c", TYPER),
            COMPARE: run(sys.executable, "-c", COMPARE),
            "cnnshift --help": run(COMMAND, "--help"),
            "cnnshift bench --help": run(COMMAND, "bench", "--help"),
            "cnnshift list metrics": run(COMMAND, "list", "metrics"),
            "cnnshift compare, 8 models × 1,000": run(COMMAND, "compare", first, second, "--exit-zero"),
            "the same, equal files": run(COMMAND, "compare", first, first, "--exit-zero"),
        }
        seconds = compare(contestants, rounds=15, clock=children_seconds).seconds
    print("\n(e) start-up, CPU seconds per process (median of 15)")
    for name, value in seconds.items():
        print(f"  {name:<76} {value:.3f}")
    for name, reference, allowed in TARGETS:
        print(f"  {name} / {reference}: {seconds[name] / seconds[reference]:.2f} (allowed: {allowed})")


if __name__ == "__main__":
    main()
