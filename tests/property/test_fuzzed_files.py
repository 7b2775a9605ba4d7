"""Randomly changed result files are read, compared and rendered, or refused in one sentence."""

import contextlib
import copy
import json
import time

import numpy as np
import pytest

from cnnshift.catalog import FORMATS
from cnnshift.comparison import difference as differing
from cnnshift.comparison.compare import compare_models, compare_results
from cnnshift.comparison.gates import resolve_policy
from cnnshift.errors import CnnshiftError
from cnnshift.render.document import Style
from cnnshift.render.documents.comparison import comparison_document
from cnnshift.results.files import parse_result, to_json
from cnnshift.results.packing import pack
from tests.factories import make_result, make_run, make_summary

SECONDS = 1.0

RNG = np.random.default_rng(0)


def _run(model, seed):
    values = {
        "accuracy": (RNG.random(12) < 0.8).astype(float),
        "pairwise_consistency": RNG.random(12),
        "conditional_consistency": np.where(RNG.random(12) < 0.7, RNG.random(12), np.nan),
        "kappa": make_summary("kappa", 0.6),
        "feature_cosine": None,
    }
    return make_run(values, model=model, seed=seed, predictions=RNG.integers(0, 10, (12, 9)))


RESULTS = {
    "one seed": make_result(_run("cnn", 0), _run("mlp", 0), environment={"device_kind": "cpu"}),
    "seeds": make_result(_run("cnn", 0), _run("cnn", 1)),
}
POLICIES = [resolve_policy(), resolve_policy(["*:1%"], ["accuracy>=50%", "k*>0.1"], "fail")]

LONG = "x" * 100_000
DEEP = json.loads("[" * 150 + "]" * 150)
EXTREMES = [
    None, True, False, "", "1", "cnn", "accuracy", "fraction", "px", "percent", "NaN", LONG, "\u202e", "𝕏" * 50,
    0, 1, -1, 2, 255, 2**31, -(2**31), 2**63, 2**64, 10**300, 10**1000, 0.5, -0.5, 1e-320, 5e-324, 1e17, 1.7e308,
    -1.7e308, float("nan"), float("inf"), float("-inf"), "a\x1b[31mb\r\nc\x00|`<b>::error::", [], {}, [0, 1], [1, 0],
    [0.5, 0.5], [None], [1e308, 1e308], DEEP, {"a": DEEP}, {"": ""}, [7] * 1000,
]  # fmt: skip


KNOWN = {}


@pytest.fixture(autouse=True)
def cached_comparisons(monkeypatch):
    """Cache comparisons, because most values of a changed file are unchanged."""
    paired = differing._paired

    def look_up(base, candidate, bounds, *, paired_seeds):
        # As text, because 0 and -0.0 are the same dictionary key but can give different results.
        key = (base.shape, base.tobytes(), candidate.shape, candidate.tobytes(), repr(bounds), paired_seeds)
        if key not in KNOWN:
            KNOWN[key] = paired(base, candidate, bounds, paired_seeds=paired_seeds)
        return KNOWN[key]

    monkeypatch.setattr(differing, "_paired", look_up)


def _paths(node, path=()):
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield from _paths(child, (*path, key))


def _parent(document, path):
    for key in path[:-1]:
        document = document[key]
    return document


def _change_plausibly(parent, key, rng):
    """Make a change after which the document may still be a valid result."""
    value = parent[key]
    if isinstance(value, bool):
        parent[key] = not value
    elif isinstance(value, int | float):
        parent[key] = type(value)([value + 1, value - 1, value * 0.999, -value, 0][rng.integers(5)])
    elif isinstance(value, str):
        parent[key] = str(rng.choice([f"{value}2", "", "cnn", "accuracy", "a|b"]))
    elif isinstance(parent, list):
        del parent[key]
    elif isinstance(value, dict) and "data" in value and rng.random() < 0.5:
        array = rng.integers(0, 3, 12 if value.get("shape") == [12] else (12, 9))
        parent[key] = pack(array).model_dump(mode="json")
        if "value" in parent:
            parent["value"], parent["ci95"] = float(array.mean()), None
            parent["bounds"] = None if rng.random() < 0.5 else [0, 2]
    elif isinstance(value, list) and value:
        parent[key] = [value[i] for i in rng.permutation(len(value))]
    else:
        parent[key] = None


