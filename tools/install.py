"""Create a virtual environment and install cnnshift into it, with uv where uv runs and with pip elsewhere.

    python3 tools/install.py .venv runtime      the runtime packages, and this source tree in editable mode
    python3 tools/install.py .venv dev docs     the same and the packages of the extras dev and docs
    python3 tools/install.py .venv runtime --wheel dist/cnnshift-0.2.0-py3-none-any.whl

The environment variable UV=no leaves uv out.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Seconds between two lines of a step that is still running.
INTERVAL = 3


def run_step(title: str, *command: str | Path, required: bool = True) -> bool:
    """Print the title, run the command and print the seconds that it took.

    Returns:
        Whether the command succeeded. A required command that fails ends the program.
    """
    print(f"{title} …", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            try:
                process.wait(INTERVAL)
            except subprocess.TimeoutExpired:
                print(f"  … {time.monotonic() - start:.0f} s", flush=True)
        output.seek(0)
        text = output.read()
    if process.returncode == 0:
        count = re.search(r"^Installed (\d+) package", text, re.MULTILINE)
        packages = f"{count[1]} packages in " if count else ""
        print(f"  done: {packages}{time.monotonic() - start:.1f} s", flush=True)
        return True
    sys.stderr.write(text[-4000:])
    if required:
        sys.exit(f"{title}: failed with exit code {process.returncode}.")
    return False


def install(venv: Path, extras: list[str], wheel: str | None) -> None:
    """Create `venv` if it does not exist and install the project with these extras into it.

    constraints.txt pins the versions tested on Python 3.11; other versions of Python take the newest packages. PyTorch
    is always installed by pip: pip's configuration chooses its CPU build, which uv does not read.
    """
    folder = venv / ("Scripts" if os.name == "nt" else "bin")
    python, uv = folder / "python", folder / "uv"
    if not python.exists():
        run_step(f"Creating {venv} with Python {sys.version.split()[0]}", sys.executable, "-m", "venv", venv)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    pinned = ("-c", "constraints.txt") if sys.version_info[:2] == (3, 11) else ()
    project = (wheel or ".") + (f"[{','.join(extras)}]" if extras else "")
    arguments = (*pinned, project) if wheel else (*pinned, "-e", project)
    what = f"cnnshift and the {' and '.join(extras) or 'runtime'} packages"
    if (
        os.environ.get("UV") != "no"
        and "torch" not in extras
        and (uv.exists() or run_step("Installing uv", *pip, "uv", required=False))
    ):
        os.environ["VIRTUAL_ENV"] = str((ROOT / venv).absolute())
        if run_step(f"Installing {what} with uv", uv, "pip", "install", *arguments, required=False):
            return
        print("uv failed; pip is slower and may take minutes.", flush=True)
    run_step(f"Installing {what} with pip", *pip, *arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("venv", type=Path, help="folder of the virtual environment")
    parser.add_argument("extras", nargs="+", help="extras of pyproject.toml, or 'runtime' for none")
    parser.add_argument("--wheel", help="install this wheel instead of the source tree")
    options = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"Python is {version}; it must be 3.11 or newer. Choose another one: make PYTHON=python3.12")
    install(options.venv, [extra for extra in options.extras if extra != "runtime"], options.wheel)


if __name__ == "__main__":
    main()
