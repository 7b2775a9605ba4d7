"""Normalized variance: variance of the logits over shifts, relative to their variance over images."""

from __future__ import annotations

import numpy as np

from cnnshift.array_types import Float
from cnnshift.metrics.base import Metric, MetricSpec, Summary
from cnnshift.observations import Observations
from cnnshift.stats.bca_bootstrap import bca_interval
from cnnshift.unavailable import Unavailable

# Float32 logits do not resolve variances below this fraction of their mean squares.
_RESOLUTION = 1e-6


def evaluate_normalized_variance(observations: Observations) -> Summary | Unavailable:
    """Return the total variance of the logits over shifts divided by their total variance over images.

    With population variances over the members d of D ∪ {0} and over the images x,

    - V_T(k) = mean over x of Var_d f_k(T_d x),
    - V_S(k) = mean over d of Var_x f_k(T_d x),

    the value is Σ_k V_T(k) / Σ_k V_S(k): 0 for an invariant model, 1 if shifts change the logits as much as images do.
    The sums over classes are traces of covariance matrices, which a rotation of the logits does not change. A mean of
    the ratios per class would be dominated by classes whose logits hardly vary over images. The library tmeasures
    averages standard deviations and defines 0/0 as 1, so its numbers differ.

    Only sums of f(T_d x) − f(x) are needed. By the law of total variance,
    V_S(k) = V_T(k) + Var_x(mean_d f_k(T_d x)) − Var_d(mean_x f_k(T_d x)).

    The metric is not a mean over images. Its interval is the BCa bootstrap over images, which holds the last term
    fixed, because that term would need the logits of every image at every shift. There is no interval if no logit
    changes. Simulated coverage for 50 to 1,000 images with lognormal variances over shifts is 89 to 96 %; it is lower
    if V_T is due to a few images that a sample may not contain.

    Unavailable for `random:K`, for a single image, and if V_S is 0 within rounding.
    """
    if observations.per_image_shifts:
        return Unavailable("needs the same shifts for every image")
    images = len(observations.labels)
    if images < 2:
        return Unavailable("needs at least two images")
    shifts = observations.prediction.shape[1]
    # The observed means are over D; the unshifted image adds a member without a change.
    weight = shifts / (shifts + 1)
    change = observations.logit_change.astype(np.float64) * weight
    square = observations.logit_square_change.astype(np.float64) * weight
    within = np.maximum(square - change**2, 0.0).sum(axis=1)
    reference = observations.reference_logits.astype(np.float64)
    # Subtract one image first, so that equal logits have a variance of exactly 0.
    means = reference - reference[0] + change
    means -= means.mean(axis=0)
    drift = np.zeros((shifts + 1, change.shape[1]))
    drift[1:] = observations.shift_logit_change
    drift_variance = drift.var(axis=0).sum()
    squared_means = (means**2).sum(axis=1)
    floor = _RESOLUTION * (square.sum(axis=1).mean() + squared_means.mean())

    over_images = within.mean() + squared_means.mean() - drift_variance
    if not np.isfinite(over_images):
        return Unavailable("the sums of the logits are not finite")
    if over_images <= floor:
        return Unavailable("the logits do not vary over images")

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
        share = weights / weights.sum(axis=1, keepdims=True)
        over_shifts = share @ within
        between = share @ squared_means - ((share @ means) ** 2).sum(axis=1)
        # A replicate with copies of one image has no variance over images, but its drift variance is held fixed.
        return over_shifts / np.maximum(over_shifts + between - drift_variance, floor)

    value = float(statistic(np.ones((1, images)))[0])
    interval = bca_interval(statistic, images)
    if interval is None:
        return Summary(value, None, images, "no interval: all bootstrap replicates are equal")
    method = f"{interval.method}; at a fixed variance over shifts of the mean logits"
    return Summary(value, (interval.low, interval.high), images, method)


NORMALIZED_VARIANCE = Metric(
    MetricSpec(
        id="normalized_variance",
        title="normalized variance",
        formula="Σ_k mean_x Var_d f_k(T_d x) / Σ_k mean_d Var_x f_k(T_d x), d ∈ D ∪ {0}",
        higher_is_better=False,
        unit="",
        default_margin=0.02,
        reference="Quiroga et al. 2021, normalized variance, there per activation; the library tmeasures "
        "(doi:10.24215/16666038.20.e06)",
        bounds=None,
    ),
    evaluate_normalized_variance,
)
