"""Record of a self-test."""

from __future__ import annotations

from cnnshift.results.schema import Record


class KnownAnswerRecord(Record):
    """A known answer (`title`, such as K1 by `name`) and the measured deviation from it.

    It holds if the deviation is at most `limit`, or, `at_least` (a negative control), exceeds it. The deviation is
    null, with a `reason`, if it could not be computed.
    """

    name: str
    title: str
    deviation: float | None
    limit: float
    at_least: bool
    holds: bool
    reason: str = ""
