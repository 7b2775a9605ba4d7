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
from bisect import bisect_left

from cnnshift.stats.intervals import tail_probability
from cnnshift.stats.seeds import SeededDifference

# More seeds than this are no answer.
_MOST_SEEDS = 1000


def required_images(n: int, p: float, p_needed: float = 0.05) -> int | None:
    """Number of images at which a difference with the p-value p would have the p-value that is needed.

    ⌈n (z(p_needed) / z(p))²⌉ with z(p) = Φ⁻¹(1 − p / 2): a z-statistic grows with √n. More than n where p is above
    p_needed, and n where it is not. None where no number of images will do: p is 1.

    Args:
        n: number of images that p is from.
        p: two-sided p-value.
        p_needed: likewise; of r tests, Holm's adjustment may ask for as little as 0.05 / r.

    Raises:
        ValueError: n less than 1, or a p-value that is not between 0 and 1.

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
    # One at least: p may be above what is needed by less than rounding.
    return max(n + 1, math.ceil(n * (needed / z) ** 2)) if z > 0 else None


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

    def settles(seeds: int) -> bool:
        share = (d.image_sd**2 + d.residual_sd**2 / seeds) / now if now else 1.0
        quantile = float(special.stdtrit(seeds - 1, tail_probability(d.level)))
        return own**2 * share + quantile**2 * d.seed_sd**2 / seeds <= d.value**2

    numbers = range(min(d.seeds) + 1, _MOST_SEEDS + 1)
    # h falls with m, so the numbers that settle it follow those that do not.
    first = bisect_left(numbers, True, key=settles)
    return numbers[first] if first < len(numbers) else None
