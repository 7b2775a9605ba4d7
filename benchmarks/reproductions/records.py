"""Store each training run in a file, so that an interrupted reproduction can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "records"

Record = dict[str, Any]


def collect(name: str, keys: Sequence[Record], measure: Callable[[Record], Record]) -> list[Record]:
    """Return the record of every key: read it from the file, or measure it and write it to the file.

    Args:
        name: of the file.
        keys: what identifies each run.
        measure: key → record.
    """
    path = FOLDER / f"{name}.json"
    known: list[Record] = json.loads(path.read_text()) if path.exists() else []
    for key in keys:
        if not any(key.items() <= record.items() for record in known):
            known.append(key | measure(key))
            path.parent.mkdir(exist_ok=True)
            path.write_text("[\n" + ",\n".join(json.dumps(record) for record in known) + "\n]\n")
            print("  " + ", ".join(f"{name} {value}" for name, value in known[-1].items()), flush=True)
    return [next(record for record in known if key.items() <= record.items()) for key in keys]


def spread(values: Sequence[float]) -> str:
    """Return mean ± standard deviation over the runs, in per cent."""
    runs = 100 * np.array(values)
    return f"{runs.mean():.1f} ± {runs.std(ddof=1):.1f}" if len(runs) > 1 else f"{runs.mean():.1f}"
