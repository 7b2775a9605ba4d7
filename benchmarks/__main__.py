"""`python -m benchmarks [NAME]...`: run each comparison in its own process, and print the tables."""

import subprocess
import sys

NAMES = ("sweep", "torch_loop", "training", "memory", "startup", "exhaustive", "pretrained", "black_box", "statistics")

if __name__ == "__main__":
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        sys.exit(f"Unknown benchmark {', '.join(unknown)}; allowed: {', '.join(NAMES)}.")
    # One process each: PyTorch and XLA both keep thread pools, and memory must be measured from zero.
    failed = [
        name for name in wanted if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    sys.exit(f"Failed: {', '.join(failed)}." if failed else 0)
