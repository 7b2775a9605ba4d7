"""The environment of a measurement, without anything that identifies a person or a machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from typing import Any


def describe_environment(device: dict[str, Any]) -> dict[str, Any]:
    """Return versions, git commit, and what `cnnshift.sweep.device` returns; no host name, user name or path."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "tensorflow-datasets")
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "packages": {name: metadata.version(name) for name in packages},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git_commit": _git_commit(),
        **device,
    }


def _git_commit() -> str | None:
    """Return the commit of the repository that contains the working directory."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=5).strip()
    except (OSError, subprocess.SubprocessError):
        return None
