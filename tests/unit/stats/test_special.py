"""Quantiles against scipy's, and against scipy's distribution functions where its quantiles are less exact."""

import doctest
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import special as reference

from cnnshift.stats import special

SHAPES = np.array([0.5, 0.51, 0.7, 1.0, 1.01, 1.5, 2.0, 3.7, 10.0, 31.5, 100.0, 999.5, 1e4, 1e5])
TAILS = np.array([1e-30, 1e-20, 1e-12, 1e-8, 1e-4, 0.001, 0.025, 0.1, 0.3, 0.45, 0.49, 0.5])
A, B, P = (grid.ravel() for grid in np.meshgrid(SHAPES, SHAPES, TAILS))
G, Q = (grid.ravel() for grid in np.meshgrid(SHAPES, TAILS))


def relative(got, expected):
    return np.abs(got / expected - 1).max()


@pytest.mark.parametrize("upper", [False, True])
def test_beta_quantiles_have_the_probability_that_is_asked_for(upper):
    """Quantiles of scipy are off by as much as 1e-8; its distribution functions are not."""
    x, rest = special.beta_quantile(A, B, P, upper=upper), special.beta_quantile(B, A, P, upper=not upper)
    below, above = (reference.betaincc, reference.betainc) if upper else (reference.betainc, reference.betaincc)
    # Of x and 1 − x, the smaller is rounded relative to itself; below 1e-290 its powers underflow.
    near, far = ((v <= 0.5) & (v > 1e-290) for v in (x, rest))
    assert (near | far | (np.minimum(x, rest) <= 1e-290)).all()
    assert relative(below(A[near], B[near], x[near]), P[near]) < 2e-11
    assert relative(above(B[far], A[far], rest[far]), P[far]) < 2e-11


@pytest.mark.parametrize("upper", [False, True])
def test_gamma_quantiles_are_scipys(upper):
    expected = (reference.gammainccinv if upper else reference.gammaincinv)(G, Q)
    assert relative(special.gamma_quantile(G, Q, upper=upper), expected) < 1e-11


def test_large_gamma_quantiles_have_the_probability_that_is_asked_for():
    """Those of scipy are off by 1e-9 at a shape of a million: compared with the density's integral."""
    shape = 1e6
    for p in (1e-9, 0.025):
        x = float(special.gamma_quantile(shape, p))
        t = np.linspace(x - 14e3, x, 200_001)
        log_density = (shape - 1) * np.log(t / shape) - (t - shape) - math.log(shape) / 2 - math.log(2 * math.pi) / 2
        density = np.exp(log_density - 1 / (12 * shape))
        # Simpson's rule
        area = (density[0] + density[-1] + 4 * density[1:-1:2].sum() + 2 * density[2:-1:2].sum()) * (t[1] - t[0]) / 3
        assert area == pytest.approx(p, rel=1e-9)


def test_student_quantiles_are_scipys():
    degrees, p = (grid.ravel() for grid in np.meshgrid([1, 2, 3, 4.5, 9, 29, 100, 999, 1e4, 1e5], TAILS))
    t = special.student_quantile(degrees, p)
    assert relative(t[p < 0.5], reference.stdtrit(degrees, p)[p < 0.5]) < 5e-12
    assert not t[p == 0.5].any()
    shallow = p > 1e-4
    assert relative(special.student_quantile(degrees, 1 - p)[shallow & (p < 0.5)], -t[shallow & (p < 0.5)]) < 1e-11


def test_closed_forms():
    p = np.concatenate([TAILS, 1 - TAILS[3:]])
    assert relative(special.beta_quantile(1, 7, p), -np.expm1(np.log1p(-p) / 7)) < 1e-13
    assert relative(special.beta_quantile(7, 1, p), p ** (1 / 7)) < 1e-13
    assert relative(special.beta_quantile(0.5, 0.5, p), np.sin(np.pi * p / 2) ** 2) < 1e-12
    assert relative(special.gamma_quantile(1, p), -np.log1p(-p)) < 1e-13
    assert relative(special.gamma_quantile(1, p, upper=True)[:-1], -np.log(p)[:-1]) < 1e-12
    assert relative(special.student_quantile(1, TAILS[:-1]), -1 / np.tan(np.pi * TAILS[:-1])) < 1e-13


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.5, 1e5), (1, 1), (3, 998), (480, 521), (1e5, 2.5)])
def test_beta_quantiles_rise_and_mirror(a, b):
    p = np.linspace(0.001, 0.999, 999)
    x = special.beta_quantile(a, b, p)
    assert (np.diff(x) > 0).all()
    assert np.abs(x + special.beta_quantile(b, a, p, upper=True) - 1).max() < 1e-15
    assert relative(special.beta_quantile(a, b, 1 - p, upper=True), x) < 1e-11


