"""Format `jsonl`: one run per line, without the per-image arrays."""

from cnnshift.render.style import Style
from cnnshift.results.schema import Result


def render(result: Result, style: Style) -> str:
    """One JSON object per run; `style` does not matter."""
    without = {"metrics": {"__all__": {"per_image"}}}
    return "".join(run.model_dump_json(exclude=without) + "\n" for run in result.runs)
