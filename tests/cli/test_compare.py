"""`cnnshift compare`: exit codes, files, streams, formats."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml

from cnnshift.catalog import FORMATS
from cnnshift.results import files
from cnnshift.results.files import save_result
from tests.cli.stored import CLASSES, LONG, run
from tests.factories import make_outcomes, make_result, make_run

COMMAND = str(Path(sys.executable).parent / "cnnshift")
ROOT = Path(__file__).parents[2]
FLIPPED = CLASSES.copy()
FLIPPED[17, 3] = 9
RESULTS = {
    "base": make_result(run()),
    "same": make_result(run()),
    "worse": make_result(run(100)),
    "perhaps": make_result(run(147)),
    "better": make_result(run(190)),
    "flipped": make_result(run(predictions=FLIPPED)),
    "otherwise": make_result(run(contract="b", protocol={"max_shift": 4})),
    "two": make_result(run(), run(180, model=LONG)),
    "poorer": make_result(make_run({"accuracy": make_outcomes(150)})),
    "empty": make_result(),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name, result in RESULTS.items():
        save_result(result, tmp_path / f"{name}.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_subprocess(*arguments, **environ):
    inherited = {key: value for key, value in os.environ.items() if key not in ("CI", "TERM", "COLUMNS")}
    environ = inherited | {"PYTHONPATH": str(ROOT)} | environ
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, env=environ, check=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["base", "same"], 0),
        (["base", "better"], 0),
        (["base", "perhaps"], 0),
        (["base", "worse"], 1),
        (["base", "same", "worse"], 1),
        (["base", "worse", "--exit-zero"], 0),
        (["base", "worse", "--fail-if", "accuracy:30pp"], 0),
        (["base", "worse", "--fail-if", "*:1pp"], 1),
        (["base", "worse", "--fail-if", "*:1pp", "--fail-if", "accuracy:50%"], 0),
        (["base", "worse", "--fail-if", "mac:1pp"], 0),
        (["base", "perhaps", "--on-inconclusive", "fail"], 1),
        (["base", "perhaps", "--on-inconclusive", "fail", "--exit-zero"], 0),
        (["base", "perhaps", "--on-inconclusive", "pass"], 0),
        (["base", "same", "--require", "accuracy>=75%"], 0),
        (["base", "same", "--require", "accuracy>=76%"], 1),
        (["base", "same", "--require", "accuracy>=75%", "--require", "mac<10%"], 1),
        (["base", "same", "--require", "fidelity>=1%"], 4),
        (["base", "same", "--require", "fidelity>=1%", "--allow-missing"], 0),
        (["base", "otherwise"], 4),
        (["base", "otherwise", "--allow-missing"], 4),
        (["base", "otherwise", "--allow-incomparable"], 4),
        (["base", "otherwise", "--exit-zero"], 0),
        (["base", "two"], 4),
        (["two", "base"], 4),
        (["two", "base", "--allow-missing"], 0),
        (["two", "worse", "--allow-missing"], 1),
        (["two", "worse"], 1),
        (["base", "poorer"], 4),
        (["base", "poorer", "--fail-if", "accuracy:1pp"], 0),
        (["base", "empty"], 4),
        (["empty", "empty", "--allow-missing", "--allow-incomparable"], 4),
        (["base", "flipped"], 0),
        (["base", "flipped", "--exact"], 1),
        (["base", "same", "--exact"], 0),
        (["two"], 0),
        (["base"], 0),
        (["two", "--reference", LONG], 0),
        (["two", "--reference", LONG, "--fail-if", "accuracy:1pp"], 1),
        (["two", "--fail-if", "accuracy:1pp"], 0),
        (["two", "--require", "accuracy>=80%"], 1),
        # Usage errors.
        (["base", "same", "--fail-if", "accuracy"], 2),
        (["base", "same", "--fail-if", "acuracy:1pp"], 2),
        (["base", "same", "--fail-if", "kappa:1px"], 2),
        (["base", "same", "--require", "accuracy"], 2),
        (["base", "same", "--on-inconclusive", "ignore"], 2),
        (["base", "same", "--reference", "cnn"], 2),
        (["base", "--exact"], 2),
        (["two", "--reference", "mlp"], 2),
        (["empty"], 2),
        (["base", "missing"], 2),
        (["base", "same", "--format", "yaml"], 2),
        (["base", "same", "-o", "r.pdf"], 2),
        (["base", "missing", "--exit-zero"], 2),
        ([], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes(arguments, code, cnnshift):
    named = [f"{name}.json" if name in (*RESULTS, "missing") else name for name in arguments]
    found, out, err = cnnshift("compare", *named)
    assert found == code, err
    assert bool(out) == (code != 2)
    assert bool(err) == (code == 2)
    assert "\x1b" not in out + err


def test_gates_of_the_project(folder, cnnshift):
    (folder / "pyproject.toml").write_text('[tool.cnnshift.gates]\nfail_if = ["accuracy:30pp"]\n')
    assert cnnshift("compare", "base.json", "worse.json")[0] == 0
    assert cnnshift("compare", "base.json", "worse.json", "--fail-if", "accuracy:1pp")[0] == 1
    (folder / "pyproject.toml").write_text("[tool.cnnshift.gates]\nfail-if = []\n")
    code, _, err = cnnshift("compare", "base.json", "worse.json")
    assert (code, "Did you mean 'fail_if'?" in err) == (2, True)


def test_last_names_the_newest_result(cnnshift):
    save_result(RESULTS["worse"], files.locate("last"))
    assert cnnshift("compare", "base.json", "last")[0] == 1
    files.locate("last").unlink()
    assert "No result file last" in cnnshift("compare", "base.json", "last")[2]


def test_the_table(cnnshift, snapshot):
    code, out, _ = cnnshift("compare", "two.json", "worse.json", "--require", "accuracy>=60%", "--allow-missing")
    assert code == 1
    assert out == snapshot


def test_the_table_of_models(cnnshift):
    save_result(
        make_result(
            *(
                make_run(
                    {"accuracy": make_outcomes(accuracy), "worst_case_accuracy": make_outcomes(worst)}, model=model
                )
                for model, accuracy, worst in (("cnn", 150, 20), ("mlp", 140, 10))
            )
        ),
        Path("models.json"),
    )
    _, out, _ = cnnshift("compare", "models.json")
    assert "models.json, models compared with cnn: 2 regressed (passed)" in out
    assert "Accuracy, worst-case accuracy and cost: toy [circular, |d|≤1]" in out


def test_the_markdown(cnnshift, snapshot):
    code, out, _ = cnnshift("compare", "base.json", "perhaps.json", "flipped.json", "--exact", "--format", "markdown")
    assert code == 1
    assert out == snapshot


@pytest.mark.parametrize("columns", ["40", "80", None])
def test_a_pipe_gets_complete_numbers_without_colour(columns, monkeypatch, cnnshift):
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    _, out, _ = cnnshift("compare", "two.json", "worse.json", "--allow-missing")
    assert "\x1b" not in out
    assert "…" not in out
    rows = [line for line in out.splitlines() if " │ " in line]
    assert any(
        re.search(r"75\.0 % +│ +50\.0 % +│ +−25\.00 pp \[−31\.\d\d, −19\.\d\d\] +│ 1\.00 pp +│ <0\.001", row)
        for row in rows
    )
    assert any(LONG in row for row in rows)


def test_colour_on_request(cnnshift):
    _, out, _ = cnnshift("compare", "base.json", "worse.json", "--color", "always")
    assert "\x1b[" in out
    assert "- regressed" in out


def test_only_changed(cnnshift):
    _, out, _ = cnnshift("compare", "base.json", "worse.json", "--only-changed")
    assert "1 unchanged row is not shown." in out
    assert "= unchanged" not in out


def test_json_on_stdout_is_valid_with_other_outputs(cnnshift):
    code, out, err = cnnshift("compare", "base.json", "worse.json", "--format", "json", "-v", "-o", "r.md")
    document = json.loads(out)
    assert code == 1
    assert document["schema"] == "cnnshift.comparison"
    assert document["schema_version"] == 2
    assert document["status"] == "failed"
    assert err == "Wrote r.md\n"
    row = document["rows"][0]
    assert (row["metric"], row["verdict"], row["difference"]) == ("accuracy", "regressed", -0.25)
    assert row["ci95"][0] < -0.25 < row["ci95"][1] < 0


def test_one_json_object_per_row(cnnshift):
    _, out, _ = cnnshift("compare", "base.json", "worse.json", "--format", "jsonl")
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["regressed", "unchanged"]


def test_files_have_the_format_of_their_suffix(cnnshift):
    endings = ("xml", "md", "csv", "json", "txt", "jsonl")
    outputs = [part for ending in endings for part in ("-o", f"out.{ending}")]
    code, out, err = cnnshift("compare", "two.json", "worse.json", *outputs)
    assert code == 1
    assert err.splitlines() == [f"Wrote out.{ending}" for ending in endings]
    (suite,) = JUnitXml.fromfile("out.xml")
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (3, 1, 1, 0)
    assert Path("out.txt").read_text() == out
    assert Path("out.md").read_text().count("\n| ") == 5
    rows = list(csv.DictReader(io.StringIO(Path("out.csv").read_text())))
    assert [row["verdict"] for row in rows] == ["regressed", "missing", "unchanged"]
    assert float(rows[0]["difference"]) == -0.25
    assert rows[1]["difference"] == rows[1]["ci95_low"] == ""
    assert json.loads(Path("out.json").read_text())["rows"][1]["verdict"] == "missing"
    assert len(Path("out.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (["base", "same"], (2, 0, 0, 0)),
        (["base", "worse"], (2, 1, 0, 0)),
        (["base", "perhaps"], (2, 0, 0, 1)),
        (["base", "perhaps", "--on-inconclusive", "fail"], (2, 1, 0, 0)),
        (["base", "perhaps", "--on-inconclusive", "pass"], (2, 0, 0, 0)),
        (["base", "otherwise"], (1, 0, 1, 0)),
        (["base", "otherwise", "--allow-incomparable"], (1, 0, 1, 0)),
        (["two", "base", "--allow-missing"], (3, 0, 0, 0)),
        (["base", "same", "--require", "fidelity>1%"], (3, 0, 1, 0)),
        (["base", "same", "--require", "accuracy>90%"], (3, 1, 0, 0)),
        (["base", "flipped", "--exact"], (3, 1, 0, 0)),
        (["two", "--reference", LONG], (2, 0, 0, 0)),
        (["two", "--reference", LONG, "--require", "accuracy>=80%"], (4, 1, 0, 0)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_report_fails_where_the_command_fails(arguments, counts, cnnshift):
    named = [f"{name}.json" if name in RESULTS else name for name in arguments]
    code, _, _ = cnnshift("compare", *named, "-o", "r.xml")
    (suite,) = JUnitXml.fromfile("r.xml")
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == counts
    assert code == (1 if suite.failures else 4 if suite.errors else 0)


def test_outputs_are_checked_before_anything_is_read(cnnshift):
    for output, message in (
        ("none/r.xml", "Cannot write none/r.xml"),
        ("r.docx", "The suffix of r.docx names no format"),
    ):
        code, out, err = cnnshift("compare", "missing.json", "-o", output)
        assert (code, out) == (2, "")
        assert message in err
    assert not Path("none").exists()


def test_annotations_of_github(monkeypatch, cnnshift):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, _ = cnnshift("compare", "two.json", "worse.json", "--format", "github")
    assert code == 1
    commands = [line for line in out.splitlines() if line.startswith("::")]
    assert [line.partition(" ")[0] for line in commands] == ["::error", "::error"]
    assert "::error title=cnn%3A accuracy::regressed: 75.0 %25 → 50.0 %25, −25.00 pp [" in out
    assert f"::error title={LONG.replace(':', '%3A').replace(',', '%2C')}%3A" in out


def test_a_subprocess_on_github():
    done = in_subprocess("compare", "base.json", "worse.json", GITHUB_ACTIONS="true", CI="true")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
    assert "- regressed" in done.stdout
    assert done.stderr == ""


def test_a_subprocess_that_cannot_compare():
    done = in_subprocess("compare", "base.json", "otherwise.json", "--format", "github")
    assert done.returncode == 4
    assert "::error title=cnn" in done.stdout
    assert "protocol max_shift 1 → 4" in done.stdout


PROGRAM = """
import sys
from cnnshift.cli import main
sys.argv = ["cnnshift", "compare", "two.json", "worse.json", "--exact", "-o", "r.xml", "-o", "r.md"]
try:
    main()
except SystemExit as stop:
    assert stop.code == 1, stop.code
print(*sorted({name.partition(".")[0] for name in sys.modules}), sep="\\n", file=sys.stderr)
"""


def test_no_engine_is_imported():
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environ)
    loaded = set(done.stderr.split())
    assert not {"jax", "jaxlib", "flax", "optax", "tensorflow_datasets", "tensorflow", "matplotlib", "pandas"} & loaded
    assert {"numpy", "pydantic"} < loaded


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_renders_a_comparison(format, cnnshift):
    code, out, err = cnnshift("compare", "base.json", "worse.json", "--format", format)
    assert (code, err) == (1, "")
    assert out.endswith("\n")
    assert "regressed" in out
