"""Number of images or training runs that would make an inconclusive difference significant.

The interval of a difference v ends at 0 if its half-width on the side of 0 is |v|. Half-widths over images fall as
1 / √n. The numbers assume that v stays the same, so that the power at this size is about 50 %; use them for planning.

Reference:
    Cochran 1977, Sampling Techniques, 3rd edition, chapter 4.
"""

from __future__ import annotations

import math
from bisect import bisect_left

from cnnshift.stats.intervals import tail_probability
from cnnshift.stats.seeds import SeededDifference

_MAX_SEEDS = 1000


def required_images(n: int, p: float, p_needed: float = 0.05) -> int | None:
    """Return the number of images at which a difference with the p-value p would have the p-value `p_needed`.

    It is ⌈n (z(p_needed) / z(p))²⌉ with z(p) = Φ⁻¹(1 − p / 2), because z-statistics grow with √n.

    Args:
        n: number of images behind p.
        p: two-sided p-value.
        p_needed: p-value to reach; with Holm's adjustment of r tests, down to 0.05 / r.

    Returns:
        n if p is at most `p_needed`, else a larger number; None if p is 1.

    Raises:
        ValueError: n is less than 1, or a p-value is not between 0 and 1.

    Example:
        >>> required_images(500, 0.2)
        1170
    """
    from scipy import special

    if n < 1 or not (0 <= p <= 1 and 0 < p_needed < 1):
        raise ValueError(f"n is {n}, p {p} and p_needed {p_needed}; n ≥ 1 and p-values between 0 and 1 are needed")
    if p <= p_needed:
        return n
    z, needed = (-float(special.ndtri(probability / 2)) for probability in (p, p_needed))
    # At least one more: p may exceed `p_needed` by less than rounding.
    return max(n + 1, math.ceil(n * (needed / z) ** 2)) if z > 0 else None


def required_seeds(difference: SeededDifference) -> int | None:
    """Return the number of seeds of each model at which the interval would end at 0, with the same images.

    It is the smallest m with h_I² (σ_I² / n + σ_E² / (m n)) / V_I + t² σ_S² / m ≤ value², where h_I is the half-width
    over images, V_I its variance, and t the quantile of Student's distribution with m − 1 degrees of freedom.

    Args:
        difference: an inconclusive difference.

    Returns:
        A number larger than the present one. None if the value is 0, if the limits over images contain 0 for any number
        of seeds, or if more than 1,000 seeds are needed.
    """
    from scipy import special

    d = difference
    image_half_width = d.value - d.image_low if d.value > 0 else d.image_high - d.value
    if d.value == 0 or not math.isfinite(image_half_width):
        return None
    # Of unequal numbers of seeds the larger one gives the larger, conservative ratio.
    present = d.image_sd**2 + d.residual_sd**2 / max(d.seeds)

    def suffices(seeds: int) -> bool:
        ratio = (d.image_sd**2 + d.residual_sd**2 / seeds) / present if present else 1.0
        t = float(special.stdtrit(seeds - 1, tail_probability(d.level)))
        return image_half_width**2 * ratio + t**2 * d.seed_sd**2 / seeds <= d.value**2

    numbers = range(min(d.seeds) + 1, _MAX_SEEDS + 1)
    # The half-width falls with m, so bisection applies.
    first = bisect_left(numbers, True, key=suffices)
    return numbers[first] if first < len(numbers) else None
