"""Simulate coverage, false alarms and power of the statistics of a gate, with fixed seeds on one core."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from cnnshift.stats.holm import holm
from cnnshift.stats.influence import influence_difference_bounds, influence_values
from cnnshift.stats.mover import GainsAndLosses, mover_limits, split_gains_and_losses
from cnnshift.stats.paired import p_value, paired_interval
from cnnshift.stats.seeds import seeded_difference, seeded_difference_unpaired
from cnnshift.stats.variance_components import VariancePivot, mean_squares

TAIL = 0.025
SIZES = (50, 100, 200, 1000)
SHARES = (0.5, 0.6, 0.8, 1.0)
MODELS, METRICS = 7, 4
# False alarms: seeds, effect of a run, number of the four metrics that are 0 or 1, tables.
CASES = (
    (1, 0.0, 4, 1500),
    (1, 0.0, 1, 1500),
    (3, 0.0, 4, 300),
    (3, 0.3, 4, 300),
    (5, 0.3, 4, 300),
    (3, 0.3, 1, 300),
    (5, 0.3, 1, 300),
    (1, 0.3, 4, 300),
)

Draw = Callable[[np.random.Generator, int], np.ndarray]
# Sizes of fractional differences, and their means.
SPREADS: dict[str, tuple[Draw, float]] = {
    "uniform": (lambda rng, size: rng.random(size), 1 / 2),
    "mostly small": (lambda rng, size: rng.beta(0.5, 2, size), 1 / 5),
    "either end": (lambda rng, size: rng.beta(0.2, 0.8, size), 1 / 5),
    "about 0.02": (lambda rng, size: rng.beta(1, 50, size), 1 / 51),
    "0.03, 1 in 20 is 0.9": (
        lambda rng, size: np.where(rng.random(size) < 0.05, 0.9, rng.beta(1, 30, size)),
        0.05 * 0.9 + 0.95 / 31,
    ),
}


def bernoulli_moments(p: np.ndarray) -> tuple:
    """Return the central moments of 0/1 values."""
    return p, p * (1 - p), p * (1 - p) * (1 - 2 * p)


def outcome_samples(gains: np.ndarray, losses: np.ndarray, n: int) -> GainsAndLosses:
    """Return the moments of samples of n outcomes with these numbers of gains and losses."""
    return GainsAndLosses.from_moments(bernoulli_moments(gains / n), bernoulli_moments(losses / n), n)


def sample_moments(values: np.ndarray, sample: np.ndarray, samples: int, n: int) -> tuple:
    """Return the central moments of `samples` samples of n values; `values` are those that are not 0."""
    mean, square, cube = (np.bincount(sample, values**k, samples) / n for k in (1, 2, 3))
    return mean, np.maximum(square - mean**2, 0), cube - 3 * mean * square + 2 * mean**3


def draw_fractions(
    rng: np.random.Generator, n: int, rate: float, share: float, draw: Draw, samples: int
) -> tuple[GainsAndLosses, np.ndarray]:
    """Draw samples in which images differ with probability `rate`, a `share` of them for the better."""
    differing = rng.binomial(n, rate, samples)
    sample, values = np.repeat(np.arange(samples), differing), draw(rng, differing.sum())
    better = rng.random(values.size) < share
    gain, loss = (sample_moments(values[chosen], sample[chosen], samples, n) for chosen in (better, ~better))
    return GainsAndLosses.from_moments(gain, loss, n), gain[0] - loss[0]


def exact_coverage(n: int, rate: float, share: float) -> tuple[float, float]:
    """Return the exact coverage of 0/1 outcomes, and the probability that the interval lies below the mean."""
    most = int(min(n, n * rate + 7 * np.sqrt(n * rate) + 12))
    gains, losses = (grid.ravel() for grid in np.indices((most + 1, most + 1)))
    possible = gains + losses <= most
    gains, losses = gains[possible], losses[possible]
    low, high = mover_limits(outcome_samples(gains, losses, n), TAIL)
    probability = stats.binom.pmf(gains + losses, n, rate) * stats.binom.pmf(gains, gains + losses, share)
    mean = rate * (2 * share - 1)
    return float(probability[(low <= mean) & (mean <= high)].sum()), float(probability[high < mean].sum())


def report_paired(samples: int = 4000) -> None:
    print("\n(a) coverage of the 95 % interval of paired differences; least to greatest over 0.5 to 20 % of images")
    print("    that differ and 50 to 100 % of these for the better. 0/1 outcomes: exact; fractions: simulated")
    rates = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
    print(f"  {'n':<22}" + "".join(f"{n:>16}" for n in SIZES))
    found = {n: np.array([[exact_coverage(n, rate, share) for share in SHARES] for rate in rates]) for n in SIZES}
    for name, rows in (("0/1, 0.5 to 2 %", slice(0, 3)), ("0/1, 5 to 20 %", slice(3, 6))):
        print(f"  {name:<22}" + "".join(_range(found[n][rows, :, 0]) for n in SIZES))
    print(
        f"  {'0/1, misses below':<22}"
        + "".join(f"{'at most ' + format(found[n][..., 1].max(), '.1%'):>16}" for n in SIZES)
    )
    for i, (name, (draw, size)) in enumerate(SPREADS.items()):
        line = ""
        for n in SIZES:
            covered = []
            for j, rate in enumerate((0.01, 0.05, 0.2, 0.5, 1.0)):
                for k, share in enumerate(SHARES):
                    rng = np.random.default_rng([n, i, j, k])
                    low, high = mover_limits(draw_fractions(rng, n, rate, share, draw, samples)[0], TAIL)
                    mean = rate * size * (2 * share - 1)
                    covered.append(((low <= mean) & (mean <= high)).mean())
            line += _range(np.array(covered))
        print(f"  {name:<22}{line}   (up to 100 % differ)")


def _range(covered: np.ndarray) -> str:
    return f"{covered.min():>8.1%} – {covered.max():>5.1%}"


def draw_table(rng: np.random.Generator, n: int, m: int, seed_effect: float, outcomes: int) -> np.ndarray:
    """Draw differences [28 m n] with the mean 0; the four metrics of a model are correlated.

    About 6 % of the images differ (3 % of outcomes 0 and 1), with a probability and a direction that vary between
    images. Of the four metrics, `outcomes` are 0 or 1. Each run shifts the direction by a normal variable with standard
    deviation `seed_effect`.
    """
    prone, leaning = rng.beta(0.5, 8, (MODELS, 1, 1, n)), rng.uniform(-0.8, 0.8, (MODELS, 1, 1, n))
    run = seed_effect * rng.normal(size=(MODELS, 1, m, 1))
    differs = rng.random((MODELS, 1, m, n)) < prone
    common, separate = rng.random((MODELS, 1, m, n)), rng.random((MODELS, METRICS, m, n))
    draw = np.where(rng.random((MODELS, METRICS, m, n)) < 0.8, common, separate)
    sign = np.where(draw < 0.5 + (leaning + run) / 2, 1.0, -1.0)
    size = rng.beta(0.5, 2, (MODELS, METRICS, m, n))
    size[:, :outcomes] = size[:, :outcomes] > 0.1
    return (differs * sign * size).reshape(MODELS * METRICS, m, n)


def alarm_p(table: np.ndarray) -> np.ndarray:
    """Return the p-values of 28 rows; 1 if the candidate is not worse or the interval over images contains 0."""
    changes = split_gains_and_losses(table.mean(axis=1))
    p = np.ones(len(table))
    for row in np.flatnonzero(mover_limits(changes, TAIL)[1] < 0):
        p[row] = seeded_difference(table[row]).p if table.shape[1] > 1 else p_value(table[row, 0])
    return p


def report_alarms() -> None:
    print("\n(b) false alarms without a difference, n = 500, margin 0 / 1 pp: one gate; any of 28 gates, with Holm")
    for m, seed_effect, outcomes, tables in CASES:
        single, any_of = np.zeros(2), np.zeros(2)
        for i in range(tables):
            table = draw_table(
                np.random.default_rng([i, m, int(100 * seed_effect), outcomes]), 500, m, seed_effect, outcomes
            )
            mean, p = table.mean(axis=(1, 2)), alarm_p(table)
            for k, margin in enumerate((0.0, 0.01)):
                single[k] += ((p <= 0.05) & (mean < -margin)).mean() / tables
                # Setting large p-values to 1 does not change the adjusted values of the others.
                any_of[k] += ((holm(p) <= 0.05) & (mean < -margin)).any() / tables
        print(
            f"  {m} seed{'s' if m > 1 else ' '}, effect of a run {seed_effect:.1f}, {outcomes} of 4 metrics 0/1:  "
            f"one gate {single[0]:6.2%} /{single[1]:6.2%}"
            f"   any of 28 {any_of[0]:6.2%} /{any_of[1]:6.2%}   ({tables} tables)"
        )


def report_power(samples: int = 4000) -> None:
    print("\n(c) power at a true loss of 2 margins: one gate / the smallest p of 28")
    print("    0/1: another 2 % of the images differ at random; fractions: half the images differ, by 0.2 on average")
    print(f"  {'margin':<22}" + "".join(f"{f'n = {n}':>20}" for n in (200, 1000, 5000)))
    for kind in ("0/1", "fractions"):
        for margin in (0.005, 0.01, 0.02):
            line = ""
            for n in (200, 1000, 5000):
                rng = np.random.default_rng([n, int(1e4 * margin)])
                if kind == "0/1":
                    gains, losses, _ = rng.multinomial(n, [0.01, 0.01 + 2 * margin, 0.98 - 2 * margin], samples).T
                    changes, mean = (
                        outcome_samples(gains, losses, n),
                        (gains - losses) / n,
                    )
                else:
                    share = 0.5 - 2 * margin / (2 * 0.5 * 0.2)
                    changes, mean = draw_fractions(rng, n, 0.5, share, SPREADS["mostly small"][0], samples)
                alarm = [((mover_limits(changes, tail)[1] < 0) & (mean < -margin)).mean() for tail in (TAIL, TAIL / 28)]
                line += f"{alarm[0]:>12.0%} / {alarm[1]:>4.0%} "
            print(f"  {kind + ', ' + format(100 * margin, '.1f') + ' pp':<22}{line}")


def seeded_covers(table: np.ndarray, mean: float) -> tuple[bool, bool]:
    """Return whether the interval over images and runs contains the mean, and whether that over images does."""
    n = table.shape[1]
    means = table.mean(axis=0)
    low, high = (float(limit[0]) for limit in mover_limits(split_gains_and_losses(means[None]), TAIL))
    pivot = VariancePivot(float(means.var(ddof=1)) / n, [mean_squares(table)], n)
    run_part = pivot.run_half_width_squared(pivot.half_width(TAIL), TAIL)
    distance = mean - means.mean()
    reach = np.sqrt(((high if distance > 0 else low) - means.mean()) ** 2 + run_part)
    return bool(abs(distance) <= reach), low <= mean <= high


def report_seeded(samples: int = 1000) -> None:
    print("\n(d) coverage of the seeded interval / of that over images alone, n = 200; 0/1: 8 % of the images differ")
    seeds = (2, 3, 5, 10)
    print(f"  {'':<26}" + "".join(f"{f'm = {m}':>17}" for m in seeds))
    for kind, effects in (("normal", (0.0, 0.03, 0.1, 0.5)), ("0/1", (0.0, 0.1, 0.3))):
        for effect in effects:
            line = ""
            for m in seeds:
                rng = np.random.default_rng([m, int(100 * effect), len(kind)])
                held = np.zeros(2)
                for _ in range(samples):
                    run = effect * rng.normal(size=(m, 1))
                    if kind == "normal":
                        table, mean = 0.1 * (rng.normal(size=200) + rng.normal(size=(m, 200)) + run) - 0.05, -0.05
                    else:
                        # Clip the direction of a run symmetrically to [−1, 1].
                        lean = -0.4 + np.clip(run, -0.6, 0.6)
                        sign = np.where(rng.random((m, 200)) < 0.5 + lean / 2, 1.0, -1.0)
                        table, mean = (rng.random((m, 200)) < 0.08) * sign, -0.4 * 0.08
                    held += seeded_covers(np.clip(table, -1, 1), mean)
                line += f"{held[0] / samples:>9.1%} / {held[1] / samples:>5.1%}"
            name = "σ_S / σ_I" if kind == "normal" else "0/1, effect of a run"
            print(f"  {name + ' = ' + str(effect):<26}{line}")
    for pair in ((2, 2), (3, 5)):
        held = 0
        for i in range(200):
            rng = np.random.default_rng([i, *pair])
            image, runs = rng.normal(size=200), [0.1 * rng.normal(size=(m, 1)) for m in pair]
            tables = [0.1 * (image + rng.normal(size=(m, 200)) + run) for m, run in zip(pair, runs, strict=True)]
            found = seeded_difference_unpaired(tables[0], tables[1])
            held += found.low <= 0 <= found.high
        print(f"  not paired, {pair[0]} and {pair[1]} seeds, σ_S / σ_I = 0.1: {held / 200:.1%} (200 samples)")


def report_seeded_power(samples: int = 200) -> None:
    print("\n(e) power of one gate, true loss 2 pp, margin 1 pp, n = 1000; another 1 % of the images differ")
    print("    between runs (σ_S of 0 and 0.5 pp); with 1 seed the result holds for the two trained networks only")
    for effect in (0.0, 0.005):
        line = f"  σ_S = {100 * effect:.1f} pp   "
        for m in (1, 2, 3, 5):
            rng = np.random.default_rng([m, int(1000 * effect)])
            found = 0
            for _ in range(samples):
                lost = rng.random(1000) < 0.02
                loss = np.where(lost, -1.0, 0.0)
                flips = (rng.random((m, 1000)) < 0.01) * rng.choice((-1.0, 1.0), (m, 1000))
                lean = (rng.random((m, 1000)) < np.abs(run := effect * rng.normal(size=(m, 1)))) * np.sign(run)
                table = np.clip(loss + flips + lean, -1, 1)
                p = p_value(table[0]) if m == 1 else seeded_difference(table).p
                found += table.mean() < -0.01 and p <= 0.05
            line += f"   {m} seed{'s' if m > 1 else ' '} {found / samples:>4.0%}"
        print(line)


def report_partial(samples: int = 400) -> None:
    print(
        "\n(f) metrics on a subset of the images (80 % of the excluded images are excluded on both sides): coverage of"
    )
    print("    the interval / false alarms of a gate with margin 0, without a difference; 0/1 outcomes")
    print(f"  {'excluded images':<28}" + "".join(f"{f'n = {n}':>19}" for n in (100, 200, 1000)))
    for differing in (0.02, 0.05, 0.2):
        for absent in (0.02, 0.05, 0.4):
            line = ""
            for n in (100, 200, 1000):
                rng = np.random.default_rng([n, int(100 * differing), int(100 * absent)])
                held = alarms = 0
                for _ in range(samples):
                    same = (rng.random(n) < 0.9).astype(float)
                    other = np.where(rng.random(n) < differing, 1 - same, same)
                    swapped = rng.random(n) < 0.5
                    base, candidate = np.where(swapped, other, same), np.where(swapped, same, other)
                    missing = rng.random(n) < absent
                    base[missing] = np.nan
                    candidate[np.where(rng.random(n) < 0.8, missing, rng.random(n) < absent)] = np.nan
                    bounds = influence_difference_bounds(base[None], candidate[None], (0.0, 1.0))
                    changes = (influence_values(candidate[None]) - influence_values(base[None]))[0]
                    interval = paired_interval(changes, bounds=bounds)
                    held += interval.low <= 0 <= interval.high
                    alarms += interval.high < 0
                line += f"{held / samples:>11.1%} / {alarms / samples:>4.1%}"
            print(f"  {f'{absent:.0%}, {differing:.0%} differ':<28}{line}")


def main() -> None:
    report_paired()
    report_alarms()
    report_power()
    report_seeded()
    report_seeded_power()
    report_partial()


if __name__ == "__main__":
    main()
