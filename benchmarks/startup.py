"""(e) Start-up: whole processes, `--help` and `list`, against an empty interpreter."""

import subprocess
import sys
from pathlib import Path

from benchmarks.timing import compare

COMMAND = str(Path(sys.executable).parent / "cnnshift")


def main() -> None:
    def run(*command: str):
        return lambda: subprocess.run(command, check=True, capture_output=True)

    contestants = {
        "python -c pass": run(sys.executable, "-c", "pass"),
        "import typer, rich": run(sys.executable, "-c", "import typer, rich.table, rich.console"),
        "cnnshift --help": run(COMMAND, "--help"),
        "cnnshift bench --help": run(COMMAND, "bench", "--help"),
        "cnnshift list metrics": run(COMMAND, "list", "metrics"),
    }
    comparison = compare(contestants, rounds=15)
    print("\n(e) start-up, seconds per process (median of 15)")
    for name, seconds in comparison.seconds.items():
        print(f"  {name:<42} {seconds:.3f}")


if __name__ == "__main__":
    main()
