"""Options of `cnnshift explain`."""

import pytest


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("command", ["bench", "explain"])
def test_help_states_the_defaults_of_both_kinds_of_protocols(command, cnnshift):
    code, out, _ = cnnshift(command, "--help")
    assert code == 0
    assert "Shift by at most PX pixels. (default: 8; 2 for fourier and bilinear)" in words(out)
    assert "(default: 1; 1/3 for fourier and bilinear)" in words(out)


@pytest.mark.parametrize(("old", "new"), [("--causes", "--ablation"), ("--no-causes", "--no-ablation")])
def test_a_renamed_option_is_refused_with_its_new_name(old, new, cnnshift):
    code, out, err = cnnshift("explain", "cnn", old)
    assert (code, out) == (2, "")
    assert err == f"error: 'explain' has no option '{old}'; it was renamed to '{new}'.\n"


def test_invalid_settings_are_refused_by_their_flags_before_jax_is_loaded(cnnshift):
    code, out, err = cnnshift("explain", "cnn", "--limit", "0", "--step", "0.3333")
    assert (code, out) == (2, "")
    messages = err.splitlines()
    assert len(messages) == 2
    assert messages[0].startswith("error: --step is '0.3333'; allowed: pixels above 0")
    assert messages[1] == "--limit is '0'; it must be greater than or equal to 1."


def test_renamed_options_are_not_in_the_help(cnnshift):
    _, out, _ = cnnshift("explain", "--help")
    assert "--no-ablation" in out
    assert "--no-causes" not in out


def test_other_commands_do_not_refuse_the_option_by_its_new_name(cnnshift):
    code, _, err = cnnshift("bench", "cnn", "--causes")
    assert code == 2
    assert "renamed" not in err
