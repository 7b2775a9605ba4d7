"""The suites of the package: every name exists, and no model is listed twice."""

import numpy as np
import pytest

from cnnshift.catalog import DATASETS, DOWNSAMPLERS, MODELS, PROTOCOLS
from cnnshift.config import load_suite, suite_names
from cnnshift.data.split import Split
from cnnshift.models.base import parse_model
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.train.augment import parse_augment
from cnnshift.train.load_or_train import RECIPE_KEYS

SPLIT = Split(np.zeros((1, 32, 32, 1), np.uint8), np.zeros(1, np.int32), ("one",), (0.0,))


def parse(model):
    """Return the canonical spec of the architecture, and the recipe."""
    spec = ModelSpec.parse(model)
    recipe = {key: value for key, value in spec.options.items() if key in RECIPE_KEYS}
    _, options = parse_model(
        ModelSpec(spec.name, {key: spec.options[key] for key in spec.options.keys() - recipe.keys()})
    )
    parse_augment(recipe.get("augment", "none"), SPLIT)
    return spec.name, options.model_dump_json(), tuple(sorted(recipe.items()))


def options_of(suite, key):
    return {ModelSpec.parse(model).options.get(key) for model in load_suite(suite)["models"]}


@pytest.mark.parametrize("name", suite_names())
def test_names_of_a_suite_exist(name):
    suite = load_suite(name)
    models = [parse(model) for model in suite["models"]]
    assert len(set(models)) == len(models)
    assert set(suite.get("protocols", ())) <= set(PROTOCOLS)
    assert DatasetSpec.parse(suite.get("dataset", "mnist5k")).name in DATASETS


def test_the_padding_suite_has_every_padding_with_both_heads():
    _, options = parse_model(ModelSpec("cnn"))
    paddings = options.model_json_schema()["properties"]["padding"]["enum"]
    pairs = [(o["padding"], o["head"]) for o in (ModelSpec.parse(m).options for m in load_suite("padding")["models"])]
    assert sorted(pairs) == sorted((padding, head) for padding in paddings for head in ("flatten", "gap"))


def test_the_pooling_suite_has_every_pool():
    assert options_of("pooling", "pool") == set(DOWNSAMPLERS)


def test_the_zoo_suite_has_every_family():
    assert {ModelSpec.parse(model).name for model in load_suite("zoo")["models"]} == set(MODELS)
