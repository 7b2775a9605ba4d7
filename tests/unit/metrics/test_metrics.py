"""Every metric compared with loops over the raw logits of a small model, one shift at a time."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from cnnshift.catalog import METRICS
from cnnshift.metrics.sensitivity import MAX_SAMPLED_IMAGES, interclass_distance
from cnnshift.unavailable import Unavailable
from tests.simulated_observations import ENUMERATED, SETS, Raw, mean, observe, run


def brute_accuracy(raw: Raw) -> list[float]:
    return [float(raw.predicted(i) == raw.labels[i]) for i in raw.images()]


def brute_shifted_accuracy(raw: Raw) -> list[float]:
    return [mean([raw.predicted(i, d) == raw.labels[i] for d in raw.shifts(i)]) for i in raw.images()]


def brute_worst_case_accuracy(raw: Raw) -> list[float]:
    return [float(min(raw.predicted(i, d) == raw.labels[i] for d in raw.logits[i])) for i in raw.images()]


def brute_reference_consistency(raw: Raw) -> list[float]:
    return [mean([raw.predicted(i, d) == raw.predicted(i) for d in raw.shifts(i)]) for i in raw.images()]


def brute_pairwise_consistency(raw: Raw) -> list[float]:
    return [
        mean([raw.predicted(i, a) == raw.predicted(i, b) for a, b in itertools.permutations(raw.logits[i], 2)])
        for i in raw.images()
    ]


def brute_pairwise_consistency_replacement(raw: Raw) -> list[float]:
    return [
        mean([raw.predicted(i, a) == raw.predicted(i, b) for a, b in itertools.product(raw.logits[i], repeat=2)])
        for i in raw.images()
    ]


def brute_conditional_consistency(raw: Raw) -> list[float]:
    return [
        value if raw.predicted(i) == raw.labels[i] else math.nan
        for i, value in enumerate(brute_reference_consistency(raw))
    ]


def brute_fidelity(raw: Raw) -> list[float]:
    return [
        mean([raw.predicted(i) == raw.labels[i] == raw.predicted(i, d) for d in raw.shifts(i)]) for i in raw.images()
    ]


def brute_kappa(raw: Raw) -> float:
    pairs = [(raw.predicted(i), raw.predicted(i, d)) for i in raw.images() for d in raw.shifts(i)]
    observed = mean([a == b for a, b in pairs])
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[c] * second[c] for c in first) / len(pairs) ** 2
    return (observed - chance) / (1 - chance)


def brute_invariance_radius(raw: Raw) -> list[float] | None:
    values = []
    for i in raw.images():
        radii = sorted({max(abs(dy), abs(dx)) for dy, dx in raw.logits[i]})
        best = 0
        for r in radii:
            inside = [d for d in raw.logits[i] if max(map(abs, d)) <= r]
            if len({raw.predicted(i, d) for d in inside}) == 1:
                best = r
        values.append(float(best))
    return values


def brute_flip_probability(raw: Raw, directions: list[tuple[int, int]]) -> list[float]:
    return [
        mean(
            [
                raw.predicted(i, d) != raw.predicted(i, (d[0] + a, d[1] + b))
                for d in raw.logits[i]
                for a, b in directions
                if (d[0] + a, d[1] + b) in raw.logits[i]
            ]
        )
        for i in raw.images()
    ]


def brute_mac(raw: Raw) -> list[float]:
    values = []
    for i in raw.images():
        c = raw.predicted(i)
        unshifted = raw.probability(i, (0, 0), c)
        values.append(mean([abs(unshifted - raw.probability(i, d, c)) for d in raw.shifts(i)]))
    return values


def brute_probability_range(raw: Raw) -> list[float]:
    values = []
    for i in raw.images():
        probabilities = [raw.probability(i, d, raw.labels[i]) for d in raw.logits[i]]
        values.append(max(probabilities) - min(probabilities))
    return values


def brute_sensitivity(raw: Raw) -> list[float]:
    between = [
        math.dist(raw.logits[i][0, 0], raw.logits[j][0, 0])
        for i, j in itertools.combinations(raw.images(), 2)
        if raw.labels[i] != raw.labels[j]
    ]
    unit = statistics.median(between)
    return [
        mean([math.dist(raw.logits[i][d], raw.logits[i][0, 0]) for d in raw.shifts(i)]) / unit for i in raw.images()
    ]


def brute_feature_cosine(raw: Raw) -> list[float]:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        dot = sum(float(p) * float(q) for p, q in zip(a, b, strict=True))
        return dot / math.hypot(*map(float, a)) / math.hypot(*map(float, b))

    return [mean([cosine(raw.features[i][d], raw.features[i][0, 0]) for d in raw.shifts(i)]) for i in raw.images()]


def brute_normalized_variance(raw: Raw) -> float:
    over_shifts = over_images = 0.0
    shifts = list(raw.logits[0])
    for k in range(len(raw.logits[0][0, 0])):
        over_shifts += mean([statistics.pvariance([float(raw.logits[i][d][k]) for d in shifts]) for i in raw.images()])
        over_images += mean([statistics.pvariance([float(raw.logits[i][d][k]) for i in raw.images()]) for d in shifts])
    return over_shifts / over_images


PER_IMAGE = {
    "accuracy": brute_accuracy,
    "shifted_accuracy": brute_shifted_accuracy,
    "worst_case_accuracy": brute_worst_case_accuracy,
    "reference_consistency": brute_reference_consistency,
    "pairwise_consistency": brute_pairwise_consistency,
    "pairwise_consistency_replacement": brute_pairwise_consistency_replacement,
    "conditional_consistency": brute_conditional_consistency,
    "fidelity": brute_fidelity,
    "mac": brute_mac,
    "probability_range": brute_probability_range,
    "sensitivity": brute_sensitivity,
    "feature_cosine": brute_feature_cosine,
}


NEEDS_SHARED_SHIFTS = {
    "invariance_radius": brute_invariance_radius,
    "flip_probability": brute_flip_probability,
    "normalized_variance": brute_normalized_variance,
}


def test_brute_force_covers_the_registry() -> None:
    # test_phase_spectrum.py tests the last one.
    assert {*PER_IMAGE, *NEEDS_SHARED_SHIFTS, "kappa", "phase_spectrum"} == set(METRICS)


@pytest.mark.parametrize("shift_set", SETS)
@pytest.mark.parametrize("name", PER_IMAGE)
def test_per_image_values_match_brute_force(name: str, shift_set: str) -> None:
    raw, table = run(shift_set)
    summary = METRICS.load(name).summarize(table)
    expected = np.array(PER_IMAGE[name](raw))
    np.testing.assert_allclose(summary.per_image, expected, rtol=1e-10, atol=1e-12)
    counted = expected[~np.isnan(expected)]
    assert summary.value == pytest.approx(mean(counted.tolist()), rel=1e-10)
    assert summary.n == len(counted)
    assert summary.method


@pytest.mark.parametrize("shift_set", SETS)
@pytest.mark.parametrize("seed", range(5))
def test_kappa_matches_brute_force_and_sklearn(shift_set: str, seed: int) -> None:
    raw, table = run(shift_set, seed=seed)
    value = METRICS.load("kappa").summarize(table).value
    assert value == pytest.approx(brute_kappa(raw), abs=1e-12)
    unshifted = np.broadcast_to(table.reference_prediction[:, None], table.prediction.shape)
    assert value == pytest.approx(cohen_kappa_score(unshifted.ravel(), table.prediction.ravel()))


@pytest.mark.parametrize("shift_set", ENUMERATED)
def test_invariance_radius_matches_brute_force(shift_set: str) -> None:
    raw, table = run(shift_set, images=40)
    summary = METRICS.load("invariance_radius").summarize(table)
    np.testing.assert_array_equal(summary.per_image, brute_invariance_radius(raw))
    assert 0 < summary.value < table.radius.max()
    assert summary.ci95[0] < summary.value < summary.ci95[1] <= table.radius.max()


@pytest.mark.parametrize("shift_set", ENUMERATED)
def test_flip_probability_matches_brute_force(shift_set: str) -> None:
    raw, table = run(shift_set)
    step = raw.step
    directions = [(step, 0), (0, step)]
    if shift_set == "diagonal":
        directions = [(step, step), (step, -step)]
    expected = brute_flip_probability(raw, directions)
    np.testing.assert_allclose(METRICS.load("flip_probability").summarize(table).per_image, expected)


@pytest.mark.parametrize("shift_set", ENUMERATED)
@pytest.mark.parametrize("seed", range(3))
def test_normalized_variance_matches_brute_force(shift_set: str, seed: int) -> None:
    raw, table = run(shift_set, seed=seed)
    summary = METRICS.load("normalized_variance").summarize(table)
    assert summary.value == pytest.approx(brute_normalized_variance(raw), rel=1e-10)
    assert summary.ci95[0] < summary.value < summary.ci95[1]


def test_normalized_variance_of_float32_sums_and_large_logits() -> None:
    raw, table = run("grid", images=30)
    exact = METRICS.load("normalized_variance").summarize(table).value
    single = {
        name: getattr(table, name).astype(np.float32)
        for name in ("logit_change", "logit_square_change", "shift_logit_change")
    }
    far = replace(table, reference_logits=table.reference_logits + 1e4, **single)
    assert METRICS.load("normalized_variance").summarize(far).value == pytest.approx(exact, rel=1e-5)
    assert exact == pytest.approx(brute_normalized_variance(raw))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("invariance_radius", "random"),
        ("flip_probability", "path"),
        ("normalized_variance", "same shifts for every image"),
    ],
)
def test_metrics_that_random_shifts_do_not_support_have_a_reason(name: str, reason: str) -> None:
    _, table = run("random:5")
    summary = METRICS.load(name).summarize(table)
    assert (summary.value, summary.ci95, summary.per_image, summary.n) == (None, None, None, 0)
    assert reason in summary.reason


def test_flip_probability_needs_adjacent_shifts() -> None:
    _, table = run("grid")
    isolated = replace(table, neighbours=np.zeros((0, 2), dtype=np.int32))
    assert "one step apart" in METRICS.load("flip_probability").summarize(isolated).reason


def test_feature_cosine_needs_features() -> None:
    _, table = run("grid")
    summary = METRICS.load("feature_cosine").summarize(replace(table, cosine=None))
    assert summary.value is None
    assert "features" in summary.reason


def test_sensitivity_needs_two_classes_with_different_logits() -> None:
    _, table = run("grid")
    one = replace(table, labels=np.zeros_like(table.labels))
    assert "two classes" in METRICS.load("sensitivity").summarize(one).reason
    flat = replace(table, reference_logits=np.full_like(table.reference_logits, 0.1))
    assert "do not differ" in METRICS.load("sensitivity").summarize(flat).reason


def test_normalized_variance_needs_two_different_images() -> None:
    rng = np.random.default_rng(0)
    _, table = run("grid")
    logits = np.repeat(rng.normal(size=(1, len(table.shifts) + 1, 3)), 4, axis=0)
    metric = METRICS.load("normalized_variance")
    equal = observe(logits, np.zeros(4, dtype=int), table.shifts)
    assert "do not vary" in metric.summarize(equal).reason
    single = observe(logits[:1], np.zeros(1, dtype=int), table.shifts)
    assert "two images" in metric.summarize(single).reason


def test_conditional_consistency_needs_a_correct_image() -> None:
    _, table = run("grid")
    wrong = replace(table, labels=(table.reference_prediction + 1) % 4)
    summary = METRICS.load("conditional_consistency").summarize(wrong)
    assert (summary.value, summary.reason) == (None, "no image counts")


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("probability", "mac"),
        ("label_probability", "probability_range"),
        ("distance", "sensitivity"),
        ("cosine", "feature_cosine"),
    ],
)
def test_a_nan_in_the_observations_leaves_the_metric_without_a_value(field: str, name: str) -> None:
    _, table = run("grid")
    damaged = getattr(table, field).copy()
    damaged[3, 2] = np.nan
    summary = METRICS.load(name).summarize(replace(table, **{field: damaged}))
    assert summary.value is None
    assert summary.reason == "the values of 1 of 14 images are not finite"


def test_a_nan_in_the_sums_leaves_normalized_variance_without_a_value() -> None:
    _, table = run("grid")
    damaged = table.logit_change.copy()
    damaged[0, 0] = np.nan
    summary = METRICS.load("normalized_variance").summarize(replace(table, logit_change=damaged))
    assert summary.value is None
    assert "not finite" in summary.reason


def test_sensitivity_samples_large_data_sets_sorted_by_class() -> None:
    rng = np.random.default_rng(1)
    labels = np.sort(rng.integers(10, size=5 * MAX_SAMPLED_IMAGES))
    logits = rng.normal(size=(len(labels), 10)) + 5 * np.eye(10)[labels]
    sampled = interclass_distance(logits, labels)
    few = np.arange(0, len(labels), 7)
    assert sampled == interclass_distance(logits, labels)
    assert sampled == pytest.approx(interclass_distance(logits[few], labels[few]), rel=0.03)


def test_interclass_distance_of_coinciding_logits_is_exactly_zero() -> None:
    rng = np.random.default_rng(0)
    same, other = (1000 * rng.normal(size=(2, 300))).astype(np.float32)
    labels = np.arange(60)
    # 55·54 of 60·59 pairs coincide, so the median distance is 0; a rounding error must not count.
    zero = Unavailable("the logits of images of different classes do not differ")
    assert interclass_distance(np.stack([same] * 55 + [other] * 5), labels) == zero
    nearly = same * np.float32(1 + 1e-5)
    distance = interclass_distance(np.stack([same] * 30 + [nearly] * 30), np.repeat([0, 1], 30))
    assert distance == pytest.approx(math.dist(same, nearly), rel=1e-4)
