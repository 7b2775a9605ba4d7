"""`cnnshift bench` from its arguments to its streams and files."""

import json

import numpy as np
import pytest

from cnnshift.catalog import METRICS
from cnnshift.results.files import load_result
from cnnshift.results.observations_file import load_observations

# Two untrained networks on few images and shifts: everything but training, in seconds.
SMALL = ("bench", "cnn:width=2", "cnn:width=2,padding=circular,head=gap,pool=aps", "--epochs", "0", "--limit", "12",
         "--max-shift", "2", "--protocol", "circular", "--protocol", "zero")  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_batch_size_changes_no_number(cnnshift, here):
    code, out, _ = cnnshift(*SMALL, "--format", "json", "-o", "r.json")
    assert code == 0
    # What is printed is the result.
    document, file = json.loads(out), json.loads((here / "r.json").read_text())
    assert document["config"] == file["config"]
    assert [run["metrics"] for run in document["runs"]] == [run["metrics"] for run in file["runs"]]
    code, _, _ = cnnshift(*SMALL, "--batch-size", "5", "-o", "five.json")
    assert code == 0
    for one, other in zip(load_result("r.json").runs, load_result("five.json").runs, strict=True):
        assert one.contract == other.contract
        for a, b in zip(one.metrics, other.metrics, strict=True):
            assert (a.value is None) == (b.value is None)
            assert a.value is None or a.value == pytest.approx(b.value, abs=1e-6)


def test_fractions_of_a_pixel_from_the_command_line_to_the_files(cnnshift, here):
    small = ("bench", "cnn:width=2", "--epochs", "0", "--limit", "6", "--protocol", "fourier")
    command = (*small, "--protocol", "circular")
    code, out, err = cnnshift(*command, "--format", "json", "-o", "r.json", "--save-observations", "o.npz")
    assert code == 0, err
    document = json.loads(out)
    assert document == json.loads((here / "r.json").read_text())
    # Each protocol has its own default span.
    moved = [run["protocol"] for run in document["runs"]]
    spans = {one["name"]: [one["max_shift"], one["step"], one["count"]] for one in moved}
    assert spans == {"fourier": [2, "1/3", 168], "circular": [8, 1, 288]}
    assert document["runs"][0]["by_radius"]["radius"] == [1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2]
    thirds = load_observations(here / "o.npz")["cnn:width=2 seed 0 fourier"]
    assert sorted(set(np.abs(thirds.shifts).ravel())) == [k / 3 for k in range(7)]
    for metric in load_result("r.json").runs[0].metrics:
        assert METRICS.load(metric.id).summarize(thirds).value == pytest.approx(metric.value, abs=1e-12)
    code, out, err = cnnshift("compare", "r.json", "r.json", "--exact", "--require", "accuracy>=0%")
    assert code == 0, out + err
    code, _, err = cnnshift(*command, "--step", "1/2", "--max-shift", "1")
    assert code == 2
    assert "step is 1/2; allowed: whole pixels. Only the protocols fourier and bilinear support fractions" in err
    code, out, err = cnnshift(*small, "--step", "0.5", "--max-shift", "1")
    assert code == 0, err
    assert "× 24 shifts [fourier, |d|≤1, step 1/2] · untrained models" in out
    assert "accuracy at |d| = 1/2 … 1" in out
    assert err.count("exactly equivariant to half-pixel shifts") == 1
    code, out, _ = cnnshift("compare", "r.json", "last")
    assert code == 4
    assert "protocol step 1/3 → 1/2" in out


def test_a_selection_of_metrics_is_shown_whole(cnnshift, here):
    code, out, _ = cnnshift(*SMALL, "--metric", "kappa", "--metric", "mac", "--plots", "-o", "r.json")
    assert code == 0
    assert out.count("consistency of cnn:width=2 ") == 2
    assert [metric.id for metric in load_result("r.json").runs[0].metrics] == ["kappa", "mac"]


def test_seeds_are_averaged_and_their_spread_is_shown(cnnshift, here):
    few = ("--epochs", "0", "--limit", "10", "--max-shift", "1", "--seeds", "2")
    _, out, _ = cnnshift("bench", "cnn:width=2", *few)
    assert "mean of 2 seeds" in out
    assert "±" in out
    # One model is drawn unless it is refused.
    assert "·: (0, 0) is the reference" in out
    code, out, _ = cnnshift("bench", "cnn:width=2", *few, "--no-plots")
    assert code == 0
    assert "reference" not in out


def test_dry_run_measures_nothing(cnnshift, here):
    _, out, err = cnnshift(*SMALL, "--dry-run")
    assert "4 cells" in out
    assert f"{4 * 12 * 25:,} forward passes" in out
    assert err.splitlines() == ["Loading JAX", "Loading the data set mnist5k"]
    assert not list(here.iterdir())
