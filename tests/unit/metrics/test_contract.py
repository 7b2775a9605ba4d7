"""Properties that every registered metric must have."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cnnshift.catalog import METRICS
from cnnshift.errors import InputError
from cnnshift.metrics.base import Metric, MetricSpec
from cnnshift.metrics.profiles import profile_by_radius
from cnnshift.observations import Observations
from tests.simulated_observations import evaluate, run


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="fidelity"):
        METRICS.load("fidelty")


def test_metrics_do_not_change_the_observations() -> None:
    _, table = run("grid")
    before = {name: np.copy(getattr(table, name)) for name in Observations.__slots__}
    evaluate(table, METRICS)
    profile_by_radius(table, 1.0)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(table, name), value)


@pytest.mark.parametrize("name", METRICS)
def test_spec(name: str) -> None:
    metric = METRICS.load(name)
    assert isinstance(metric, Metric)
    spec: MetricSpec = metric.spec
    assert spec.id == name
    assert spec.title == spec.title.strip().lower()
    assert len(spec.title) <= 30
    assert spec.formula == " ".join(spec.formula.split())
    assert re.search(r"ŷ|P_|[fφ]\(|f_k|p_o", spec.formula)
    assert spec.version >= 1
    assert spec.default_margin > 0
    assert spec.unit in ("fraction", "px", "")
    assert spec.unit != "fraction" or spec.bounds in ((0.0, 1.0), (-1.0, 1.0))


@pytest.mark.parametrize("name", METRICS)
def test_reference_names_the_publications_of_the_catalog(name: str) -> None:
    full, short = METRICS.load(name).spec.reference, METRICS[name].reference
    assert bool(full) == bool(short)
    assert all(publication in full for publication in short.split("; "))
    assert all(re.search(r"\b(19|20)\d\d\b", publication) for publication in short.split("; ") if publication)


@pytest.mark.parametrize("name", METRICS)
def test_per_image_values_keep_the_spec(name: str) -> None:
    _, table = run("grid")
    table = replace(table, stride=2)
    spec, summary = METRICS.load(name).spec, METRICS.load(name).summarize(table)
    assert summary.value is not None
    assert summary.method
    if summary.per_image is None:
        assert name in ("kappa", "normalized_variance")
        return
    low, high = spec.bounds or (0.0, np.inf)
    counted = summary.per_image[~np.isnan(summary.per_image)]
    assert summary.per_image.shape == table.labels.shape
    assert ((low <= counted) & (counted <= high)).all()
    assert spec.partial or len(counted) == len(table.labels)


def test_titles_are_unique() -> None:
    titles = [METRICS.load(name).spec.title for name in METRICS]
    assert len(set(titles)) == len(titles)


def test_docstring_examples() -> None:
    for name in ("shift_groups", "sensitivity"):
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
        "heavy = {'jax', 'flax', 'optax', 'scipy', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
