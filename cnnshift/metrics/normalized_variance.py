"""The variance of the logits over shifts, relative to their variance over images."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from cnnshift.metrics.base import Metric, MetricSpec, Summary
from cnnshift.observations import Observations
from cnnshift.stats.bca_bootstrap import bca_interval
from cnnshift.unavailable import Unavailable

# Float32 logits do not resolve a variance that is a smaller share of the squares it is made from.
_RESOLUTION = 1e-6


def evaluate_normalized_variance(observations: Observations) -> Summary | Unavailable:
    """Σ_k V_T(k) / Σ_k V_S(k): 0 for an invariant model, 1 where a shift matters as an image does.

    For the logit f_k of class k, over the members d of D ∪ {0} and population variances,

    - V_T(k) = mean over images of (variance over d of f_k(T_d x)),
    - V_S(k) = mean over d of (variance over images of f_k(T_d x)).

    The sums over classes make it a ratio of total variances (traces of covariance matrices), which
    a rotation of the logits does not change. The mean of the ratios per class would be governed by
    whichever class has logits that hardly vary over images, and be undefined for a constant one.
    The authors' library tmeasures averages standard deviations and takes 0/0 for 1, so its numbers
    differ.

    The full logits are not needed: by the law of total variance, V_S(k) = V_T(k) + variance over
    images of (mean over d) − variance over d of (mean over images), all of which follow from sums
    of f(T_d x) − f(x), small numbers for a model that is nearly invariant.

    Not a mean over images: the interval resamples images. The last term, which would need the
    logits of every image at every shift, is held fixed; the method says so. Where not one logit
    changed, resampling says nothing, and there is no interval. Simulated coverage for 50 to 1,000
    images with lognormal variances over shifts is 89 to 96 %; it is lower, as for every mean
    without an upper bound, where V_T is due to a few images that a sample may not hold.

    Unavailable for `random:K`, for a single image, and where V_S is 0 within rounding.

    Source: Quiroga et al. 2021 (normalized variance, there per activation and without the sums).
    """
    if observations.per_image_shifts:
        return Unavailable("needs the same shifts for every image")
    images = len(observations.labels)
    if images < 2:
        return Unavailable("needs at least two images")
    shifts = observations.prediction.shape[1]
    # The sums are means over D; the unshifted image adds a member whose change is 0.
    weight = shifts / (shifts + 1)
    change = observations.logit_change.astype(np.float64) * weight
    square = observations.logit_square_change.astype(np.float64) * weight
    within = np.maximum(square - change**2, 0.0).sum(axis=1)
    reference = observations.reference_logits.astype(np.float64)
    # Relative to one image first, so that logits which do not vary give a variance of exactly 0.
    means = reference - reference[0] + change
    means -= means.mean(axis=0)
    drift = np.zeros((shifts + 1, change.shape[1]))
    drift[1:] = observations.shift_logit_change
    fixed = drift.var(axis=0).sum()
    spread = (means**2).sum(axis=1)
    floor = _RESOLUTION * (square.sum(axis=1).mean() + spread.mean())

    over_images = within.mean() + spread.mean() - fixed
    if not np.isfinite(over_images):
        return Unavailable("not a finite number among the sums of the logits")
    if over_images <= floor:
        return Unavailable("the logits do not vary over images")

    def statistic(weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
        share = weights / weights.sum(axis=1, keepdims=True)
        over_shifts = share @ within
        between = share @ spread - ((share @ means) ** 2).sum(axis=1)
        # A replicate of copies of one image has no variance over images, but some of `fixed`.
        return over_shifts / np.maximum(over_shifts + between - fixed, floor)

    value = float(statistic(np.ones((1, images)))[0])
    interval = bca_interval(statistic, images)
    if interval is None:
        return Summary(value, None, images, "no interval: all images equal")
    method = f"{interval.method}, variance over shifts of the mean image held fixed"
    return Summary(value, (interval.low, interval.high), images, method)


NORMALIZED_VARIANCE = Metric(
    MetricSpec(
        id="normalized_variance",
        title="normalized variance",
        unit="",
        higher_is_better=False,
        default_margin=0.02,
        version=1,
        reference="Quiroga et al. 2021; the library tmeasures (doi:10.24215/16666038.20.e06)",
        bounds=None,
    ),
    evaluate_normalized_variance,
)
