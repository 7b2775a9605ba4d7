"""What holds for every metric of the registry."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import numpy as np
import pytest

from cnnshift.catalog import METRICS
from cnnshift.errors import InputError
from cnnshift.metrics import evaluate
from cnnshift.metrics.base import Metric, MetricSpec
from cnnshift.metrics.profiles import profile_by_radius
from cnnshift.observations import Observations
from tests.simulated_observations import run


def test_evaluate_keeps_the_order_and_rejects_unknown_names() -> None:
    _, table = run("grid")
    assert list(evaluate(table, ["mac", "accuracy"])) == ["mac", "accuracy"]
    with pytest.raises(InputError, match="fidelity"):
        evaluate(table, ["fidelty"])


def test_metrics_do_not_change_the_observations() -> None:
    _, table = run("grid")
    before = {name: np.copy(getattr(table, name)) for name in Observations.__slots__}
    evaluate(table, METRICS)
    profile_by_radius(table)
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
    for name in ("shift_groups", "radii", "sensitivity"):
        module = importlib.import_module(f"cnnshift.metrics.{name}")
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed


def test_metrics_import_no_jax() -> None:
    code = (
        "import sys\n"
        "from cnnshift.catalog import METRICS\n"
        "import cnnshift.metrics.profiles\n"
        "for name in METRICS: METRICS.load(name)\n"
        "heavy = {'jax', 'flax', 'optax', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
