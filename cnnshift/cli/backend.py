"""Load JAX, which takes seconds, after a line on stderr."""

from __future__ import annotations

import gc

from cnnshift.cli.terminal import print_line


def load_backend(*, deterministic: bool = False) -> None:
    """Import JAX and configure it; see `cnnshift.sweep.device.prepare_backend`."""
    print_line("Loading JAX")
    from cnnshift.sweep.device import prepare_backend

    prepare_backend(deterministic=deterministic)
    # `cnnshift.cli.app.main` disables the collector.
    gc.enable()
