"""(e) Start-up: whole processes, `--help`, `list` and `compare`, against an empty interpreter."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import compare

COMMAND = str(Path(sys.executable).parent / "cnnshift")
MODELS = ("mlp", "cnn", "cnn:width=4", "cnn:head=gap", "cnn:width=4,head=gap", "cnn:head=gmp", "cnn:padding=circular",
          "cnn:padding=circular,head=gap,pool=aps")  # fmt: skip


def measure_untrained(folder: str, seed: int) -> str:
    """A result of eight models on 1,000 images."""
    path = str(Path(folder) / f"seed{seed}.json")
    options = ("--epochs", "0", "--max-shift", "8", "--seed", str(seed), "-o", path)
    subprocess.run([COMMAND, "bench", *MODELS, *options], check=True, capture_output=True)
    return path


def main() -> None:
    def run(*command: str):
        return lambda: subprocess.run(command, check=True, capture_output=True)

    with tempfile.TemporaryDirectory() as folder:
        first, second = (measure_untrained(folder, seed) for seed in (0, 1))
        contestants = {
            "python -c pass": run(sys.executable, "-c", "pass"),
            "import typer, rich": run(sys.executable, "-c", "import typer, rich.table, rich.console"),
            "cnnshift --help": run(COMMAND, "--help"),
            "cnnshift bench --help": run(COMMAND, "bench", "--help"),
            "cnnshift list metrics": run(COMMAND, "list", "metrics"),
            "cnnshift compare, 8 models × 1,000, equal": run(COMMAND, "compare", first, first, "--exit-zero"),
            "cnnshift compare, 8 models × 1,000, other": run(COMMAND, "compare", first, second, "--exit-zero"),
        }
        comparison = compare(contestants, rounds=15)
    print("\n(e) start-up, seconds per process (median of 15)")
    for name, seconds in comparison.seconds.items():
        print(f"  {name:<42} {seconds:.3f}")


if __name__ == "__main__":
    main()
