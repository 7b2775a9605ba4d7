"""What a metric is: a pure function from observations to per-image values, and its summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from cnnshift.observations import Observations
from cnnshift.stats.intervals import mean_interval
from cnnshift.unavailable import Unavailable

Values = Float[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Summary:
    """A metric's value over all images.

    Attributes:
        value: the number, or None with a `reason`.
        ci95: lower and upper end of the 95 % interval over images, or None.
        n: number of images behind the value.
        method: how the interval was made, and what the value takes as given.
        per_image: one value per image (NaN where an image does not count), or None for a metric
            that has none.
        reason: why there is no value.
        bounds: least and largest value that an image can have, as used for the interval; None for unbounded.
    """

    value: float | None
    ci95: tuple[float, float] | None
    n: int
    method: str = ""
    per_image: Values | None = None
    reason: str = ""
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a metric's number means. Ids are for ever; changing what an id computes bumps `version`.

    Attributes:
        id: name in files, on the command line and in code.
        title: name in tables.
        unit: "fraction" (shown as %), "px", or "" for a plain ratio.
        higher_is_better: the direction of an improvement.
        default_margin: smallest difference that a gate takes for a change, in the metric's unit.
        version: number of the definition.
        reference: source (paper, section).
        bounds: smallest and largest value that one image can have, or, for a metric without
            per-image values, the metric itself; None where there is no such number, or where it
            depends on the shifts.
        partial: whether some images may not count (NaN); the metric's docstring says which.
    """

    id: str
    title: str
    unit: Literal["fraction", "px", ""]
    higher_is_better: bool
    default_margin: float
    version: int
    reference: str
    bounds: tuple[float, float] | None = (0.0, 1.0)
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's meaning and its formula.

    `evaluate` gives one value per image: the metric is their mean. In a `partial` metric NaN says
    that an image does not count; in every other one a value that is not finite leaves the metric
    without a value, with the reason, because dropping it would hide a defect. A metric that is not
    a mean over images gives its whole `Summary` instead. What these observations cannot supply is
    `Unavailable`.
    """

    spec: MetricSpec
    evaluate: Callable[[Observations], Values | Summary | Unavailable]

    def summarize(self, observations: Observations) -> Summary:
        """Evaluate the metric, with its 95 % interval over images.

        Args:
            observations: what the sweep saw; the shifts of one image are one cluster.

        Returns:
            The mean over the images that count, or a summary without a value and the reason.
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
    """Average one value per image, with the mean's 95 % interval over images.

    Args:
        values: one per image.
        bounds: smallest and largest value that an image can have, or None.
        partial: whether NaN says that an image does not count.
        note: what the value takes as given, added to the method.

    Returns:
        The summary; without a value where no image counts, or where a value that must count is
        not finite; without an interval where the data and the bounds do not limit it.
    """
    counts = ~np.isnan(values) if partial else np.ones(len(values), dtype=bool)
    broken = int((counts & ~np.isfinite(values)).sum())
    if broken:
        return Summary(None, None, 0, reason=f"not a finite number for {broken} of {len(values)} images")
    counted = values[counts]
    if not counted.size:
        return Summary(None, None, 0, reason="no image counts")
    interval = mean_interval(counted, bounds=bounds)
    finite = np.isfinite([interval.low, interval.high]).all()
    method = interval.method if finite else "no interval: one image, or all equal, without a bound"
    method = f"{method}; {note}" if note else method
    ci95 = (interval.low, interval.high) if finite else None
    return Summary(float(counted.mean()), ci95, counted.size, method, per_image=values, bounds=bounds)
