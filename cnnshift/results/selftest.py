"""Record of a self-test."""

from __future__ import annotations

from cnnshift.results.schema import Record


class KnownAnswerRecord(Record):
    """A known answer and the measured deviation from it.

    Attributes:
        name: identifier, such as K1.
        title: the statement that must hold.
        deviation: measured; null with a reason if it could not be computed.
        limit: largest deviation that passes, or, with `at_least`, the deviation to exceed.
        at_least: whether the deviation must exceed the limit (a negative control).
        holds: whether it passed.
        reason: why there is no deviation.
    """

    name: str
    title: str
    deviation: float | None
    limit: float
    at_least: bool
    holds: bool
    reason: str = ""
