"""Invalid input: one sentence on stderr, nothing on stdout, the right exit code, no traceback, no file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnshift.cli import main

COMMAND = str(Path(sys.executable).parent / "cnnshift")


def cnnshift(*arguments, cwd=None, **environ):
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, cwd=cwd, env=os.environ | environ, check=False
    )


INVALID = {
    "unknown command": (["bnech"], ["No such command"]),
    "unknown flag": (["bench", "--modle", "cnn"], ["No such option"]),
    "unknown model": (["bench", "cnm"], ["Unknown model 'cnm'", "mlp, cnn, locally_connected", "Did you mean 'cnn'?"]),
    "unknown option": (["bench", "cnn:pol=aps"], ["no option 'pol'", "pool"]),
    "unknown value": (["bench", "cnn:pool=app"], ["Unknown pool 'app'", "aps"]),
    "bad value": (["bench", "cnn:head=flat"], ["option head is 'flat'", "flatten"]),
    "bad number": (["bench", "cnn:width=-1"], ["option width is '-1'", "greater than"]),
    "option of another pool": (["bench", "cnn:pool=max,blur=3"], ["no option 'blur'"]),
    "malformed spec": (["bench", "cnn:pool"], ["write key=value"]),
    "listed twice": (["bench", "cnn", "cnn:pool=max"], ["listed twice"]),
    "unknown protocol": (["bench", "cnn", "--protocol", "circlar"], ["Unknown protocol", "Did you mean 'circular'?"]),
    "unknown metric": (["bench", "cnn", "--metric", "accurcy"], ["Unknown metric", "Did you mean 'accuracy'?"]),
    "unknown data set": (["bench", "cnn", "--dataset", "mnist"], ["Unknown data set", "Did you mean 'mnist5k'?"]),
    "unknown data option": (["bench", "cnn", "--dataset", "mnist5k:size=3"], ["no option 'size'", "canvas"]),
    "unknown shift set": (["bench", "cnn", "--shifts", "gird"], ["Unknown shift set 'gird'", "grid"]),
    "unknown suite": (["bench", "--suite", "smok"], ["Unknown suite 'smok'", "smoke"]),
    "unknown format": (["bench", "cnn", "--format", "yaml"], ["Unknown format 'yaml'", "json"]),
    "too large a shift": (["bench", "cnn", "--max-shift", "32"], ["max-shift is 32", "31"]),
    "crop without context": (["bench", "cnn", "--protocol", "crop"], ["'crop' needs source images larger"]),
    "crop beyond its context": (
        ["bench", "cnn", "--protocol", "crop", "--dataset", "shapes", "--max-shift", "9"],
        ["max-shift is 9", "at most 8"],
    ),
    "full without wrapping": (
        ["bench", "cnn", "--protocol", "zero", "--shifts", "full"],
        ["needs a periodic protocol"],
    ),
    "full with a radius": (["bench", "cnn", "--shifts", "full", "--max-shift", "3"], ["omit --max-shift"]),
    "unknown kind of names": (["list", "modles"], ["'modles'", "Did you mean 'models'?"]),
    "unknown list format": (["list", "models", "--format", "yaml"], ["Unknown format 'yaml'", "json"]),
    "output without a format": (
        ["list", "models", "-o", "models.pdf"],
        ["suffix of models.pdf names no format", ".csv"],
    ),
    "options of an unknown model": (["info", "cnm"], ["Unknown model 'cnm'", "Did you mean 'cnn'?"]),
    "fractional step": (["bench", "cnn", "--step", "0.5"], ["step is 1/2", "Only the protocols fourier and bilinear"]),
    "zero step": (["bench", "cnn", "--step", "0"], ["--step is '0'", "pixels above 0"]),
    "no fraction": (["bench", "cnn", "--step", "0.3333"], ["--step is '0.3333'", "a fraction such as 1/3"]),
    "step beyond the shifts": (["bench", "cnn", "--step", "9"], ["max-shift is 8", "9 (the step)"]),
    "empty limit": (["bench", "cnn", "--limit", "0"], ["--limit is '0'", "greater than or equal to 1"]),
    "no number": (["bench", "cnn", "--seeds", "two"], ["--seeds is 'two'"]),
    "small canvas": (["bench", "cnn", "--canvas", "31"], ["canvas is 31", "32"]),
    "huge canvas": (["bench", "cnn", "--canvas", "100000"], ["canvas=100000", "GiB"]),
    "odd canvas": (["bench", "cnn", "--canvas", "33"], ["canvas is 33", "even"]),
    "too many random shifts": (["bench", "cnn", "--shifts", "random:289"], ["random:288"]),
    "too deep": (["bench", "cnn:depth=7"], ["depth"]),
    "unwritable output": (["bench", "cnn", "-o", "missing/r.json"], ["Cannot write missing/r.json"]),
    "output is a folder": (["bench", "cnn", "-o", "."], ["it is a directory"]),
    "unwritable observations": (
        ["bench", "cnn", "--save-observations", "missing/o.npz"],
        ["Cannot write missing/o.npz"],
    ),
    "no weights": (["bench", "mlp", "--weights", "."], ["has no weights of mlp seed 0 (mlp-seed0.safetensors)"]),
    "weights in a file": (["bench", "mlp", "--save-weights", os.devnull], ["Cannot create the directory"]),
    "output is a device": (["bench", "cnn", "-o", os.devnull], ["not a regular file"]),
    "huge seed": (["bench", "cnn", "--seed", "99999999999999999999"], ["--seed is '99999999999999999999'"]),
    "huge seed in a spec": (["bench", "cnn:seed=99999999999999999999"], ["option seed is"]),
    "two canvases": (["bench", "cnn", "--dataset", "mnist5k:canvas=40", "--canvas", "48"], ["set one"]),
    "missing config": (["bench", "cnn", "--config", "none.toml"], ["Cannot read the config file none.toml"]),
    "nothing to resume": (["bench", "cnn", "--resume", "-o", "none.json"], ["No result file none.json"]),
}


@pytest.mark.parametrize(("arguments", "parts"), INVALID.values(), ids=INVALID.keys())
def test_invalid_input(arguments, parts, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cnnshift", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    streams = capfd.readouterr()
    message = " ".join(streams.err.split())
    assert stop.value.code == 2, message
    assert all(part in message for part in parts), message
    assert streams.out == ""
    assert "Traceback" not in message
    assert os.listdir(tmp_path) == []


IN_A_PROCESS = ("unknown flag", "unknown value", "too large a shift", "unwritable output")


@pytest.mark.parametrize("case", IN_A_PROCESS)
def test_invalid_input_in_a_process(case, tmp_path):
    arguments, parts = INVALID[case]
    done = cnnshift(*arguments, cwd=tmp_path)
    message = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert all(part in message for part in parts), message
    assert done.stdout == ""
    assert "Traceback" not in message


def test_unknown_setting_in_the_environment():
    done = cnnshift("bench", "cnn", CNNSHIFT_MAXSHIFT="3")
    assert done.returncode == 2
    assert "Did you mean 'max_shift'?" in done.stderr


def test_unusable_cache(tmp_path):
    (tmp_path / "file").write_text("")
    done = cnnshift("bench", "cnn", CNNSHIFT_CACHE_DIR=str(tmp_path / "file"))
    assert done.returncode == 3
    assert "cache" in done.stderr
    assert "Traceback" not in done.stderr


def test_unexpected_error_exits_with_3(monkeypatch, capfd):
    def broken(*arguments, **options):
        raise RuntimeError("boom")

    monkeypatch.setattr("cnnshift.config.resolve_config", broken)
    monkeypatch.setattr("cnnshift.cli.bench.resolve_config", broken)
    monkeypatch.setattr(sys, "argv", ["cnnshift", "bench"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 3
    assert "Internal error: RuntimeError: boom" in capfd.readouterr().err


def test_closed_pipe_is_not_an_error():
    done = subprocess.run(f"{COMMAND} list metrics | head -1", shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("metrics")
