"""Settings: the precedence of their sources, and messages about invalid ones."""

from fractions import Fraction

import pytest

from cnnshift.config import (
    DEFAULTS,
    as_dict,
    load_suite,
    make_config,
    resolve_config,
    suite_names,
    suite_summary,
)
from cnnshift.errors import InputError


@pytest.fixture
def resolve_here(tmp_path):
    def run(flags=None, *, project="", config=None, environ=None, suite=None):
        pyproject = tmp_path / "pyproject.toml"
        pyproject.write_text(project)
        file = None
        if config is not None:
            file = tmp_path / "settings.toml"
            file.write_text(config)
        return resolve_config(flags or {}, suite=suite, config_file=file, environ=environ or {}, project=pyproject)

    return run


def test_precedence_of_the_sources(resolve_here):
    sources = {
        "suite": "smoke",
        "project": "[tool.cnnshift]\nshifts = 'axis'\nstep = 2\nseed = 1\nmodels = ['mlp']\n"
        "[tool.cnnshift.gates]\nfail_if = []",
        "config": "max_shift = 5\nshifts = 'full'\nstep = 3",
        "environ": {"CNNSHIFT_MAX_SHIFT": "6", "CNNSHIFT_SHIFTS": "diagonal", "CNNSHIFT_CACHE_DIR": "elsewhere"},
    }
    found = resolve_here({"limit": "7", "epochs": None}, **sources)
    settings, suite = found.config, load_suite("smoke")
    assert (settings.limit, settings.max_shift, settings.shifts, settings.step, settings.seed) == (
        7,
        suite["max_shift"],
        "diagonal",
        3,
        1,
    )
    assert settings.models == tuple(suite["models"])
    assert settings.dataset == DEFAULTS.dataset
    assert found.origins["limit"] == "flag"
    assert found.origins["max_shift"] == found.origins["models"] == "suite smoke"
    assert found.origins["shifts"] == "environment"
    assert found.origins["step"].endswith("settings.toml")
    assert found.origins["seed"].endswith("pyproject.toml")
    assert found.origins["dataset"] == "default"


def test_the_standard_suite_is_the_default_without_models(resolve_here):
    assert resolve_here().origins["models"] == "suite standard"
    named = resolve_here({"models": ["cnn"]})
    assert named.config.models == ("cnn",)
    assert named.config.limit is None


def test_lists_in_the_environment_are_separated_by_spaces(resolve_here):
    found = resolve_here(environ={"CNNSHIFT_MODELS": "mlp cnn:pool=aps,padding=circular"})
    assert found.config.models == ("mlp", "cnn:pool=aps,padding=circular")


def test_message_lists_all_unknown_keys_with_suggestions(resolve_here):
    with pytest.raises(InputError) as caught:
        resolve_here(environ={"CNNSHIFT_MAXSHIFT": "3"}, config="protocol = ['zero']")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "'maxshift'" in lines[0]
    assert "Did you mean 'max_shift'?" in lines[0]
    assert "'protocol'" in lines[1]
    assert "Did you mean 'protocols'?" in lines[1]


def test_message_lists_all_invalid_values_with_their_origin(resolve_here):
    with pytest.raises(InputError) as caught:
        resolve_here({"max_shift": "0", "step": "0.3333"}, config="limit = 0")
    text = str(caught.value)
    assert "--max-shift is '0'; allowed: pixels above 0" in text
    assert "--step is '0.3333'; allowed: pixels above 0, whole or a fraction such as 1/3" in text
    assert "limit (from " in text
    assert "is '0'" in text


def test_lengths_are_exact_fractions_from_every_source(resolve_here):
    assert resolve_here({"step": "1/3"}).config.step == Fraction(1, 3)
    assert resolve_here(environ={"CNNSHIFT_STEP": "0.25"}).config.step == Fraction(1, 4)
    found = resolve_here(config="step = 0.25\nmax_shift = '4/3'").config
    assert (found.step, found.max_shift) == (Fraction(1, 4), Fraction(4, 3))
    assert as_dict(found)["step"] == "1/4"
    assert as_dict(make_config(step=1 / 3, max_shift=3))["max_shift"] == 3
    assert make_config(step=1 / 3).step == Fraction(1, 3)


def test_the_shift_range_depends_on_the_protocol_by_default(resolve_here):
    config = resolve_here().config
    assert (config.max_shift, config.step) == (None, None)


@pytest.mark.parametrize(("content", "message"), [("a = ", "is not TOML"), (None, "Cannot read")])
def test_unreadable_config_files(tmp_path, content, message):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        resolve_config({}, config_file=path, environ={}, project=tmp_path / "none")


def test_unknown_suite(resolve_here):
    with pytest.raises(InputError, match=r"Unknown suite 'smok'.*Did you mean 'smoke'\?"):
        resolve_here(suite="smok")


@pytest.mark.parametrize("name", suite_names())
def test_every_shipped_suite_resolves_and_has_a_summary(name, resolve_here):
    assert resolve_here(suite=name).config.models
    assert suite_summary(name)
