"""The backend: persistent compilation, precision, reproducibility; and what it is."""

from __future__ import annotations

import os
from typing import Any

import jax

from cnnshift.cache import cache_dir

PRECISION = "highest"
"""Of matrix products: TF32 alone would move an equivariance error to 1e-3."""


KEPT_SECONDS = 0.0
"""How long a program took to compile that is kept on disk: by default all are."""


def prepare_backend(*, deterministic: bool) -> None:
    """Set the backend up before its first use.

    Compiled programs are kept on disk; `deterministic` asks a GPU for bit-reproducible kernels.
    """
    jax.config.update("jax_compilation_cache_dir", str(cache_dir("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", KEPT_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_default_matmul_precision", PRECISION)
    flag = "--xla_gpu_deterministic_ops=true"
    if deterministic and flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()


def describe_device() -> dict[str, Any]:
    """Kind and number of devices, dtype and precision of the measurement."""
    devices = jax.devices()
    return {
        "backend": jax.default_backend(),
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        "dtype": "float32",
        "matmul_precision": PRECISION,
    }


def out_of_memory(error: Exception) -> bool:
    """Whether the memory did not suffice: the device's, or the host's for a model that is called there."""
    signs = ("resource_exhausted", "out of memory", "unable to allocate", "allocate memory", "memoryerror")
    return any(sign in str(error).lower() for sign in signs)
