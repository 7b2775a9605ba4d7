"""Run the command in the process of the tests."""

import gc
import sys

import pytest

from cnnshift.cli import main


@pytest.fixture
def cnnshift(monkeypatch, capfd):
    """Return a function that runs a command line and returns exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["cnnshift", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        streams = capfd.readouterr()
        # `main` disables the collector.
        gc.enable()
        assert "Traceback" not in streams.err, streams.err
        return stop.value.code or 0, streams.out, streams.err

    return call