def _kinds(document):
    """Group paths by field, so that all fields are changed equally often."""
    kinds = {}
    for path in _paths(document):
        if path:
            kinds.setdefault(tuple(key if isinstance(key, str) else "*" for key in path), []).append(path)
    return list(kinds.values())


def _choose(kinds, rng):
    paths = kinds[rng.integers(len(kinds))]
    return paths[rng.integers(len(paths))]


def _mutate(document, kinds, rng):
    """Make one random change in the document, in place."""
    path, other = _choose(kinds, rng), _choose(kinds, rng)
    parent, key = _parent(document, path), path[-1]
    action = rng.integers(20)
    if action >= 10:
        _change_plausibly(parent, key, rng)
    elif action == 0:
        del parent[key]
    elif action == 1 and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif action == 2 and isinstance(parent, list):
        parent.insert(0, copy.deepcopy(parent[key]))
    elif action == 3 and isinstance(parent[key], list):
        parent[key] = parent[key][::-1] if rng.random() < 0.5 else parent[key][: len(parent[key]) // 2]
    elif action == 4 and isinstance(parent[key], int | float):
        parent[key] = parent[key] * [-1, 0, 1e-300, 1e200, 10**30, 2][rng.integers(6)]
    elif action == 5:
        parent[key] = copy.deepcopy(_parent(document, other)[other[-1]])
    else:
        parent[key] = copy.deepcopy(EXTREMES[rng.integers(len(EXTREMES))])


def _compared(original, read, policy, part):
    """Run one of the comparisons of a file."""
    if part == 2:
        return compare_models("a", read, policy)
    pair = {"a": original, "b": read} if part == 0 else {"b": read, "a": original}
    return compare_results(pair, policy, exact=True)


def _refusal(call, *arguments):
    """Return the message of a `CnnshiftError` and the result of a call; other exceptions propagate."""
    try:
        return "", call(*arguments)
    except CnnshiftError as problem:
        return str(problem), None


def _use(content, original, turn):
    """Do everything that `cnnshift compare` does with a file, with alternating formats."""
    message, read = _refusal(parse_result, content, "fuzzed.json")
    assert "\n" not in message
    assert len(message) < 1000
    if read is None:
        return False
    formats = list(FORMATS)
    for part in range(3 if turn % 3 == 0 else 2):
        message, comparison = _refusal(_compared, original, read, POLICIES[turn % 2], part)
        assert "\n" not in message
        if comparison is not None:
            document = comparison_document(comparison, only_changed=turn % 3 == 0)
            for format in {formats[(turn + 2 * part) % len(formats)], formats[(turn + 2 * part + 1) % len(formats)]}:
                text = FORMATS.load(format)(document, Style())
                assert "\x1b" not in text
                text.encode()
    return True


def _timed(content, original, turn):
    started = time.process_time()
    used = _use(content, original, turn)
    assert time.process_time() - started < SECONDS
    return used


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("part", range(5))
def test_changed_structures(name, part):
    rng = np.random.default_rng([part, len(RESULTS[name].runs)])
    original = RESULTS[name]
    text = to_json(original)
    kinds = _kinds(json.loads(text))
    used = 0
    for turn in range(170):
        document = json.loads(text)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            # An earlier change may have removed the target.
            with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
                _mutate(document, kinds, rng)
        used += _timed(json.dumps(document).encode(), original, turn)
    # Many changes leave a readable file.
    assert 10 < used < 160


def test_changed_bytes():
    rng = np.random.default_rng(1)
    original = RESULTS["one seed"]
    text = to_json(original).encode()
    for turn in range(300):
        content = bytearray(text)
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(len(content))] = rng.integers(256)
        if rng.random() < 0.3:
            del content[rng.integers(len(content)) :]
        _timed(bytes(content), original, turn)
