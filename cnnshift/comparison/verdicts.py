"""Verdicts on rows, with Holm's adjustment over all of them, and the status of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from cnnshift.comparison.difference import Difference
from cnnshift.comparison.gates import Policy
from cnnshift.comparison.records import VERDICTS, ChangedPrediction, ComparedRow, RequirementResult, Verdict
from cnnshift.stats.holm import holm
from cnnshift.stats.sample_size import required_images

SIGNIFICANCE = 0.05


PendingRow = tuple[ComparedRow, Difference | None]
"""A row before its verdict, with its difference; None if the verdict does not depend on one."""


def assign_verdicts(pending: Sequence[PendingRow]) -> Iterator[ComparedRow]:
    """Adjust the p-values for the number of rows that have one, and assign the verdicts."""
    p_values = [difference.p for _, difference in pending if difference is not None and difference.p is not None]
    adjusted = iter(holm(np.array(p_values, dtype=float)))
    for row, difference in pending:
        if difference is None:
            yield row
            continue
        p_holm = float(next(adjusted)) if difference.p is not None else None
        verdict = _verdict(row, p_holm)
        images, seeds = _sample_size(difference, p_holm) if verdict == "inconclusive" else (None, None)
        update = {"p_holm": p_holm, "verdict": verdict, "images_needed": images, "seeds_needed": seeds}
        yield row.model_copy(update=update)


def _sample_size(difference: Difference, p_holm: float | None) -> tuple[int | None, int | None]:
    """Return the number of images, or of seeds if there are several, that makes such a difference significant."""
    if not difference.p or not p_holm:
        return None, None
    if min(difference.seeds) > 1:
        return None, difference.seeds_needed
    # Holm's factor p_holm / p divides the level; where p_holm is cut off at 1, this is a lower limit of the factor.
    level = min(SIGNIFICANCE, SIGNIFICANCE * difference.p / p_holm)
    return required_images(difference.n, difference.p, level), None


def _verdict(row: ComparedRow, p_holm: float | None) -> Verdict:
    """Return whether the difference exceeds the margin and is significant by interval and adjusted p-value."""
    assert row.margin is not None
    # The tolerance allows for the rounding error of the subtraction.
    if abs(row.improvement) <= row.margin * (1 + 1e-9) + 1e-12:
        return "unchanged"
    excludes_zero = row.ci95 is not None and not row.ci95[0] <= 0 <= row.ci95[1]
    if p_holm is None or p_holm > SIGNIFICANCE or not excludes_zero:
        return "inconclusive"
    return "regressed" if row.improvement < 0 else "improved"


def worst_first(row: ComparedRow) -> tuple[int, float]:
    """Return the sort key of a row: the worst verdict first, then the largest loss."""
    return VERDICTS.index(row.verdict), row.improvement


def overall_status(
    rows: Sequence[ComparedRow],
    requirements: Sequence[RequirementResult],
    changed: Sequence[ChangedPrediction],
    policy: Policy,
    *,
    gated: bool,
) -> Literal["passed", "failed", "incomparable"]:
    """Return the status of a comparison, whose rows can fail it only if it is `gated`."""
    regressed = any(row.verdict == "regressed" for row in rows)
    inconclusive = any(row.verdict == "inconclusive" and row.improvement < 0 for row in rows)
    unmet = any(not one.met and one.value is not None for one in requirements)
    if unmet or changed or (gated and (regressed or (inconclusive and policy.on_inconclusive == "fail"))):
        return "failed"
    compared = any(row.difference is not None for row in rows) or any(one.value is not None for one in requirements)
    # Without a single compared row or requirement nothing has passed, whatever is allowed.
    if not compared and (gated or policy.requirements):
        return "incomparable"
    verdicts = {row.verdict for row in rows}
    missing = "missing" in verdicts or any(one.value is None for one in requirements)
    if (missing and "missing" not in policy.allowed) or (
        "incomparable" in verdicts and "incomparable" not in policy.allowed
    ):
        return "incomparable"
    return "passed"
