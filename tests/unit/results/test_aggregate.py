"""Means of metrics over seeds."""

import numpy as np
import pytest

from cnnshift.results.aggregate import group_by_contract, seed_mean
from tests.bench_results import metric, result, run


def test_seeds_are_averaged_by_image():
    group = group_by_contract(result(run(seed=0), run(seed=1)))[0]
    (row,) = group.models
    mean = seed_mean(row.runs, "accuracy")
    assert mean.value == pytest.approx(0.625)
    assert mean.seed_sd == pytest.approx(np.std([0.75, 0.5], ddof=1))
    assert mean.ci95[0] < 0.625 < mean.ci95[1]
    assert seed_mean(row.runs, "shifted_accuracy").ci95 is None
    assert seed_mean(row.runs, "feature_cosine") is None


def test_seeds_have_equal_weights_for_any_number_of_counted_images():
    nan = float("nan")
    one, other = run(seed=0), run(seed=1)
    partial = [
        run.model_copy(update={"metrics": [metric("partial", float(np.nanmean(values)), per_image=values)]})
        for run, values in ((one, [1.0, 0.5, nan, nan]), (other, [0.0, nan, 0.25, nan]))
    ]
    mean = seed_mean(partial, "partial")
    # As in `compare`.
    assert mean.value == pytest.approx(np.mean([0.75, 0.125]))
    assert mean.n == 3
    assert mean.ci95[0] <= mean.value <= mean.ci95[1]
