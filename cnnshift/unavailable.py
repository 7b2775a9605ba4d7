"""The reason why a value is absent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A value that does not exist, with the reason.

    Functions return it in place of a value that cannot be computed from their arguments. Errors of the caller raise
    an exception instead.

    Attributes:
        reason: one clause in lower case without a full stop, such as "needs at least two images".
    """

    reason: str
