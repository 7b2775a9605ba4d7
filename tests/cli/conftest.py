"""The command in the process of the tests."""

import gc
import sys

import pytest

from cnnshift.cli import main


@pytest.fixture
def cnnshift(monkeypatch, capfd):
    """Run the command in this process: exit code, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["cnnshift", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        streams = capfd.readouterr()
        # The command is made for a process of its own, and switches the collector off.
        gc.enable()
        assert "Traceback" not in streams.err, streams.err
        return stop.value.code or 0, streams.out, streams.err

    return call
