"""Every metric against loops over the raw logits of a small model, one shift at a time."""

from __future__ import annotations

import doctest
import importlib
import itertools
import math
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from cnnshift.errors import InputError
from cnnshift.metrics import evaluate
from cnnshift.metrics.base import Metric, MetricSpec, Unavailable
from cnnshift.metrics.curves import by_radius, by_shift
from cnnshift.metrics.sensitivity import LARGEST_SAMPLE, interclass_distance, interclass_normaliser
from cnnshift.observations import Observations
from cnnshift.registry import METRICS
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.stats.intervals import mean_interval

SIZE = 8
SETS = ["grid", "coarse", "thirds", "axis", "diagonal", "random:5"]
ENUMERATED = SETS[:-1]


@dataclass(frozen=True)
class Raw:
    """A model's outputs: `logits[i][d]` for every shift d of image i, (0, 0) included."""

    labels: list[int]
    logits: list[dict[tuple[int, int], np.ndarray]]
    features: list[dict[tuple[int, int], np.ndarray]]
    step: int | Fraction

    def shifts(self, i: int) -> list[tuple[int, int]]:
        return [d for d in self.logits[i] if d != (0, 0)]

    def predicted(self, i: int, d: tuple[int, int] = (0, 0)) -> int:
        return int(np.argmax(self.logits[i][d]))

    def probability(self, i: int, d: tuple[int, int], c: int) -> float:
        exponentials = [math.exp(float(f)) for f in self.logits[i][d]]
        return exponentials[c] / sum(exponentials)

    def images(self) -> range:
        return range(len(self.labels))


def observe(
    logits: np.ndarray,
    labels: np.ndarray,
    shifts: np.ndarray,
    neighbours: np.ndarray | None = None,
    features: np.ndarray | None = None,
) -> Observations:
    """The table that a sweep makes of logits [n m k], whose row 0 is the unshifted image."""
    n = len(logits)
    rows = np.arange(n)
    exponentials = np.exp(logits - logits.max(axis=2, keepdims=True))
    probability = exponentials / exponentials.sum(axis=2, keepdims=True)
    predicted = logits.argmax(axis=2)
    of_class = probability[rows, :, predicted[:, 0]]
    of_label = probability[rows, :, labels]
    change = logits[:, 1:] - logits[:, :1]
    cosine = None
    if features is not None:
        unit = features / np.linalg.norm(features, axis=2, keepdims=True)
        cosine = (unit[:, 1:] * unit[:, :1]).sum(axis=2)
    return Observations(
        shifts=shifts,
        neighbours=neighbours,
        labels=labels,
        reference_prediction=predicted[:, 0],
        reference_probability=of_class[:, 0],
        reference_label_probability=of_label[:, 0],
        reference_logits=logits[:, 0],
        prediction=predicted[:, 1:],
        probability=of_class[:, 1:],
        label_probability=of_label[:, 1:],
        distance=np.sqrt((change**2).sum(axis=2)),
        cosine=cosine,
        logit_change=change.mean(axis=1),
        logit_square_change=(change**2).mean(axis=1),
        shift_logit_change=change.mean(axis=0),
    )


