"""The project's own gate: kept weights measured by this code against the kept result, and regressions it must see."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import cnnshift
from cnnshift.bench.plan import make_plan
from cnnshift.bench.runner import run_plan
from cnnshift.config import resolve_config
from cnnshift.errors import InputError
from cnnshift.models.layers.max_pool import MaxPool
from cnnshift.models.layers.polyphase_pool import PolyphasePool
from cnnshift.results.files import load_result, save_result
from tests.installed import COMMAND, as_users_run_it

# One process makes what the tests of this file share.
pytestmark = pytest.mark.xdist_group("gate")

ROOT = Path(__file__).parents[2]
BASELINE = ROOT / "benchmarks" / "baselines" / "smoke.json"
WEIGHTS = ROOT / "benchmarks" / "baselines" / "weights"
APS = "cnn:pool=aps,width=4,padding=circular,head=gap"


class Silent:
    """A callback without output, which allows no training."""

    def on_train_start(self, cell, steps):
        assert steps == 0, "nothing is to be trained"
        return lambda done: None

    def on_sweep_start(self, cell, image_shifts):
        return lambda done: None

    def on_cell_end(self, cell, run, result):
        pass

    def on_cell_reused(self, cell, run):
        pass


def measure(weights=WEIGHTS):
    plan = make_plan(resolve_config({}, suite="smoke", environ={}, project=Path("none")).config)
    return run_plan(plan, Silent(), weights=weights)


@pytest.fixture(scope="module")
def measured():
    return measure()


def test_the_kept_weights_are_small():
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 300_000


def test_a_pool_that_is_no_longer_adaptive_is_a_regression(measured, monkeypatch):
    monkeypatch.setattr(PolyphasePool, "__call__", MaxPool.__call__)
    broken = measure()
    comparison = cnnshift.compare(measured, broken)
    assert comparison.status == "failed"
    regressed = {(row.model, row.metric) for row in comparison.rows if row.verdict == "regressed"}
    assert (APS, "pairwise_consistency") in regressed
    assert {model for model, _ in regressed} == {APS}
    exact = cnnshift.compare(measured, broken, exact=True, fail_if=["accuracy:99pp"])
    assert exact.status == "failed"
    assert {change.model for change in exact.changed_predictions} == {APS}
    assert broken.runs[0].weights_digest == measured.runs[0].weights_digest


def test_perturbed_weights_are_a_regression(measured, tmp_path):
    import safetensors.numpy

    from cnnshift.models.arrays import arrays_digest

    shutil.copytree(WEIGHTS, tmp_path / "weights")
    for path in (tmp_path / "weights").iterdir():
        arrays = safetensors.numpy.load_file(path)
        noise = np.random.RandomState(0)
        arrays = {
            name: (array + noise.normal(0, 0.5, array.shape)).astype(array.dtype) for name, array in arrays.items()
        }
        digest = arrays_digest(sorted(arrays.items()))
        path.write_bytes(safetensors.numpy.save(arrays, {"digest": digest, "loss": "0.5", "recipe": "{}"}))
    perturbed = measure(tmp_path / "weights")
    comparison = cnnshift.compare(measured, perturbed)
    assert comparison.status == "failed"
    assert any(row.verdict == "regressed" and row.metric == "accuracy" for row in comparison.rows)
    exact = cnnshift.compare(measured, perturbed, exact=True)
    assert any("the weights of seed 0 differ" in row.reason for row in exact.rows)


def test_damaged_kept_weights_are_an_error_and_stay(tmp_path):
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    victim = min((tmp_path / "weights").iterdir())
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    with pytest.raises(InputError, match="cannot be used: their checksum does not match"):
        measure(tmp_path / "weights")
    assert victim.read_bytes() == content


def test_the_gitlab_job_of_the_documentation_works(measured, tmp_path):
    (tmp_path / "baseline").mkdir()
    save_result(measured, tmp_path / "baseline" / "result.json")
    save_result(measured, tmp_path / "result.json")
    page = (ROOT / "docs" / "how-to" / "ci-gate.md").read_text(encoding="utf-8")
    documents = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    (job,) = (document["shift-invariance"] for document in documents if "shift-invariance" in document)
    (line,) = (line for line in job["script"] if " compare " in line)
    command, *arguments = shlex.split(line)
    assert command == "cnnshift"
    done = subprocess.run([COMMAND, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert (tmp_path / "report.xml").read_text().startswith("<?xml")


ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def run_step(name, folder, **inputs):
    (step,) = (step for step in ACTION["runs"]["steps"] if step.get("name") == name)
    environ = {key: inputs[value.split(".")[1].rstrip(" }")] for key, value in step["env"].items()}
    environ |= {"GITHUB_STEP_SUMMARY": str(folder / "summary"), "RUNNER_TEMP": str(folder), "GITHUB_ACTIONS": "true"}
    path = f"{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-c", step["run"]],
        cwd=folder, env=as_users_run_it() | environ | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The folder in which the action measured `new.json`, compiled as users compile it."""
    folder = tmp_path_factory.mktemp("released")
    done = run_step("Measure", folder, bench=f"--suite smoke --weights '{WEIGHTS}'", result="new.json")
    assert done.returncode == 0, done.stderr
    return folder


def test_this_code_agrees_with_the_baseline(released, measured):
    for result in (released / "new.json", measured):
        comparison = cnnshift.compare(BASELINE, result)
        assert comparison.status == "passed", comparison.rows
        assert comparison.count("unchanged") == 8
    assert cnnshift.compare(measured, measured, exact=True).status == "passed"


def test_the_action_measures_compares_and_fails(released, measured):
    save_result(measured, released / "base.json")
    assert load_result(released / "new.json").status == "complete"
    assert "| model |" in (released / "summary").read_text()
    inputs = {"baseline": "base.json", "result": "new.json"}
    done = run_step("Compare", released, compare="", **inputs)
    assert done.returncode == 0, done.stderr
    done = run_step("Compare", released, compare="--require 'accuracy >= 99%'", **inputs)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("::error title=") == 2
    assert "\x1b" not in done.stdout
    assert "not met" in (released / "summary").read_text()
    # Nothing in an input is executed.
    done = run_step("Compare", released, compare="--require '$(touch executed)'; touch executed", **inputs)
    assert done.returncode == 2
    assert not (released / "executed").exists()
    # A mistake in quoting must not drop the gates.
    done = run_step("Compare", released, compare="--require 'accuracy >= 99%", **inputs)
    assert done.returncode == 1
    assert "No closing quotation" in done.stderr
