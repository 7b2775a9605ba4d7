"""The metric protocol: a pure function from observations to per-image values, and its summary.

Notation in formulas: x an image with label y, d a shift, T_d x the shifted image, D the shift set without 0, K = |D|,
f the logits, P = softmax(f), ŷ = argmax f, φ the penultimate features, S the total stride; [A] is 1 if A holds, else 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cnnshift.array_types import Float
from cnnshift.observations import Observations
from cnnshift.stats.intervals import mean_interval
from cnnshift.unavailable import Unavailable

Values = Float[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The value of a metric over all images.

    Attributes:
        value: the value; None if `reason` is set.
        ci95: lower and upper limit of the 95 % confidence interval over images, or None.
        n: number of images that count.
        method: how the interval was computed, and which quantities it holds fixed.
        per_image: one value per image, NaN for images that do not count; None for a metric that is not a mean.
        reason: why there is no value.
        bounds: smallest and largest possible value of an image, as used for the interval; None if unbounded.
    """

    value: float | None
    ci95: tuple[float, float] | None
    n: int
    method: str = ""
    per_image: Values | None = None
    reason: str = ""
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """The definition of a metric.

    An id never changes its meaning: a change of what it computes increases `version`, and values of different versions
    are not compared.

    Attributes:
        id: name in files, on the command line and in code.
        title: heading in tables.
        formula: value of one image, or of all images for a metric that is not a mean; one line of Unicode text in the
            notation of the module docstring.
        unit: "fraction" (printed in %), "px", or "" for a ratio.
        higher_is_better: whether a larger value is an improvement.
        default_margin: smallest difference that a gate counts as a change, in the unit of the metric.
        version: version of the definition.
        reference: publication that defines the metric; empty if the definition is ours or common.
        bounds: smallest and largest possible value of an image, or of the metric itself if it has no per-image values;
            None if unbounded, or if the bounds depend on the shifts.
        partial: whether some images may not count (NaN).
    """

    id: str
    title: str
    formula: str
    higher_is_better: bool
    unit: Literal["fraction", "px", ""] = "fraction"
    default_margin: float = 0.01
    version: int = 1
    reference: str = ""
    bounds: tuple[float, float] | None = (0.0, 1.0)
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its definition and the function that computes it.

    Attributes:
        spec: the definition.
        evaluate: returns one value per image, whose mean is the metric; or a `Summary` for a metric that is not a mean
            over images; or `Unavailable`. NaN marks an image that does not count and is allowed in partial metrics
            only. Any other value that is not finite leaves the metric without a value, because dropping it would hide
            a defect.
    """

    spec: MetricSpec
    evaluate: Callable[[Observations], Values | Summary | Unavailable]

    def summarize(self, observations: Observations) -> Summary:
        """Return the value with its 95 % interval over images, or a summary without a value and the reason.

        Images are the sampling unit; all shifts of an image are one cluster.
        """
        result = self.evaluate(observations)
        if isinstance(result, Unavailable):
            return Summary(None, None, 0, reason=result.reason)
        if isinstance(result, Summary):
            return result
        return summarize_mean(result, bounds=self.spec.bounds, partial=self.spec.partial)


def summarize_mean(
    values: Values, *, bounds: tuple[float, float] | None, partial: bool = False, note: str = ""
) -> Summary:
    """Return the mean of one value per image with its 95 % interval over images.

    Args:
        values: one per image.
        bounds: smallest and largest possible value of an image; None if unbounded.
        partial: whether NaN marks an image that does not count.
        note: what the interval holds fixed; appended to `method`.

    Returns:
        A summary without a value if no image counts or a value that must count is not finite, and without an interval
        if the values and bounds do not determine finite limits.
    """
    counts = ~np.isnan(values) if partial else np.ones(len(values), dtype=bool)
    if broken := int((counts & ~np.isfinite(values)).sum()):
        return Summary(None, None, 0, reason=f"the values of {broken} of {len(values)} images are not finite")
    counted = values[counts]
    if not counted.size:
        return Summary(None, None, 0, reason="no image counts")
    interval = mean_interval(counted, bounds=bounds)
    finite = np.isfinite([interval.low, interval.high]).all()
    method = interval.method if finite else "no interval: the values are unbounded and all equal"
    ci95 = (interval.low, interval.high) if finite else None
    method = f"{method}; {note}" if note else method
    return Summary(float(counted.mean()), ci95, counted.size, method, per_image=values, bounds=bounds)
