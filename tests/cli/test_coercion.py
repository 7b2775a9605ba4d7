"""The conversion of parameters by the tested version of Typer, and by any other version."""

from __future__ import annotations

import pytest

from cnnshift.cli import coercion
from cnnshift.cli.app import main


@pytest.mark.parametrize("known", [True, False])
def test_lists_and_flags_are_converted_alike(
    known: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coercion, "_KNOWN_TYPER", known)
    arguments = ["bench", "cnn", "mlp", "--metric", "accuracy", "--metric", "mac", "--deterministic", "--show-config"]
    monkeypatch.setattr("sys.argv", ["cnnshift", *arguments])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 0
    settings = dict(line.split("  #")[0].split(" = ") for line in capsys.readouterr().out.splitlines())
    settings = {name.strip(): value for name, value in settings.items()}
    assert settings["models"] == "['cnn', 'mlp']"
    assert settings["metrics"] == "['accuracy', 'mac']"
    assert settings["deterministic"] == "True"
    assert settings["limit"] == "None"