def run(shift_set: str, *, images: int = 14, classes: int = 4, seed: int = 0) -> tuple[Raw, Observations]:
    """A random two-layer network over random images, rolled by one pixel for every unit of a shift."""
    rng = np.random.default_rng(seed)
    name, step = {"coarse": ("grid", 2), "thirds": ("grid", Fraction(1, 3))}.get(shift_set, (shift_set, 1))
    chosen = enumerate_shifts(
        name, max_shift=2 * step, step=step, size=(SIZE, SIZE), wraps=False, images=images, fractional=True
    )
    pixels = rng.normal(size=(images, SIZE, SIZE))
    pixels += 2 * np.add.outer(rng.normal(size=images), np.zeros((SIZE, SIZE)))
    first = rng.normal(size=(SIZE * SIZE, 6)) / SIZE + 0.1
    second = rng.normal(size=(6, classes))
    labels = rng.integers(classes, size=images)
    logits, features = [], []
    for i in range(images):
        of_image = chosen.units if chosen.units.ndim == 2 else chosen.units[i]
        logits.append({})
        features.append({})
        for units in [(0, 0), *((int(a), int(b)) for a, b in of_image)]:
            seen = np.tanh(np.roll(pixels[i], units, axis=(0, 1)).ravel() @ first)
            dy, dx = (Fraction(unit, chosen.parts) for unit in units)
            features[-1][dy, dx] = seen
            logits[-1][dy, dx] = 2 * seen @ second
    raw = Raw([int(y) for y in labels], logits, features, step)
    table = observe(
        np.array([list(row.values()) for row in logits]),
        labels,
        chosen.shifts,
        chosen.neighbours,
        np.array([list(row.values()) for row in features]),
    )
    return raw, table


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


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
        still = raw.probability(i, (0, 0), c)
        values.append(mean([abs(still - raw.probability(i, d, c)) for d in raw.shifts(i)]))
    return values


def brute_probability_range(raw: Raw) -> list[float]:
    values = []
    for i in raw.images():
        seen = [raw.probability(i, d, raw.labels[i]) for d in raw.logits[i]]
        values.append(max(seen) - min(seen))
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
NEEDS_A_MAP = {
    "invariance_radius": brute_invariance_radius,
    "flip_probability": brute_flip_probability,
    "normalized_variance": brute_normalized_variance,
}


def test_brute_force_covers_the_registry() -> None:
    # The last one has a file of its own, test_phase_spectrum.py.
    assert {*PER_IMAGE, *NEEDS_A_MAP, "kappa", "phase_spectrum"} == set(METRICS)


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


def test_normalized_variance_survives_float32_sums_and_large_logits() -> None:
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
def test_random_shifts_leave_metrics_without_a_value_and_say_why(name: str, reason: str) -> None:
    _, table = run("random:5")
    summary = METRICS.load(name).summarize(table)
    assert (summary.value, summary.ci95, summary.per_image, summary.n) == (None, None, None, 0)
    assert reason in summary.reason


def test_no_neighbours_is_a_reason() -> None:
    _, table = run("grid")
    lonely = replace(table, neighbours=np.zeros((0, 2), dtype=np.int32))
    assert "one step apart" in METRICS.load("flip_probability").summarize(lonely).reason


def test_a_black_box_has_no_feature_cosine() -> None:
    _, table = run("grid")
    summary = METRICS.load("feature_cosine").summarize(replace(table, cosine=None))
    assert summary.value is None
    assert "features" in summary.reason


def test_one_class_or_equal_logits_have_no_sensitivity() -> None:
    _, table = run("grid")
    one = replace(table, labels=np.zeros_like(table.labels))
    assert "two classes" in METRICS.load("sensitivity").summarize(one).reason
    flat = replace(table, reference_logits=np.full_like(table.reference_logits, 0.1))
    assert "do not differ" in METRICS.load("sensitivity").summarize(flat).reason


def test_equal_images_or_a_single_one_have_no_normalized_variance() -> None:
    rng = np.random.default_rng(0)
    _, table = run("grid")
    logits = np.repeat(rng.normal(size=(1, len(table.shifts) + 1, 3)), 4, axis=0)
    metric = METRICS.load("normalized_variance")
    equal = observe(logits, np.zeros(4, dtype=int), table.shifts)
    assert "do not vary" in metric.summarize(equal).reason
    single = observe(logits[:1], np.zeros(1, dtype=int), table.shifts)
    assert "two images" in metric.summarize(single).reason


def test_no_correct_image_leaves_conditional_consistency_without_a_value() -> None:
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
def test_what_is_not_a_number_surfaces(field: str, name: str) -> None:
    _, table = run("grid")
    damaged = getattr(table, field).copy()
    damaged[3, 2] = np.nan
    summary = METRICS.load(name).summarize(replace(table, **{field: damaged}))
    assert summary.value is None
    assert summary.reason == "not a finite number for 1 of 14 images"


