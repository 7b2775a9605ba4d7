"""The program in processes: the smoke suite, interruptions, the cache."""

import json
import os
import re
import signal
import subprocess

import numpy as np
import pytest

from cnnshift.catalog import METRICS
from cnnshift.results.files import load_result
from cnnshift.results.observations_file import load_observations
from tests.installed import COMMAND, as_users_run_it

# One worker runs all tests of this file, which share fixtures.
pytestmark = pytest.mark.xdist_group("bench")

# Two small untrained models on few images and shifts.
SMALL = ("bench", "mlp:width=2", "mlp:width=2,depth=1", "--epochs", "0", "--limit", "12", "--max-shift", "2",
         "--protocol", "circular", "--protocol", "zero")  # fmt: skip


def cnnshift(*arguments, **options):
    """Run the program, compiled with the flags of the tests unless `env` has others."""
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Run the smoke suite once, compiled as users compile."""
    folder = tmp_path_factory.mktemp("smoke")
    done = cnnshift(
        "bench", "--suite", "smoke", "-o", "r.json", "--save-observations", "o.npz", cwd=folder, env=as_users_run_it()
    )
    assert done.returncode == 0, done.stderr
    return done, folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Run two models under two protocols once."""
    folder = tmp_path_factory.mktemp("small")
    done = cnnshift(*SMALL, "-o", "r.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done, folder


def strings(value):
    """Return all texts of a JSON document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_smoke_prints_the_table_and_the_findings(smoke):
    done, _ = smoke
    # The titles of the columns take two lines.
    lines = done.stdout.splitlines()
    titles = ["shifted accuracy %", "worst-case accuracy %", "pairwise consistency %"]
    assert re.split(r"\s*┃\s*", lines[1].strip(" ┃"))[:3] == titles
    assert lines[2].count("[circular, |d|≤3]") == len(titles)
    assert "predicts the same class at every tested shift" in done.stdout
    assert "…" not in "".join(line for line in done.stdout.splitlines() if line.startswith("cnn"))
    assert "\x1b" not in done.stdout
    assert "is the reference" not in done.stdout
    assert "Wrote r.json" in done.stderr
    assert "[2/2]" in done.stderr


def test_aps_is_invariant_to_every_shift(smoke):
    _, folder = smoke
    run = next(run for run in load_result(folder / "r.json").runs if run.options.get("pool") == "aps")
    assert run.metric("pairwise_consistency").value == 1
    assert run.by_shift.consistency == [1.0] * 48
    assert run.metric("accuracy").value > 0.3


def test_result_has_every_metric(smoke):
    _, folder = smoke
    result = load_result(folder / "r.json")
    assert result.status == "complete"
    for run in result.runs:
        assert [metric.id for metric in run.metrics] == list(METRICS)
        for metric in run.metrics:
            assert (metric.value is None) == bool(metric.reason)
            if metric.value is None:
                continue
            assert metric.n > 0
            # An unbounded metric of an exactly invariant model has no interval.
            assert metric.ci95 or "no interval" in metric.method
            if metric.ci95:
                assert metric.ci95[0] <= metric.value <= metric.ci95[1]
                assert metric.ci95[0] < metric.ci95[1]
    text = (folder / "r.json").read_text()
    assert str(folder) not in text
    assert os.uname().nodename not in set(strings(json.loads(text)))


def test_metrics_can_be_recomputed_from_the_observations(smoke):
    _, folder = smoke
    cells = load_observations(folder / "o.npz")
    runs = load_result(folder / "r.json").runs
    assert len(cells) == len(runs) == 2
    for observations, run in zip(cells.values(), runs, strict=True):
        for metric in run.metrics:
            assert METRICS.load(metric.id).summarize(observations).value == pytest.approx(metric.value, abs=1e-12)


def test_second_run_uses_cached_weights_and_returns_the_same_numbers(smoke, tmp_path):
    _, folder = smoke
    done = cnnshift("bench", "--suite", "smoke", "-o", "again.json", cwd=tmp_path, env=as_users_run_it())
    assert done.stderr.count("(weights read from a file, ") == 2
    first, again = load_result(folder / "r.json"), load_result(tmp_path / "again.json")
    for one, other in zip(first.runs, again.runs, strict=True):
        assert one.metrics == other.metrics
        assert one.weights_digest == other.weights_digest
    assert load_result("last").runs == again.runs


def interrupt_after(cells, *arguments, cwd):
    """Start a benchmark and send SIGINT after that many cells."""
    process = subprocess.Popen(
        [COMMAND, *arguments], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output = ""
    for line in process.stderr:
        output += line
        if line.startswith(f"[{cells}/"):
            process.send_signal(signal.SIGINT)
            break
    out, rest = process.communicate(timeout=120)
    return process.returncode, out, output + rest


def test_interrupted_run_resumes_to_the_same_numbers(small, tmp_path):
    _, folder = small
    code, out, output = interrupt_after(1, *SMALL, "-o", "r.json", cwd=tmp_path)
    assert code == 130, output
    assert out == ""
    assert "--resume" in output
    assert "Traceback" not in output
    partial = load_result(tmp_path / "r.json")
    assert partial.status == "interrupted"
    assert 1 <= len(partial.runs) < 4
    done = cnnshift(*SMALL, "-o", "r.json", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("(from the earlier run)") == len(partial.runs)
    resumed, expected = load_result(tmp_path / "r.json"), load_result(folder / "r.json")
    assert resumed.status == "complete"
    assert [run.metrics for run in resumed.runs] == [run.metrics for run in expected.runs]


def test_resume_refuses_other_settings(small, tmp_path):
    _, folder = small
    (tmp_path / "r.json").write_bytes((folder / "r.json").read_bytes())
    done = cnnshift(*SMALL, "--step", "2", "-o", "r.json", "--resume", cwd=tmp_path)
    assert done.returncode == 2
    assert "other settings (step)" in done.stderr
    assert "Continue with" not in done.stderr


def test_circular_zero_and_crop_are_equal_within_a_margin(tmp_path):
    """Known answer K13, compiled as users compile."""
    protocols = [part for name in ("circular", "zero", "crop") for part in ("--protocol", name)]
    few = ("--epochs", "0", "--limit", "10", "--max-shift", "3", "--canvas", "38")
    done = cnnshift(
        "bench", "cnn:width=2", *few, *protocols, "--save-observations", "o.npz", cwd=tmp_path, env=as_users_run_it()
    )
    assert done.returncode == 0, done.stderr
    circular, zero, crop = load_observations(tmp_path / "o.npz").values()
    for field in ("prediction", "probability", "distance", "cosine"):
        np.testing.assert_array_equal(getattr(circular, field), getattr(zero, field))
        np.testing.assert_array_equal(getattr(circular, field), getattr(crop, field))


def test_interruption_before_the_first_cell_can_be_resumed(tmp_path):
    two = ("bench", "mlp:width=2", *SMALL[3:], "-o", "r.json")
    process = subprocess.Popen([COMMAND, *two], cwd=tmp_path, text=True, stderr=subprocess.PIPE)
    while not (tmp_path / "r.json").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, output = process.communicate(timeout=120)
    assert process.returncode == 130, output
    interrupted = load_result(tmp_path / "r.json")
    assert interrupted.status == "interrupted"
    # The signal may come after the first cell.
    finished = len(interrupted.runs)
    assert (f"{finished} of 2 runs are finished and saved" if finished else "No run is finished.") in output
    done = cnnshift(*two, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(load_result(tmp_path / "r.json").runs) == 2
