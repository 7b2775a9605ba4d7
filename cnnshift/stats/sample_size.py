"""How many images or seeds would settle a difference that is not settled.

A difference v of more than the margin whose interval holds 0 would be settled by an interval whose
half-width on the side of 0 is |v|, if v stayed as it is. Half-widths over images fall as 1 / √n.
These are numbers to plan with: at that size, v is settled about every other time, because it will
not stay exactly as it is.

Source:
    Cochran 1977, Sampling Techniques, 3rd edition, chapter 4.
"""

from __future__ import annotations

import math

from cnnshift.stats.intervals import tail_probability
from cnnshift.stats.seeds import SeededDifference

# More seeds than this are no answer.
_MOST_SEEDS = 1000


def required_images(
    value: float, low: float, high: float, n: int, *, images: tuple[float, float] | None = None
) -> int | None:
    """Number of images at which the interval would end at 0: ⌈n (half-width / |value|)²⌉.

    At most n where the interval does not hold 0. None where no number of images will do: a value of
    0, limits that are infinite, or an error of the seeds alone that is |value| or more.

    Args:
        value: difference.
        low: lower limit.
        high: upper limit.
        n: number of images they are from.
        images: limits for other images and the same seeds, where low and high are for other seeds as
            well; only this part of the half-width falls with n, h² = h_I² + h_S².

    Raises:
        ValueError: n less than 1, or a value that is not between its limits.

    Example:
        >>> required_images(-0.01, -0.03, 0.01, 500)
        2000
    """
    if n < 1 or not low <= value <= high:
        raise ValueError(f"n is {n} and value {value} with limits {low} and {high}; n ≥ 1 and low ≤ value ≤ high")
    half = value - low if value > 0 else high - value
    own = half if images is None else value - images[0] if value > 0 else images[1] - value
    left = value**2 - (half**2 - own**2) if math.isfinite(half) else 0.0
    if left <= 0:
        return None
    # A ratio that is whole but for rounding errors is that whole number.
    return max(1, math.ceil(n * own**2 / left * (1 - 1e-9)))


def required_seeds(difference: SeededDifference) -> int | None:
    """Number of seeds, of each model, at which the interval would end at 0, with the same images.

    The least m for which h² = h_I² (σ_I² / n + σ_E² / (m n)) / V_I + t² σ_S² / m is at most value²,
    where V_I is the variance that h_I, the half-width over images, comes from, and t the quantile of
    Student's distribution with m − 1 degrees of freedom; at least one more than there are.

    None where seeds will not do: a value of 0, limits over images that hold 0 however many seeds are
    averaged, or more than 1,000 seeds.

    Args:
        difference: what is not settled.
    """
    from scipy import special

    d = difference
    own = d.value - d.image_low if d.value > 0 else d.image_high - d.value
    # With unequal numbers, the larger: the residual then counts for less of V_I than it has.
    now = d.image_sd**2 + d.residual_sd**2 / max(d.seeds)
    if d.value == 0 or not math.isfinite(own):
        return None
    for seeds in range(min(d.seeds) + 1, _MOST_SEEDS + 1):
        share = (d.image_sd**2 + d.residual_sd**2 / seeds) / now if now else 1.0
        quantile = float(special.stdtrit(seeds - 1, tail_probability(d.level)))
        if own**2 * share + quantile**2 * d.seed_sd**2 / seeds <= d.value**2:
            return seeds
    return None