def test_normalized_variance_of_what_is_not_a_number_surfaces() -> None:
    _, table = run("grid")
    damaged = table.logit_change.copy()
    damaged[0, 0] = np.nan
    summary = METRICS.load("normalized_variance").summarize(replace(table, logit_change=damaged))
    assert summary.value is None
    assert "not a finite number" in summary.reason


def test_sensitivity_samples_large_data_sets_sorted_by_class() -> None:
    rng = np.random.default_rng(1)
    labels = np.sort(rng.integers(10, size=5 * LARGEST_SAMPLE))
    logits = rng.normal(size=(len(labels), 10)) + 5 * np.eye(10)[labels]
    sampled = interclass_distance(logits, labels)
    few = np.arange(0, len(labels), 7)
    assert sampled == interclass_distance(logits, labels)
    assert sampled == pytest.approx(interclass_distance(logits[few], labels[few]), rel=0.03)


def test_interclass_distance_of_coinciding_logits_is_exactly_zero() -> None:
    rng = np.random.default_rng(0)
    same, other = (1000 * rng.normal(size=(2, 300))).astype(np.float32)
    labels = np.arange(60)
    # 55·54 of 60·59 pairs coincide: the median is theirs, and a rounding error of it is no distance.
    assert interclass_distance(np.stack([same] * 55 + [other] * 5), labels) == 0
    nearly = same * np.float32(1 + 1e-5)
    apart = interclass_distance(np.stack([same] * 30 + [nearly] * 30), np.repeat([0, 1], 30))
    assert apart == pytest.approx(math.dist(same, nearly), rel=1e-4)


@pytest.mark.parametrize("shift_set", ENUMERATED)
def test_by_shift_matches_brute_force(shift_set: str) -> None:
    raw, table = run(shift_set)
    rows = by_shift(table)
    assert not isinstance(rows, Unavailable)
    assert len(rows.dy) == len(raw.shifts(0))
    for row, d in enumerate(raw.shifts(0)):
        everywhere = raw.images()
        assert (rows.dy[row], rows.dx[row]) == tuple(map(float, d))
        assert rows.accuracy[row] == mean([raw.predicted(i, d) == raw.labels[i] for i in everywhere])
        assert rows.consistency[row] == mean([raw.predicted(i, d) == raw.predicted(i) for i in everywhere])
        assert rows.distance[row] == pytest.approx(
            mean([math.dist(raw.logits[i][d], raw.logits[i][0, 0]) for i in everywhere])
        )


def test_by_shift_says_why_random_shifts_have_no_map() -> None:
    assert by_shift(run("random:5")[1]) == Unavailable("needs the same shifts for every image")


@pytest.mark.parametrize("shift_set", [*SETS, "random:1"])
def test_by_radius_matches_brute_force(shift_set: str) -> None:
    raw, table = run(shift_set)
    rows = by_radius(table)

    def at(i: int, r: int) -> list[tuple[int, int]]:
        return [d for d in raw.shifts(i) if max(map(abs, d)) == r]

    radii = sorted({max(map(abs, d)) for i in raw.images() for d in raw.shifts(i)})
    assert rows.radius.tolist() == list(map(float, radii))
    for row, r in enumerate(radii):
        has = [i for i in raw.images() if at(i, r)]
        inside = {i: [d for d in raw.logits[i] if max(map(abs, d)) <= r] for i in raw.images()}
        correct = [mean([raw.predicted(i, d) == raw.labels[i] for d in at(i, r)]) for i in has]
        stays = [mean([raw.predicted(i, d) == raw.predicted(i) for d in at(i, r)]) for i in has]
        assert rows.images[row] == len(has)
        assert rows.pairs[row] == sum(len(at(i, r)) for i in has)
        assert rows.accuracy[row] == pytest.approx(mean(correct))
        assert rows.consistency[row] == pytest.approx(mean(stays))
        assert rows.consistency_low[row] <= rows.consistency[row] <= rows.consistency_high[row]
        assert rows.worst_case_accuracy[row] == pytest.approx(
            mean([all(raw.predicted(i, d) == raw.labels[i] for d in inside[i]) for i in raw.images()])
        )
        survives = [all(raw.predicted(i, d) == raw.predicted(i) for d in inside[i]) for i in raw.images()]
        assert rows.survival[row] == pytest.approx(mean(survives))
        limits = mean_interval(np.array(survives, dtype=float))
        assert (rows.survival_low[row], rows.survival_high[row]) == (limits.low, limits.high)
        distances = [mean([math.dist(raw.logits[i][d], raw.logits[i][0, 0]) for d in at(i, r)]) for i in has]
        assert rows.distance[row] == pytest.approx(mean(distances))


