"""The environment of a measurement, without anything that identifies a person or a machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from typing import Any


def describe_environment(device: dict[str, Any]) -> dict[str, Any]:
    """Return versions, device and git commit; no host name, user name or path.

    Args:
        device: kind, count, dtype and matmul precision of the JAX devices.
    """
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
    try:
        command = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
