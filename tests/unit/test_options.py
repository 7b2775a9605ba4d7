"""Options of specs."""

import pytest

from cnnshift.models.base import describe_options, parse_model
from cnnshift.options import parse_options
from cnnshift.spec import ModelSpec


@pytest.mark.parametrize("name", ["mlp", "cnn:pool=blur", "cnn:pool=aps"])
def test_every_described_option_accepts_its_default(name):
    family, options = parse_model(ModelSpec.parse(name))
    lines = describe_options(options)
    assert all(line.allowed for line in lines)
    raw = {line.key: line.default for line in lines} | ModelSpec.parse(name).options
    assert parse_options(family.options_type, name, raw) == options
