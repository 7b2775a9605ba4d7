"""The examples of all docstrings."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import cnnshift

ROOT = Path(cnnshift.__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "cnnshift").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_the_documented_results(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
