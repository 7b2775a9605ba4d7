"""Configure and describe the backend of JAX: compilation cache, precision, determinism."""

from __future__ import annotations

import os
from typing import Any

import jax

from cnnshift.cache import cache_dir

PRECISION = "highest"
"""Precision of matrix products; TF32 would raise an equivariance error to 1e-3."""

MIN_CACHED_COMPILE_SECONDS = 0.0
"""Programs that took at least this long to compile are cached on disk."""


def prepare_backend(*, deterministic: bool) -> None:
    """Configure JAX before its first use.

    Args:
        deterministic: whether to ask a GPU for bit-reproducible kernels.
    """
    jax.config.update("jax_compilation_cache_dir", str(cache_dir("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_CACHED_COMPILE_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_default_matmul_precision", PRECISION)
    flag = "--xla_gpu_deterministic_ops=true"
    if deterministic and flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()


def describe_device() -> dict[str, Any]:
    """Return kind and number of devices, and dtype and precision of the measurement."""
    devices = jax.devices()
    return {
        "backend": jax.default_backend(),
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        "dtype": "float32",
        "matmul_precision": PRECISION,
    }


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception reports too little memory of the device or of the host."""
    signs = ("resource_exhausted", "out of memory", "unable to allocate", "allocate memory", "memoryerror")
    return any(sign in str(error).lower() for sign in signs)
