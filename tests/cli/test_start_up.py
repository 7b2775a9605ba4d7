"""What starts fast imports nothing heavy: checked on the set of imported modules, in a real process."""

import subprocess
import sys

import pytest

HEAVY = ("jax", "flax", "optax", "tensorflow_datasets", "tensorflow", "scipy", "matplotlib", "pandas")

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


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["bench", "--help"],
        ["bench", "--show-config"],
        *(["list", kind] for kind in ("models", "datasets", "protocols", "metrics", "suites", "pools", "formats")),
        ["list", "augmentations"],
        ["info", "--schema"],
    ],
    ids=" ".join,
)
def test_no_engine_is_imported(arguments):
    program = PROGRAM.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout
    assert not set(HEAVY) & set(done.stderr.split())


def test_the_package_itself_costs_nothing():
    program = "import sys, cnnshift; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {*HEAVY, "numpy", "pydantic", "typer", "rich"} & set(loaded.split())
