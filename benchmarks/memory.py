"""(d) Peak memory against the number of shifts: one process per sweep."""

import json
import subprocess
import sys

PROGRAM = """
import json, resource, sys
from cnnshift.data.base import create_dataset
from cnnshift.models.base import build
from cnnshift.catalog import PROTOCOLS
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model

name, reach = sys.argv[1], int(sys.argv[2])
split = create_dataset(DatasetSpec.parse("mnist5k")).load("test").take(256)
model = build(ModelSpec.parse("cnn:padding=circular,head=gap"), (32, 32, 1), 10, seed=0)
protocol = PROTOCOLS.load("circular")
shifts = enumerate_shifts(name, max_shift=reach, step=1, size=split.size, wraps=True, images=len(split))
sweep = run_sweep(as_pure_model(model), split, protocol(split.size, reach=shifts.reach), shifts)
seen = sweep.observations
table = sum(getattr(seen, f).nbytes for f in ("prediction", "probability", "label_probability", "distance", "cosine"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"shifts": shifts.count + 1, "peak": peak, "table": table}))
"""


def main() -> None:
    print("\n(d) peak memory of a sweep over 256 images, whole process")
    base = None
    for name, reach in (("grid", 1), ("grid", 4), ("grid", 8), ("full", 16)):
        command = [sys.executable, "-c", PROGRAM, name, str(reach)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        beyond = found["peak"] - found["table"]
        base = base or (beyond if found["shifts"] == 81 else None)
        growth = f"{beyond / base - 1:+.1%} against 81 shifts" if base else ""
        print(
            f"  {found['shifts']:>5} shifts  peak {found['peak'] / 2**20:7.1f} MiB  table "
            f"{found['table'] / 2**20:5.1f} MiB  beyond the table {beyond / 2**20:7.1f} MiB  {growth}"
        )


if __name__ == "__main__":
    main()
