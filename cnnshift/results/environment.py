"""Where a result was made: enough to explain a difference, nothing that identifies a person or a machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "tensorflow-datasets")


def describe_environment(device: dict[str, Any]) -> dict[str, Any]:
    """Versions, device and code state; no host name, user or path.

    Args:
        device: kind, count, dtype and precision, as the backend tells them.
    """
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git_commit": _git_commit(),
        **device,
    }


def _git_commit() -> str | None:
    """Commit of the repository that the benchmark was started in, if there is one."""
    try:
        command = ["git", "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
