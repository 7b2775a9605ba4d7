"""The installed command, in processes of its own."""

import os
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "cnnshift")


def as_users_run_it() -> dict[str, str]:
    """The environment of this process without the flags that make the tests compile quickly."""
    return {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
