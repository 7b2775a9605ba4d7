"""Shorthands for the tests of comparisons."""

from pathlib import Path

import numpy as np

from cnnshift.comparison.compare import compare_models, compare_results
from cnnshift.comparison.gates import resolve_policy
from cnnshift.render.documents.comparison import comparison_document
from tests.factories import make_outcomes, make_result, make_run, result_file

OLD = result_file(1)
PLAIN = make_run({"accuracy": make_outcomes(150)})


def rng(seed=0):
    return np.random.default_rng(seed)


def policy_of(gates, require, inconclusive, allowed):
    allowed = [verdict for verdict, is_allowed in allowed.items() if is_allowed]
    return resolve_policy(gates, require, inconclusive, allowed=allowed, project=Path("none.toml"))


def against(base, candidate, *, gates=(), require=(), inconclusive=None, exact=False, **allowed):
    """Compare two results, or two runs."""
    two = {
        name: one if hasattr(one, "runs") else make_result(one)
        for name, one in {"base.json": base, "new.json": candidate}.items()
    }
    return compare_results(two, policy_of(gates, require, inconclusive, allowed), exact=exact)


def among(result, *, gates=(), require=(), inconclusive=None, reference=None, **allowed):
    """Compare the models of one result."""
    policy = policy_of(gates, require, inconclusive, allowed)
    return compare_models("r.json", result, policy, reference=reference)


def only(comparison):
    (row,) = comparison.rows
    return row


def next_step(comparison):
    """Return the last line of the document of a comparison."""
    return comparison_document(comparison).footer[-1]


def of_outcomes(before, after, gates=("accuracy:1pp",), n=200, **options):
    return against(
        make_run({"accuracy": make_outcomes(before, n)}), make_run({"accuracy": make_outcomes(after, n)}),
        gates=gates, **options,
    )  # fmt: skip
