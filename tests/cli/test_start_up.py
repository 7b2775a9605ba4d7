"""Modules that fast commands must not import, checked in a process."""

import subprocess
import sys

import pytest

from cnnshift.cli.app import COMMANDS, load_command

HEAVY = {"jax", "flax", "optax", "tensorflow_datasets", "tensorflow", "scipy", "matplotlib", "pandas"}
# Beyond these, parsing a command line needs only Typer.
UNUSED = HEAVY | {"numpy", "pydantic", "jaxtyping", "email"}

PROGRAM = """
import sys
from cnnshift.cli import main
sys.argv = ["cnnshift", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(*sorted({{name.partition(".")[0] for name in sys.modules}}), sep="\\n", file=sys.stderr)
"""


def imported_by(*arguments):
    program = PROGRAM.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout
    return set(done.stderr.split())


KINDS = ("models", "datasets", "protocols", "metrics", "suites", "pools", "augmentations", "formats")


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--help"], UNUSED | {"rich", "logging"}),
        (["--version"], UNUSED | {"rich", "logging"}),
        *(([name, "--help"], UNUSED | {"rich"}) for name in COMMANDS),
        *((["list", kind], UNUSED) for kind in KINDS),
        (["bench", "--show-config"], HEAVY | {"numpy", "rich"}),
        (["info", "--schema"], HEAVY | {"rich"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_modules_that_are_not_imported(arguments, unused):
    assert not unused & imported_by(*arguments)


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, cnnshift; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {*UNUSED, "typer", "rich"} & set(loaded.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_the_program_has_the_first_line_of_every_command(name):
    assert load_command(name).__doc__.partition("\n")[0] == COMMANDS[name][1]


def test_help_of_the_program(cnnshift):
    code, out, err = cnnshift("--help")
    assert (code, err) == (0, "")
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} {summary}" in " ".join(out.split())


def test_misspelled_command(cnnshift):
    code, out, err = cnnshift("bnech")
    assert (code, out) == (2, "")
    assert "No such command 'bnech'. Did you mean 'bench'?" in err
