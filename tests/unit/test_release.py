"""The version is the same in every file that names it."""

import re
from pathlib import Path

import pytest
import yaml

import cnnshift

ROOT = Path(__file__).parents[2]


def test_the_citation_file_names_the_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == cnnshift.__version__


def test_the_changelog_describes_the_version():
    assert f"## [{cnnshift.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_examples_use_the_action_at_the_tag_of_the_version():
    text = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    tags = re.findall(r"uses: cnnshift/cnnshift@(\S+)", text)
    assert tags
    assert set(tags) == {f"v{cnnshift.__version__}"}


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_workflows_call_make_targets_that_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    called = {word for command in commands for word in re.findall(r"^make ([a-z-]+)", command, re.MULTILINE)}
    assert called <= targets
