"""Cohen's kappa: agreement with the unshifted image, corrected for agreement by chance."""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Float
from cnnshift.metrics.base import Metric, MetricSpec, Summary
from cnnshift.metrics.shift_groups import count_by_group
from cnnshift.observations import Observations
from cnnshift.stats.bca_bootstrap import bca_interval
from cnnshift.stats.intervals import mean_interval

# Smaller values of 1 − p_e are rounding errors: one pair that differs gives at least 1 / (images × shifts).
_MIN_DISAGREEMENT = 1e-12


def evaluate_kappa(observations: Observations) -> Summary:
    """Return Cohen's kappa of the predictions with and without a shift, over all pairs (image, shift).

    p_o is the mean reference consistency; p_e = Σ_c P(ŷ(x) = c) P(ŷ(T_d x) = c), with the relative frequencies over
    images and over pairs. The value is 1 for perfect agreement, 0 for agreement as by chance, and at least −1.

    If only one class is predicted, p_o = p_e = 1 and kappa is not defined. Its value is then 0 by convention, without
    an interval, so that a constant classifier does not get a perfect score.

    Kappa is not a mean over images and has no per-image values. The interval is the union of two: the BCa bootstrap
    over images, and the interval of p_o transformed at fixed p_e, which does not collapse if (nearly) all images
    agree. Simulated coverage with 50 to 1,000 images is at least 94 %.
    """
    images, shifts = observations.prediction.shape
    classes = observations.reference_logits.shape[1]
    counts = count_by_group(observations.prediction, images, classes)
    rows = np.arange(images)
    agreement = counts[rows, observations.reference_prediction] / shifts
    reference = np.zeros((images, classes))
    reference[rows, observations.reference_prediction] = 1.0
    # Classes that are never predicted add nothing to p_e.
    present = counts.any(axis=0) | reference.any(axis=0)
    if present.sum() == 1:
        return Summary(0.0, None, images, "no interval: one class is predicted; kappa is 0 by convention")
    reference, shifted = reference[:, present], counts[:, present] / shifts

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
        share = weights / weights.sum(axis=1, keepdims=True)
        chance = ((share @ reference) * (share @ shifted)).sum(axis=1)
        defined = 1 - chance >= _MIN_DISAGREEMENT
        return np.where(defined, (share @ agreement - chance) / np.where(defined, 1 - chance, 1.0), 0.0)

    value = float(statistic(np.ones((1, images)))[0])
    chance = float(reference.mean(axis=0) @ shifted.mean(axis=0))
    observed = mean_interval(agreement, bounds=(0.0, 1.0))
    limits = [value, (observed.low - chance) / (1 - chance), (observed.high - chance) / (1 - chance)]
    method = f"{observed.method} of p_o at fixed p_e"
    if bootstrap := bca_interval(statistic, images):
        limits += [bootstrap.low, bootstrap.high]
        method = f"union of {bootstrap.method} and {method}"
    return Summary(value, (max(-1.0, min(limits)), min(1.0, max(limits))), images, method)


KAPPA = Metric(
    MetricSpec(
        id="kappa",
        title="kappa",
        formula="(p_o − p_e) / (1 − p_e), p_o = P(ŷ(T_d x) = ŷ(x)), p_e = Σ_c P(ŷ(x) = c) P(ŷ(T_d x) = c)",
        higher_is_better=True,
        unit="",
        reference="Cohen 1960, A Coefficient of Agreement for Nominal Scales (Educational and Psychological "
        "Measurement 20:37)",
        bounds=(-1.0, 1.0),
    ),
    evaluate_kappa,
)
