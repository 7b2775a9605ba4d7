"""Run a reproduction as a command of cnnshift, and print its numbers as rows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cnnshift.results.aggregate import ContractGroup, group_by_contract, seed_mean
from cnnshift.results.files import load_result
from cnnshift.results.schema import Run


def bench(*arguments: str) -> list[ContractGroup]:
    """Print and run `cnnshift bench` with these arguments."""
    print(f"  $ cnnshift bench {' '.join(arguments)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "cnnshift", "bench", *arguments, "-o", str(path), "--format", "json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return group_by_contract(load_result(path))


def show(groups: Sequence[ContractGroup], metrics: Sequence[str]) -> None:
    """Print one row per model: metrics (fractions in per cent) with interval and standard deviation over seeds."""
    print(f"| protocol | model | {' | '.join(metrics)} |")
    for group in groups:
        protocol = group.example.protocol.label
        for row in group.models:
            print(f"| {protocol} | {row.model} | {' | '.join(cell(row.runs, metric) for metric in metrics)} |")


def cell(runs: Sequence[Run], metric: str) -> str:
    """Return a value as text: value [interval] ± standard deviation."""
    found = seed_mean(runs, metric)
    if found is None:
        return "–"
    scale = 100 if runs[0].metric(metric).unit == "fraction" else 1
    text = f"{scale * found.value:.2f}"
    if found.ci95 is not None:
        text += f" [{scale * found.ci95[0]:.2f}, {scale * found.ci95[1]:.2f}]"
    return text if found.seed_sd is None else f"{text} ± {scale * found.seed_sd:.2f}"