@pytest.mark.parametrize("shift_set", ENUMERATED)
def test_the_last_radius_agrees_with_the_metrics(shift_set: str) -> None:
    _, table = run(shift_set)
    rows = by_radius(table)
    values = evaluate(table, ["worst_case_accuracy", "invariance_radius", "reference_consistency", "sensitivity"])
    assert rows.worst_case_accuracy[-1] == pytest.approx(values["worst_case_accuracy"].value)
    steps = np.diff(rows.radius, prepend=0)
    assert values["invariance_radius"].value == pytest.approx((rows.survival * steps).sum())
    weighted = (rows.consistency * rows.pairs).sum() / rows.pairs.sum()
    assert values["reference_consistency"].value == pytest.approx(weighted)
    normaliser = interclass_normaliser(table)
    assert not isinstance(normaliser, Unavailable)
    weighted = (rows.distance * rows.pairs).sum() / rows.pairs.sum()
    assert values["sensitivity"].value == pytest.approx(weighted / normaliser)


def test_evaluate_keeps_the_order_and_rejects_unknown_names() -> None:
    _, table = run("grid")
    assert list(evaluate(table, ["mac", "accuracy"])) == ["mac", "accuracy"]
    with pytest.raises(InputError, match="fidelity"):
        evaluate(table, ["fidelty"])


def test_metrics_do_not_change_the_observations() -> None:
    _, table = run("grid")
    before = {name: np.copy(getattr(table, name)) for name in Observations.__slots__}
    evaluate(table, METRICS)
    by_radius(table)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(table, name), value)


@pytest.mark.parametrize("name", METRICS)
def test_contract(name: str) -> None:
    metric = METRICS.load(name)
    assert isinstance(metric, Metric)
    spec: MetricSpec = metric.spec
    assert spec.id == name
    assert METRICS[name].reference in spec.reference
    assert bool(METRICS[name].reference) == bool(spec.reference)
    assert spec.title == spec.title.strip().lower()
    assert len(spec.title) <= 30
    assert spec.version >= 1
    assert spec.default_margin > 0
    assert spec.unit in ("fraction", "px", "")
    assert spec.unit != "fraction" or spec.bounds in ((0.0, 1.0), (-1.0, 1.0))
    assert metric.evaluate.__doc__
    assert "per image" in metric.evaluate.__doc__ or spec.bounds != (0.0, 1.0)


def test_titles_are_unique() -> None:
    titles = [METRICS.load(name).spec.title for name in METRICS]
    assert len(set(titles)) == len(titles)


def test_examples_in_docstrings() -> None:
    for name in ("class_counts", "groups", "rings", "sensitivity"):
        module = importlib.import_module(f"cnnshift.metrics.{name}")
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed


def test_metrics_import_no_jax() -> None:
    code = (
        "import sys\n"
        "from cnnshift.registry import METRICS\n"
        "import cnnshift.metrics.curves\n"
        "for name in METRICS: METRICS.load(name)\n"
        "heavy = {'jax', 'flax', 'optax', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
