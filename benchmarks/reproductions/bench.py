"""Reproductions that are benchmarks of their own: the command that is run, and its numbers as rows."""

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
    """Run `cnnshift bench` with these arguments, and say so."""
    print(f"  $ cnnshift bench {' '.join(arguments)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "cnnshift", "bench", *arguments, "-o", str(path), "--format", "json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return group_by_contract(load_result(path))


def show(groups: Sequence[ContractGroup], metrics: Sequence[str]) -> None:
    """A row per model: every metric (fractions in per cent), with its 95 % interval and its spread over seeds."""
    print(f"| protocol | model | {' | '.join(metrics)} |")
    for group in groups:
        movement = group.example.protocol.label
        for row in group.models:
            print(f"| {movement} | {row.model} | {' | '.join(cell(row.runs, metric) for metric in metrics)} |")


def cell(runs: Sequence[Run], metric: str) -> str:
    """Value [interval] ± spread."""
    found = seed_mean(runs, metric)
    if found is None:
        return "–"
    scale = 100 if runs[0].metric(metric).unit == "fraction" else 1
    text = f"{scale * found.value:.2f}"
    if found.ci95 is not None:
        text += f" [{scale * found.ci95[0]:.2f}, {scale * found.ci95[1]:.2f}]"
    return text if found.seed_sd is None else f"{text} ± {scale * found.seed_sd:.2f}"
