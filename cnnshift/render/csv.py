"""Format `csv`: one line per run and metric, full precision."""

import csv
import io

from cnnshift.render.style import Style
from cnnshift.results.schema import Result

HEADER = (
    "model", "seed", "dataset", "protocol", "shifts", "max_shift", "step", "metric", "version", "value", "ci95_low",
    "ci95_high", "unit", "n", "reason",
)  # fmt: skip


def render(result: Result, style: Style) -> str:
    """Lines under `HEADER`; an absent number is an empty field. `style` does not matter."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    for run in result.runs:
        where = (run.protocol.name, run.protocol.set, run.protocol.max_shift, run.protocol.step)
        for metric in run.metrics:
            low, high = metric.ci95 or (None, None)
            number = (metric.id, metric.version, metric.value, low, high, metric.unit, metric.n, metric.reason)
            writer.writerow((run.model, run.seed, run.dataset.name, *where, *number))
    return buffer.getvalue()
