"""Plan a benchmark."""

import pytest

from cnnshift.bench.plan import make_plan
from cnnshift.config import make_config
from cnnshift.errors import InputError


def test_warning_about_a_limit_above_the_data(caplog):
    plan = make_plan(make_config(models=["mlp:epochs=0"], dataset="shapes", limit=10**6))
    assert f"has {len(plan.test)} test images; using all" in caplog.text


def test_cells_are_models_then_seeds_then_protocols():
    config = make_config(
        models=["mlp:epochs=0", "mlp:width=2,epochs=0,seed=5"], protocols=["circular", "zero"], seed=3, seeds=2, limit=2
    )
    assert [(cell.model.name, cell.seed, cell.shift_plan.record.name) for cell in make_plan(config).cells()] == [
        ("mlp:epochs=0", 3, "circular"),
        ("mlp:epochs=0", 3, "zero"),
        ("mlp:epochs=0", 4, "circular"),
        ("mlp:epochs=0", 4, "zero"),
        ("mlp:width=2,epochs=0,seed=5", 5, "circular"),
        ("mlp:width=2,epochs=0,seed=5", 5, "zero"),
    ]


def test_model_that_is_listed_twice():
    with pytest.raises(InputError, match=r"The model 'cnn:pool=max' is listed twice \(as cnn\)"):
        make_plan(make_config(models=["cnn", "cnn:pool=max"], limit=2))