@pytest.mark.parametrize("shape", [0.5, 1, 2.5, 40, 1e5])
def test_gamma_quantiles_rise(shape):
    x = special.gamma_quantile(shape, np.linspace(0.001, 0.999, 999))
    assert (np.diff(x) > 0).all()
    assert relative(reference.gammainc(shape, x), np.linspace(0.001, 0.999, 999)) < 1e-10


def test_every_entry_has_its_own_tail():
    upper = np.array([[False], [True]])
    both = special.beta_quantile(np.array([2.0, 300.0]), 5.0, 0.025, upper=upper)
    assert both.shape == (2, 2)
    for row, above in zip(both, (False, True), strict=True):
        expected = [float(special.beta_quantile(a, 5, 0.025, upper=above)) for a in (2, 300)]
        assert row.tolist() == pytest.approx(expected, rel=1e-15)
    assert special.beta_quantile(np.empty(0), 1, 0.5).shape == (0,)


def test_ends():
    p = np.array([0.0, 1.0, -0.1, 1.1, math.nan])
    expected = {
        "beta": [0, 1, math.nan, math.nan, math.nan],
        "gamma": [0, math.inf, math.nan, math.nan, math.nan],
        "real": [-math.inf, math.inf, math.nan, math.nan, math.nan],
    }
    np.testing.assert_equal(special.beta_quantile(2, 3, p), expected["beta"])
    np.testing.assert_equal(special.beta_quantile(2, 3, p, upper=True)[:2], [1, 0])
    np.testing.assert_equal(special.gamma_quantile(2, p), expected["gamma"])
    np.testing.assert_equal(special.gamma_quantile(2, p, upper=True)[:2], [math.inf, 0])
    np.testing.assert_equal(special.student_quantile(2, p), expected["real"])
    np.testing.assert_equal(special.normal_quantile(p), expected["real"])
    np.testing.assert_equal(special.normal_cdf(np.array([-math.inf, math.inf, math.nan])), [0, 1, math.nan])


@pytest.mark.parametrize("shapes", [(0.4, 1.0), (1.0, 0.0), (math.nan, 1.0)])
def test_shapes_below_a_half_are_refused(shapes):
    with pytest.raises(ValueError, match=r"at least 0\.5"):
        special.beta_quantile(*shapes, 0.5)


def test_the_normal_distribution_is_scipys():
    x = np.linspace(-37, 8, 451)
    assert relative(special.normal_cdf(x), reference.ndtr(x)) < 1e-13
    p = np.concatenate([TAILS[:-1], 1 - TAILS[2:-1], [1e-300]])
    assert relative(special.normal_quantile(p), reference.ndtri(p)) < 1e-14
    assert special.normal_quantile(0.5) == 0
    assert special.normal_cdf(x.reshape(41, 11)).shape == (41, 11)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 61, 1000])
def test_the_binomial_tail_is_the_sum_of_its_terms(n):
    for k in {0, 1, n // 10, n // 3, n // 2}:
        if k <= n / 2:
            exact = float(Fraction(sum(math.comb(n, j) for j in range(k + 1)), 2**n))
            assert special.binomial_tail(k, n) == pytest.approx(exact, rel=1e-14)


def test_the_ends_of_the_binomial_tail():
    assert special.binomial_tail(0, 0) == 1
    assert special.binomial_tail(-1, 3) == 0
    assert special.binomial_tail(0, 3000) == 0
    assert special.binomial_tail(49_000, 100_000) == pytest.approx(reference.bdtr(49_000, 100_000, 0.5), rel=1e-9)
    with pytest.raises(ValueError, match="at most half"):
        special.binomial_tail(3, 5)


def test_examples_of_the_documentation():
    assert doctest.testmod(special).attempted == doctest.testmod(special).failed == 0
