"""The Python API of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cnnshift
from cnnshift.comparison.compare import compare_models, compare_results
from cnnshift.comparison.gates import resolve_policy
from cnnshift.comparison.records import Comparison
from cnnshift.comparison.verdicts import Tolerance
from cnnshift.errors import IncomparableError, InputError
from cnnshift.results.files import load_result, locate
from cnnshift.results.schema import Result, Run


def compare(
    *results: Result | Run | str | Path,
    reference: str | None = None,
    fail_if: Sequence[str] = (),
    require: Sequence[str] = (),
    on_inconclusive: str | None = None,
    exact: bool = False,
    allow_missing: bool = False,
    allow_incomparable: bool = False,
) -> Comparison:
    """Compare the models of one result with one of them, or several results with the first.

    Args:
        results: results, single runs, or names of result files; `last` is the newest.
        reference: of one result, the model to compare the others with; the first by default.
        fail_if: gates, `METRIC:MARGIN`; by default those of pyproject.toml, else the headline metrics with their own
            margins, which fail a comparison of several results only.
        require: requirements, `METRIC>=VALUE`; by default those of pyproject.toml.
        on_inconclusive: warn, fail or pass.
        exact: of several results, whether the same weights must give the same predictions.
        allow_missing: rows without a counterpart are no obstacle.
        allow_incomparable: rows that were measured otherwise are none.

    Returns:
        The comparison; its `status` is `passed`, `failed` or `incomparable`.

    Raises:
        InputError: nothing to compare, a file that is no result, or a gate that cannot be read.
        IncomparableError: of several results, the baseline is not there.

    Example:
        >>> import cnnshift, jax.numpy as jnp
        >>> bright = lambda images: images.mean(axis=(1, 2)) @ jnp.arange(10.0)[None]
        >>> run = cnnshift.measure(bright, max_shift=1, limit=20)
        >>> compare(run, run).status
        'passed'
    """
    policy = resolve_policy(_as_list(fail_if), _as_list(require), on_inconclusive)
    tolerance = Tolerance(missing=allow_missing, incomparable=allow_incomparable)
    loaded: dict[str, Result] = {}
    for position, one in enumerate(results, start=1):
        name = f"result {position}" if isinstance(one, Result | Run) else str(one)
        # The same file twice is a fair question.
        name = f"{name} ({position})" if name in loaded else name
        loaded[name] = _load(one, is_baseline=position == 1 < len(results))
    if not loaded:
        raise InputError("There is nothing to compare; give one result, or several.")
    if len(loaded) > 1:
        if reference is not None:
            raise InputError(f"reference is '{reference}', but several results are compared with the first of them.")
        return compare_results(loaded, policy, tolerance=tolerance, exact=exact)
    if exact:
        raise InputError("exact asks whether predictions stayed the same, which takes two results; there is one.")
    ((name, result),) = loaded.items()
    return compare_models(name, result, policy, reference=reference, tolerance=tolerance)


def _load(one: Result | Run | str | Path, *, is_baseline: bool) -> Result:
    if isinstance(one, str | Path):
        if is_baseline and not locate(str(one)).exists():
            # Nothing to compare with must not look like a mistake in writing: a gate without a baseline is no gate.
            raise IncomparableError(f"There is no baseline {one}.")
        return load_result(one)
    if isinstance(one, Result):
        return one
    if not isinstance(one, Run):
        raise InputError(f"{one!r:.80} is nothing to compare; results, runs or names of files are.")
    return Result(
        status="complete", created="", cnnshift_version=cnnshift.__version__, config={}, environment={}, runs=[one]
    )


def _as_list(texts: Sequence[str]) -> Sequence[str]:
    """A single text, which is a sequence of letters too, as a list of one."""
    return [texts] if isinstance(texts, str) else texts
