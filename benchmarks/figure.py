"""Draw the figure of the README, one map of accuracy per model: `python -m benchmarks.figure RESULT SVG`."""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from cnnshift.results.aggregate import group_by_contract
from cnnshift.results.files import load_result


def main(source: str, target: str) -> None:
    group = group_by_contract(load_result(source))[0]
    columns = 4
    rows = -(-len(group.models) // columns)
    # Without a fixed salt the ids, and so the file, differ between equal drawings.
    mpl.rcParams["svg.hashsalt"] = "cnnshift"
    figure, axes = plt.subplots(rows, columns, figsize=(2.6 * columns, 2.9 * rows), layout="constrained")
    for axis, row in zip(axes.flat, group.models, strict=False):
        run = row.runs[0]
        step = run.protocol.step
        reach = int(run.protocol.max_shift / step)
        grid = np.full((2 * reach + 1, 2 * reach + 1), np.nan)
        grid[reach, reach] = run.metric("accuracy").value
        for dy, dx, accuracy in zip(run.by_shift.dy, run.by_shift.dx, run.by_shift.accuracy, strict=True):
            grid[reach + round(dy / step), reach + round(dx / step)] = accuracy
        edge = (reach + 0.5) * float(step)
        extent = (-edge, edge, edge, -edge)
        axis.imshow(grid * 100, vmin=0, vmax=100, cmap="viridis", extent=extent)
        axis.set_title(row.model.replace(",", ",\n"), fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes.flat[len(group.models) :]:
        axis.set_visible(False)
    axes.flat[0].set_xlabel("dx, pixels to the right", fontsize=8)
    axes.flat[0].set_ylabel("dy, pixels down", fontsize=8)
    figure.colorbar(axes.flat[0].images[0], ax=axes, shrink=0.7, label="accuracy, %")
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
