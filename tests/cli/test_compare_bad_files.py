"""Errors of `cnnshift compare` for damaged and contradictory result files."""

import json

import pytest

from cnnshift.results.files import to_json
from tests.cli.stored import LONG, run
from tests.factories import make_result

TEXT = to_json(make_result(run(), run(180, model=LONG)))
DOCUMENT = json.loads(TEXT)


def changed(path, value):
    """Return the document with another value at a path."""
    document = json.loads(TEXT)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(document)


def renamed(path, name):
    document = json.loads(TEXT)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[name] = at.pop(path[-1])
    return json.dumps(document)


METRIC = ("runs", 0, "metrics", 0)
BAD = {
    "truncated": (TEXT[:3000], "is not JSON"),
    "empty": ("", "is not JSON"),
    "not JSON": ("accuracy: 0.9\n", "is not JSON"),
    "other JSON": ('{"a": 1}', "is not a result file"),
    "a comparison": ('{"schema": "cnnshift.comparison"}', "its schema is 'cnnshift.comparison'"),
    "bit-flipped": (TEXT.replace('"data":"eN', '"data":"eO', 1).replace('"data": "eN', '"data": "eO', 1), "is damaged"),
    "renamed field": (renamed(("runs", 0, "params"), "parameters"), "runs.0.params: field required"),
    "unknown field": (changed(("runs", 0, "note"), "x"), "runs.0.note: extra inputs are not permitted"),
    "newer": (
        changed(("schema_version",), 99),
        "schema_version 99; allowed: 1 to 4. It was written by a newer cnnshift",
    ),
    "claims a gigabyte": (
        changed((*METRIC, "per_image", "shape"), [2**30]),
        "has shape (1073741824,); it must have shape (200,)",
    ),
    "claims a gigabyte twice": (
        json.dumps(json.loads(changed((*METRIC, "per_image", "shape"), [2**30])) | {}).replace(
            '"n": 200', f'"n": {2**30}'
        ),
        "it must have shape",
    ),
    "reversed interval": (changed((*METRIC, "ci95"), [0.9, 0.1]), "outside its interval (0.9, 0.1)"),
    "value beyond": (changed((*METRIC, "value"), 1.5), "outside its interval"),
    "value of other images": (changed((*METRIC, "value"), 0.76), "but the mean of its per-image values is 0.75"),
    "reversed bounds": (changed((*METRIC, "bounds"), [1, 0]), "the first must be less than the second"),
    "narrow bounds": (changed((*METRIC, "bounds"), [0, 0.8]), "not finite or outside its bounds"),
    "metric twice": (
        changed(("runs", 0, "metrics"), DOCUMENT["runs"][0]["metrics"] + [DOCUMENT["runs"][0]["metrics"][1]]),
        "has the metric 'pairwise_consistency' twice",
    ),
    "run twice": (changed(("runs",), DOCUMENT["runs"] + DOCUMENT["runs"]), "two runs of cnn with seed 0"),
    "another protocol": (changed(("runs", 1, "protocol", "step"), 2), "differ in their data set or protocol"),
    "another definition": (changed(("runs", 1, "metrics", 0, "unit"), "px"), "has another unit in another run"),
    "uneven columns": (changed(("runs", 0, "by_shift", "dy"), [0]), "the columns of by_shift have different lengths"),
    "huge number": (changed(("runs", 0, "params"), 10**30), "runs.0.params: it must be less than"),
    "negative count": (changed(("runs", 0, "dataset", "n"), -1), "runs.0.dataset.n: it must be greater than"),
    "not a number": (changed((*METRIC, "value"), float("nan")), "finite number"),
    "unknown unit": (changed((*METRIC, "unit"), "percent"), "unit: it must be 'fraction', 'px' or ''"),
    "escape codes": (changed(("runs", 0, "model"), "\x1b[31mcnn"), "control character '\\x1b'"),
    "predictions that are not classes": (
        changed(("runs", 0, "predictions", "dtype"), "<f4"),
        "predictions are not whole numbers",
    ),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "two.json").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("place", [0, 1])
def test_bad_files_raise_one_sentence(case, place, folder, cnnshift):
    content, message = BAD[case]
    assert content != TEXT
    (folder / "bad.json").write_text(content)
    named = ["bad.json", "two.json"] if place == 0 else ["two.json", "bad.json"]
    code, out, err = cnnshift("compare", *named, "--exit-zero")
    assert (code, out) == (2, "")
    assert err.startswith("error: bad.json ")
    assert message in err
    assert err.count("\n") == 1
    assert len(err) < 400


def test_a_sparse_file_of_a_gigabyte_is_not_read(folder, cnnshift):
    with open(folder / "huge.json", "wb") as file:
        file.truncate(2**30)
    code, _, err = cnnshift("compare", "two.json", "huge.json")
    assert code == 2
    assert "huge.json has 1,073,741,824 bytes; it must have at most" in err
